package featuretest_test

import (
	"bufio"
	"encoding/json"
	"fmt"
	"go/ast"
	"go/parser"
	"go/token"
	"math"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/shoal-data/shoal/datasets"
)

// A mutant is a file of package features with one token replaced.
type mutant struct {
	file     string // base name
	line     int
	from, to string
	source   []byte
	context  string // the line as it was
}

func (m mutant) String() string {
	return fmt.Sprintf("features/%s:%d: %s → %s in: %s", m.file, m.line, m.from, m.to, m.context)
}

// TestMutants alters the families' code one operator at a time and demands that
// the tests of package features notice each. It runs with SHOAL_MUTATE=1 only:
//
//	SHOAL_MUTATE=1 go test ./features/featuretest -run TestMutants -v -timeout 30m
//
// SHOAL_MUTATE_MINUTES (10) bounds it, SHOAL_MUTATE_SEED (1) chooses which
// mutants come first, SHOAL_MUTATE_FILES (all) restricts it to files, by comma.
//
// A mutant whose tables differ from those of the unaltered code fails the
// comparison with SQL, which the unaltered code is checked to pass first; only
// for a mutant whose tables are the same are all tests of the package run. What
// is altered is the code that computes: SQL, names and meanings are what it is
// compared with.
func TestMutants(t *testing.T) {
	if os.Getenv("SHOAL_MUTATE") != "1" {
		t.Skip("SHOAL_MUTATE is not 1")
	}
	setting := func(name string, otherwise int) int {
		v := os.Getenv(name)
		if v == "" {
			return otherwise
		}
		n, err := strconv.Atoi(v)
		if err != nil {
			t.Fatalf("%s (%s) is not a number", name, v)
		}
		return n
	}
	end := time.Now().Add(time.Duration(setting("SHOAL_MUTATE_MINUTES", 10)) * time.Minute)
	features, err := filepath.Abs("..")
	if err != nil {
		t.Fatal(err)
	}
	ms := mutants(t, features, strings.Split(os.Getenv("SHOAL_MUTATE_FILES"), ","))
	r := rand.New(rand.NewPCG(uint64(setting("SHOAL_MUTATE_SEED", 1)), 0))
	r.Shuffle(len(ms), func(i, j int) { ms[i], ms[j] = ms[j], ms[i] })

	if out, err := test(t, features, mutant{}, "", "-count=1"); err != nil {
		t.Fatalf("the tests of the unaltered code: %v\n%s", err, out)
	}
	want := filepath.Join(t.TempDir(), "tables")
	if out, err := test(t, features, mutant{}, want, "-run=^TestWriteTables$"); err != nil {
		t.Fatalf("the tables of the unaltered code: %v\n%s", err, out)
	}

	var mu sync.Mutex
	var survivors []mutant
	killed, broken, next := map[string]int{}, 0, 0
	var wg sync.WaitGroup
	for range 2 {
		wg.Go(func() {
			for time.Now().Before(end) {
				mu.Lock()
				if next == len(ms) {
					mu.Unlock()
					return
				}
				m := ms[next]
				next++
				mu.Unlock()
				verdict := judge(t, features, m, want)
				mu.Lock()
				switch verdict {
				case "":
					survivors = append(survivors, m)
					t.Logf("survives: %v", m)
				case "does not compile":
					broken++
				default:
					killed[verdict]++
				}
				mu.Unlock()
			}
		})
	}
	wg.Wait()
	t.Logf("%d of %d mutants tried: %d did not compile, %d survived, killed by: %v", next, len(ms), broken, len(survivors), killed)
	for _, m := range survivors {
		t.Errorf("no test notices %v", m)
	}
}

// judge says what kills a mutant; "" when nothing does.
func judge(t *testing.T, features string, m mutant, want string) string {
	got := filepath.Join(t.TempDir(), "tables")
	defer os.Remove(got)
	out, err := test(t, features, m, got, "-run=^TestWriteTables$", "-timeout=60s")
	switch {
	case strings.Contains(out, "[build failed]"):
		return "does not compile"
	case err != nil:
		return "panic or hang"
	case differ(t, want, got):
		return "comparison with SQL"
	}
	if _, err := test(t, features, m, "", "-count=1", "-timeout=5m"); err != nil {
		return "other tests"
	}
	return ""
}

// test runs the tests of package features with the mutant in the place of its
// file, and returns what they print.
func test(t *testing.T, features string, m mutant, tables string, args ...string) (string, error) {
	args = append([]string{"test", "-vet=off"}, args...)
	if m.source != nil {
		dir := t.TempDir()
		mutated, overlay := filepath.Join(dir, m.file), filepath.Join(dir, "overlay.json")
		replace, err := json.Marshal(map[string]any{"Replace": map[string]string{filepath.Join(features, m.file): mutated}})
		if err != nil {
			t.Error(err)
		}
		for path, content := range map[string][]byte{mutated: m.source, overlay: replace} {
			if err := os.WriteFile(path, content, 0o644); err != nil {
				t.Error(err)
			}
		}
		args = append(args, "-overlay="+overlay)
	}
	cmd := exec.CommandContext(t.Context(), "go", append(args, ".")...)
	cmd.Dir = features
	cmd.Env = append(os.Environ(), "SHOAL_TABLES="+tables, "SHOAL_MUTATE=", "SHOAL_REQUIRE_ORACLES=1")
	out, err := cmd.CombinedOutput()
	return string(out), err
}

// differ reports whether two files of tables differ by more than the tolerance
// of Compare on either side of the SQL's answer.
func differ(t *testing.T, a, b string) bool {
	read := func(path string) []string {
		file, err := os.Open(path)
		if err != nil {
			t.Error(err)
			return nil
		}
		defer file.Close()
		var words []string
		s := bufio.NewScanner(file)
		s.Split(bufio.ScanWords)
		for s.Scan() {
			words = append(words, s.Text())
		}
		if s.Err() != nil || len(words) == 0 {
			t.Errorf("%s: %d words, %v", path, len(words), s.Err())
		}
		return words
	}
	x, y := read(a), read(b)
	if len(x) != len(y) {
		return true
	}
	for i := range x {
		if x[i] == y[i] {
			continue
		}
		v, errV := strconv.ParseFloat(x[i], 64)
		w, errW := strconv.ParseFloat(y[i], 64)
		if errV != nil || errW != nil || !(math.Abs(v-w) <= 2e-9*max(1, math.Abs(v), math.Abs(w))) {
			return true
		}
	}
	return false
}

var operators = map[token.Token][]token.Token{
	token.ADD: {token.SUB}, token.SUB: {token.ADD}, token.MUL: {token.QUO}, token.QUO: {token.MUL},
	token.LSS: {token.LEQ, token.GEQ}, token.LEQ: {token.LSS}, token.GTR: {token.GEQ, token.LEQ}, token.GEQ: {token.GTR},
	token.EQL: {token.NEQ}, token.NEQ: {token.EQL}, token.LAND: {token.LOR}, token.LOR: {token.LAND},
	token.ADD_ASSIGN: {token.SUB_ASSIGN}, token.SUB_ASSIGN: {token.ADD_ASSIGN}, token.INC: {token.DEC},
}

// mutants lists the mutants of every family's file, or of the named files: of
// the functions that New returns, of helpers' functions and methods.
func mutants(t *testing.T, features string, only []string) []mutant {
	paths, err := filepath.Glob(filepath.Join(features, "*.go"))
	if err != nil || len(paths) == 0 {
		t.Fatalf("no sources in %s: %v", features, err)
	}
	roles := map[string]datasets.Role{}
	for _, r := range datasets.Roles() {
		roles[identifier(r)] = r
	}
	// What declares, assembles and writes tables is not a family's.
	skip := []string{"feature.go", "all.go", "sql.go", "table.go"}
	var ms []mutant
	for _, path := range paths {
		base := filepath.Base(path)
		if strings.HasSuffix(base, "_test.go") || slices.Contains(skip, base) || only[0] != "" && !slices.Contains(only, base) {
			continue
		}
		source, err := os.ReadFile(path)
		if err != nil {
			t.Fatal(err)
		}
		fset := token.NewFileSet()
		file, err := parser.ParseFile(fset, path, source, parser.SkipObjectResolution)
		if err != nil {
			t.Fatal(err)
		}
		lines := strings.Split(string(source), "\n")
		put := func(pos token.Pos, from, to string) {
			at := fset.Position(pos)
			altered := slices.Concat(source[:at.Offset], []byte(to), source[at.Offset+len(from):])
			ms = append(ms, mutant{base, at.Line, from, to, altered, strings.TrimSpace(lines[at.Line-1])})
		}
		operator := func(pos token.Pos, op token.Token) {
			for _, to := range operators[op] {
				put(pos, op.String(), to.String())
			}
		}
		visit := func(n ast.Node) bool {
			switch n := n.(type) {
			case *ast.BinaryExpr:
				operator(n.OpPos, n.Op)
			case *ast.AssignStmt:
				operator(n.TokPos, n.Tok)
			case *ast.IncDecStmt:
				operator(n.TokPos, n.Tok)
			case *ast.BasicLit:
				if n.Kind == token.INT {
					switch n.Value {
					case "0":
						put(n.Pos(), "0", "1")
					case "1":
						put(n.Pos(), "1", "0")
					default:
						put(n.Pos(), n.Value, "("+n.Value+"+1)")
					}
				}
			case *ast.SelectorExpr:
				if r, ok := roles[n.Sel.Name]; ok {
					all := datasets.Roles()
					put(n.Sel.Pos(), n.Sel.Name, identifier(all[int(r)%len(all)]))
				}
			}
			return true
		}
		for _, d := range file.Decls {
			fn, ok := d.(*ast.FuncDecl)
			if !ok || fn.Body == nil {
				continue
			}
			if !declares(fn) {
				ast.Inspect(fn.Body, visit)
				continue
			}
			ast.Inspect(fn.Body, func(n ast.Node) bool {
				if assign, ok := n.(*ast.AssignStmt); ok && len(assign.Lhs) == 1 {
					if sel, ok := assign.Lhs[0].(*ast.SelectorExpr); ok && sel.Sel.Name == "New" {
						ast.Inspect(assign.Rhs[0], visit)
						return false
					}
				}
				return true
			})
		}
	}
	return ms
}

// declares reports whether the function returns a Family.
func declares(fn *ast.FuncDecl) bool {
	if fn.Type.Results == nil || len(fn.Type.Results.List) != 1 {
		return false
	}
	id, ok := fn.Type.Results.List[0].Type.(*ast.Ident)
	return ok && id.Name == "Family"
}

// identifier is the Go name of a role: cart_add is CartAdd.
func identifier(r datasets.Role) string {
	var b strings.Builder
	for word := range strings.SplitSeq(r.String(), "_") {
		b.WriteString(strings.ToUpper(word[:1]) + word[1:])
	}
	return b.String()
}

// The runner's own judgement is tested on a file of its own making, so that it
// cannot quietly stop altering anything.
func TestMutantsAreMade(t *testing.T) {
	dir := t.TempDir()
	source := `package features

func toy() Family {
	f := Family{Name: "toy" + "s"}
	f.New = func(v Values) Fill {
		return func(h *H, out []float64) {
			if len(h.Positions(datasets.CartAdd)) > 1 && out[0] == 2 {
				out[0]++
			}
		}
	}
	return f
}
`
	if err := os.WriteFile(filepath.Join(dir, "toy.go"), []byte(source), 0o644); err != nil {
		t.Fatal(err)
	}
	var got []string
	for _, m := range mutants(t, dir, []string{""}) {
		got = append(got, m.from+" "+m.to)
		if string(m.source) == source {
			t.Errorf("%v is not altered", m)
		}
	}
	want := []string{"&& ||", "> >=", "> <=", "CartAdd CartRemove", "1 0", "== !=", "0 1", "2 (2+1)", "++ --", "0 1"}
	if !slices.Equal(got, want) {
		t.Errorf("mutants %q, want %q", got, want)
	}
	a, b, c := filepath.Join(dir, "a"), filepath.Join(dir, "b"), filepath.Join(dir, "c")
	for path, text := range map[string]string{a: "x 1 NaN 3", b: "x 1 NaN 3.000000001", c: "x 1 NaN 3.1"} {
		if err := os.WriteFile(path, []byte(text), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	if differ(t, a, b) || !differ(t, a, c) || !differ(t, b, c) {
		t.Error("differ does not tell a rounding from a difference")
	}
}
