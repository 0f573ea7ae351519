package featuretest_test

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"go/ast"
	"go/importer"
	"go/parser"
	"go/token"
	"go/types"
	"io"
	"maps"
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

// TestMutants alters the families' code one operator at a time and demands that
// the tests of package features notice each. It runs with SHOAL_MUTATE=1 only:
//
//	SHOAL_MUTATE=1 go test ./features/featuretest -run TestMutants -v -timeout 2h
//
// SHOAL_MUTATE_FILES restricts it to files, by comma.
//
// All mutants are compiled into one test program, each behind a switch, so that
// trying one takes milliseconds. A mutant whose values differ, on a history that
// the columns are held against their SQL on, fails that comparison, which the
// unaltered code is checked to pass first. For one a file the comparison itself
// is run, so that this is seen and not only argued. For a mutant whose values are
// the same all other tests of the package are run. One that survives them must
// be listed in equivalents.txt with the reason why it computes the same; one that
// is listed and noticed all the same fails the run too.
//
// What is altered is the code that computes: SQL, names and meanings are what it
// is compared with.
func TestMutants(t *testing.T) {
	if os.Getenv("SHOAL_MUTATE") != "1" {
		t.Skip("SHOAL_MUTATE is not 1")
	}
	began := time.Now()
	features, err := filepath.Abs("..")
	if err != nil {
		t.Fatal(err)
	}
	ms, sources := mutants(t, families(features), strings.Split(os.Getenv("SHOAL_MUTATE_FILES"), ","))
	reasons := equivalents(t)
	maps.DeleteFunc(reasons, func(key, _ string) bool { return strings.HasPrefix(key, "timeline/") })
	dir := t.TempDir()
	program := build(t, features, filepath.Join(dir, "switched"), sources)
	tests := func(program string, m int, args ...string) (string, error) {
		cmd := exec.CommandContext(t.Context(), program, args...)
		cmd.Dir = features
		cmd.Env = append(os.Environ(), "SHOAL_MUTATE=", "SHOAL_MUTANT="+strconv.Itoa(m), "SHOAL_REQUIRE_ORACLES=1")
		out, err := cmd.CombinedOutput()
		return string(out), err
	}
	killed := map[string]int{}
	verdicts := judge(t, features, program, ms, dir)
	for i := range ms {
		m := &ms[i]
		if m.source == nil {
			m.verdict = verdicts[m.number]
			continue
		}
		// What a constant says cannot be switched: such a mutant is its own program.
		own, err := compile(features, filepath.Join(dir, fmt.Sprint("constant", i)), map[string][]byte{m.file: m.source})
		if err != nil {
			m.verdict = "compiler"
			continue
		}
		m.program = own
		m.verdict = judge(t, features, own, []mutant{{file: m.file}}, dir)[0]
	}
	same := 0
	for _, m := range ms {
		if m.verdict == "" {
			same++
			t.Logf("the same values: %v", m)
		}
	}
	t.Logf("%d mutants, %d with the same values (%v)", len(ms), same, time.Since(began).Round(time.Second))

	const compared = "SQL$|^TestHard|AlteredExpressions$"
	if out, err := tests(program, 0, "-test.skip=Million", "-test.timeout=30m"); err != nil {
		t.Fatalf("the tests of the unaltered code: %v\n%s", err, out)
	}
	t.Logf("the unaltered code passes (%v)", time.Since(began).Round(time.Second))

	// The rest are few: everything but the comparisons, which cannot tell them.
	var wg sync.WaitGroup
	next := make(chan *mutant)
	for range 2 {
		wg.Go(func() {
			for m := range next {
				own := program
				if m.program != "" {
					own = m.program
				}
				if _, err := tests(own, m.number, "-test.skip="+compared, "-test.timeout=5m"); err != nil {
					m.verdict = "another test"
				}
			}
		})
	}
	for i := range ms {
		if ms[i].verdict == "" {
			next <- &ms[i]
		}
	}
	close(next)
	wg.Wait()

	byFile := map[string][2]int{}
	shown := map[string]bool{}
	for _, m := range ms {
		n := byFile[m.file]
		n[0]++
		why, listed := reasons[m.key()]
		delete(reasons, m.key())
		switch {
		case m.verdict != "" && listed:
			t.Errorf("listed as equivalent (%s), and noticed (%s): %v", why, m.verdict, m)
		case m.verdict == "" && !listed:
			t.Errorf("no test notices %v\n\t%s", m, m.key())
		case m.verdict == "":
			n[1]++
		}
		if m.verdict != "" {
			killed[m.verdict]++
		}
		byFile[m.file] = n
		if m.verdict == differs && m.source == nil && !shown[m.file] {
			shown[m.file] = true
			out, err := tests(program, m.number, "-test.run=SQL$|^TestHard", "-test.skip=Million", "-test.failfast", "-test.timeout=30m")
			if err == nil {
				t.Errorf("its values differ, and the comparison with SQL does not notice %v", m)
			}
			t.Logf("%v: %s", m, firstLine(out, "Shoal "))
		}
	}
	if os.Getenv("SHOAL_MUTATE_FILES") == "" {
		for key := range reasons {
			t.Errorf("equivalents.txt lists what is no mutant: %s", key)
		}
	}
	for _, file := range slices.Sorted(maps.Keys(byFile)) {
		t.Logf("%-14s %4d mutants, %d equivalent", file, byFile[file][0], byFile[file][1])
	}
	t.Logf("%d mutants noticed by: %v; in %v", len(ms), killed, time.Since(began).Round(time.Second))
}

func firstLine(out, with string) string {
	for line := range strings.Lines(out) {
		if strings.Contains(line, with) {
			return strings.TrimSpace(line)
		}
	}
	return "noticed"
}

// A subject is a package whose code is altered.
type subject struct {
	dir, name string
	under     string   // its directory in features, with a slash
	tests     string   // the name of its tests' package
	skip      []string // files
	unaltered func(*ast.FuncDecl) bool
}

// families are the code that computes columns. What declares, assembles and
// writes tables is not a family's.
func families(dir string) subject {
	return subject{dir: dir, name: "features", tests: "features_test", skip: []string{"feature.go", "all.go", "sql.go", "build.go", "table.go"}, unaltered: describes}
}

// A mutant is a file of a package with one token replaced.
type mutant struct {
	number     int    // of its switch; 0 when it has none
	under      string // of the package of families, the file's directory
	file       string
	line       int
	from, to   string
	context    string // the line as it was
	occurrence int    // of the same replacement on the same line of text, in the file
	source     []byte // for a mutant without a switch
	program    string // its own, when it has no switch
	verdict    string // what notices it; "" when nothing does
}

func (m mutant) String() string {
	return fmt.Sprintf("features/%s%s:%d: %s → %s in: %s", m.under, m.file, m.line, m.from, m.to, m.context)
}

// key names a mutant in equivalents.txt, whatever is added above it.
func (m mutant) key() string {
	return fmt.Sprintf("%s%s | %s → %s #%d | %s", m.under, m.file, m.from, m.to, m.occurrence, m.context)
}

// equivalents reads the mutants that compute the same as the code: a key, then
// the reason on the next line, indented.
func equivalents(t *testing.T) map[string]string {
	text, err := os.ReadFile("equivalents.txt")
	if err != nil {
		t.Fatal(err)
	}
	all, key := map[string]string{}, ""
	for line := range strings.Lines(string(text)) {
		line = strings.TrimRight(line, "\n")
		switch {
		case line == "" || strings.HasPrefix(line, "#"):
		case strings.HasPrefix(line, "\t"):
			all[key] = strings.TrimSpace(line)
		default:
			key = line
			all[key] = ""
		}
	}
	for key, why := range all {
		if why == "" {
			t.Errorf("equivalents.txt gives no reason for %s", key)
		}
	}
	return all
}

// build compiles the package's tests with the sources in the place of its files.
func build(t *testing.T, features, dir string, sources map[string][]byte) string {
	program, err := compile(features, dir, sources)
	if err != nil {
		t.Fatal(err)
	}
	return program
}

func compile(features, dir string, sources map[string][]byte) (string, error) {
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return "", err
	}
	replace := map[string]string{}
	for name, source := range sources {
		path := filepath.Join(dir, name)
		if err := os.WriteFile(path, source, 0o644); err != nil {
			return "", err
		}
		replace[filepath.Join(features, name)] = path
	}
	overlay, err := json.Marshal(map[string]any{"Replace": replace})
	if err != nil {
		return "", err
	}
	if err := os.WriteFile(filepath.Join(dir, "overlay.json"), overlay, 0o644); err != nil {
		return "", err
	}
	program := filepath.Join(dir, "features.test")
	cmd := exec.Command("go", "test", "-c", "-vet=off", "-overlay="+filepath.Join(dir, "overlay.json"), "-o", program, ".")
	cmd.Dir = features
	if out, err := cmd.CombinedOutput(); err != nil {
		return "", fmt.Errorf("%w\n%s", err, out)
	}
	return program, nil
}

const differs = "comparison with SQL"

// judge asks the program which mutants' values differ from the unaltered code's,
// by number. A mutant that takes the whole program down, or never ends, is judged
// by that, and the next ones by a new process.
func judge(t *testing.T, features, program string, ms []mutant, dir string) map[int]string {
	verdicts := map[int]string{}
	baseline := filepath.Join(dir, "values")
	if _, err := os.Stat(baseline); errors.Is(err, os.ErrNotExist) {
		if out, err := ask(features, program, baseline, nil, nil); err != nil {
			t.Fatalf("the values of the unaltered code: %v\n%s", err, out)
		}
	}
	var list []string
	for _, m := range ms {
		if m.source == nil {
			list = append(list, fmt.Sprintf("%d %s", m.number, strings.TrimSuffix(m.file, ".go")))
		}
	}
	for len(list) > 0 {
		done := 0
		out, err := ask(features, program, baseline, list, func(answer string) {
			number, verdict, _ := strings.Cut(answer, " ")
			n, err := strconv.Atoi(number)
			if err != nil || done >= len(list) || !strings.HasPrefix(list[done], number+" ") {
				t.Fatalf("the judge answers %q to %v", answer, list[min(done, len(list)-1)])
			}
			verdicts[n] = verdict
			done++
		})
		if done == len(list) {
			break
		}
		if err == nil {
			t.Fatalf("the judge ends after %d of %d mutants\n%s", done, len(list), out)
		}
		number, _, _ := strings.Cut(list[done], " ")
		n, _ := strconv.Atoi(number)
		verdicts[n] = "crash or hang"
		list = list[done+1:]
	}
	return verdicts
}

// ask runs TestJudgeMutants of package features, which answers a line a mutant.
func ask(features, program, baseline string, list []string, answer func(string)) (string, error) {
	cmd := exec.Command(program, "-test.run=^TestJudgeMutants$", "-test.timeout=2h")
	cmd.Dir = features
	r, w, err := os.Pipe()
	if err != nil {
		return "", err
	}
	defer r.Close()
	cmd.Env = append(os.Environ(), "SHOAL_MUTATE=", "SHOAL_VALUES="+baseline, "SHOAL_MUTANTS="+strings.Join(list, ","))
	cmd.ExtraFiles = []*os.File{w}
	var out bytes.Buffer
	cmd.Stdout, cmd.Stderr = &out, &out
	if err := cmd.Start(); err != nil {
		w.Close()
		return "", err
	}
	w.Close()
	const patience = 3 * time.Minute
	watch := time.AfterFunc(patience, func() { cmd.Process.Kill() })
	var line []byte
	buf := make([]byte, 1)
	for {
		if _, err := io.ReadFull(r, buf); err != nil {
			break
		}
		if buf[0] != '\n' {
			line = append(line, buf[0])
			continue
		}
		watch.Reset(patience)
		if answer != nil {
			answer(string(line))
		}
		line = line[:0]
	}
	watch.Stop()
	err = cmd.Wait()
	return out.String(), err
}

var operators = map[token.Token][]token.Token{
	token.ADD: {token.SUB}, token.SUB: {token.ADD}, token.MUL: {token.QUO}, token.QUO: {token.MUL},
	token.LSS: {token.LEQ, token.GEQ}, token.LEQ: {token.LSS}, token.GTR: {token.GEQ, token.LEQ}, token.GEQ: {token.GTR},
	token.EQL: {token.NEQ}, token.NEQ: {token.EQL}, token.LAND: {token.LOR}, token.LOR: {token.LAND},
	token.ADD_ASSIGN: {token.SUB_ASSIGN}, token.SUB_ASSIGN: {token.ADD_ASSIGN}, token.INC: {token.DEC},
}

// switches are what the mutants' code calls: each helper does what the code did,
// unless the number of one of its mutants is set.
const switches = `package %s

import "cmp"

var mutantOn, mutantSteps, mutantLimit int

// SetMutant switches a mutant on, 0 none; it must end within limit helpers' calls, 0 any number.
func SetMutant(number, limit int) (steps int) {
	steps, mutantSteps = mutantSteps, 0
	mutantOn, mutantLimit = number, limit
	return steps
}

func mutantIs(n int) bool {
	mutantSteps++
	if mutantSteps == mutantLimit {
		panic("hang")
	}
	return mutantOn == n
}

type mutantNumber interface {
	~int | ~int8 | ~int16 | ~int32 | ~int64 | ~uint | ~uint8 | ~uint16 | ~uint32 | ~uint64 | ~float32 | ~float64
}

func mutantPick[T any](n int, a, b T) T {
	if mutantIs(n) {
		return b
	}
	return a
}

func mutantXor(n int, v bool) bool { return v != mutantIs(n) }

func mutantAnd(n int, a bool, b func() bool) bool {
	if mutantIs(n) {
		return a || b()
	}
	return a && b()
}

func mutantOr(n int, a bool, b func() bool) bool {
	if mutantIs(n) {
		return a && b()
	}
	return a || b()
}

func mutantAdd[T mutantNumber](n int, a, b T) T {
	if mutantIs(n) {
		return a - b
	}
	return a + b
}

func mutantSub[T mutantNumber](n int, a, b T) T {
	if mutantIs(n) {
		return a + b
	}
	return a - b
}

func mutantMul[T mutantNumber](n int, a, b T) T {
	if mutantIs(n) {
		return a / b
	}
	return a * b
}

func mutantQuo[T mutantNumber](n int, a, b T) T {
	if mutantIs(n) {
		return a * b
	}
	return a / b
}

func mutantNegate[T mutantNumber](n int, a T) T {
	if mutantIs(n) {
		return -a
	}
	return a
}

func mutantLess[T cmp.Ordered](n int, a, b T) bool {
	switch {
	case mutantIs(n):
		return a <= b
	case mutantOn == n+1:
		return a >= b
	}
	return a < b
}

func mutantLessEqual[T cmp.Ordered](n int, a, b T) bool {
	if mutantIs(n) {
		return a < b
	}
	return a <= b
}

func mutantGreater[T cmp.Ordered](n int, a, b T) bool {
	switch {
	case mutantIs(n):
		return a >= b
	case mutantOn == n+1:
		return a <= b
	}
	return a > b
}

func mutantGreaterEqual[T cmp.Ordered](n int, a, b T) bool {
	if mutantIs(n) {
		return a > b
	}
	return a >= b
}
`

// switchTest hands the switch to the package's tests.
const switchTest = `package %s

import mutated "%s"

func init() { setMutant = mutated.SetMutant }
`

// switchInside does for tests in the package itself.
const switchInside = `package %s

func init() { setMutant = SetMutant }
`

const module = "github.com/shoal-data/shoal/"

var calls = map[token.Token]string{
	token.ADD: "mutantAdd", token.SUB: "mutantSub", token.MUL: "mutantMul", token.QUO: "mutantQuo",
	token.LSS: "mutantLess", token.LEQ: "mutantLessEqual", token.GTR: "mutantGreater", token.GEQ: "mutantGreaterEqual",
	token.LAND: "mutantAnd", token.LOR: "mutantOr",
}

// mutants lists the mutants of every file, or of the named ones: of a family, those
// of the functions that New returns; of functions and methods beside. sources are
// the files with the mutants switched, and the switches.
func mutants(t *testing.T, of subject, only []string) (ms []mutant, sources map[string][]byte) {
	paths, err := filepath.Glob(filepath.Join(of.dir, "*.go"))
	if err != nil || len(paths) == 0 {
		t.Fatalf("no sources in %s: %v", of.dir, err)
	}
	paths = slices.DeleteFunc(paths, func(p string) bool { return strings.HasSuffix(p, "_test.go") })
	fset := token.NewFileSet()
	var files []*ast.File
	var texts [][]byte
	for _, path := range paths {
		text, err := os.ReadFile(path)
		if err != nil {
			t.Fatal(err)
		}
		file, err := parser.ParseFile(fset, path, text, parser.SkipObjectResolution)
		if err != nil {
			t.Fatal(err)
		}
		files, texts = append(files, file), append(texts, text)
	}
	info := &types.Info{Types: map[ast.Expr]types.TypeAndValue{}}
	check := types.Config{Importer: importer.ForCompiler(fset, "gc", exports(t))}
	pkg, err := check.Check(of.name, fset, files, info)
	if err != nil {
		t.Fatal(err)
	}
	hand := fmt.Sprintf(switchTest, of.tests, module+"features")
	if of.tests == of.name {
		hand = fmt.Sprintf(switchInside, of.name)
	}
	sources = map[string][]byte{"mutant_switch.go": fmt.Appendf(nil, switches, of.name), "mutant_switch_test.go": []byte(hand)}
	for i, path := range paths {
		base := filepath.Base(path)
		if slices.Contains(of.skip, base) || only[0] != "" && !slices.Contains(only, base) {
			continue
		}
		s := switcher{fset: fset, info: info, pkg: pkg, under: of.under, base: base, text: texts[i], number: len(ms), lines: strings.Split(string(texts[i]), "\n"), seen: map[string]int{}, become: map[ast.Expr]types.Type{}}
		for _, d := range files[i].Decls {
			fn, ok := d.(*ast.FuncDecl)
			if !ok || fn.Body == nil || of.unaltered(fn) {
				continue
			}
			if !declares(fn) {
				s.walk(fn.Body)
				continue
			}
			ast.Inspect(fn.Body, func(n ast.Node) bool {
				if assign, ok := n.(*ast.AssignStmt); ok && len(assign.Lhs) == 1 {
					if sel, ok := assign.Lhs[0].(*ast.SelectorExpr); ok && sel.Sel.Name == "New" {
						s.walk(assign.Rhs[0])
						return false
					}
				}
				return true
			})
		}
		sources[base] = s.source()
		ms = append(ms, s.ms...)
	}
	return ms, sources
}

// exports finds the compiled form of what the package imports.
func exports(t *testing.T) importer.Lookup {
	cmd := exec.Command("go", "list", "-deps", "-export", "-f", "{{.ImportPath}} {{.Export}}", module+"features")
	out, err := cmd.Output()
	if err != nil {
		t.Fatal(err)
	}
	at := map[string]string{}
	for line := range strings.Lines(string(out)) {
		path, file, _ := strings.Cut(strings.TrimSpace(line), " ")
		at[path] = file
	}
	return func(path string) (io.ReadCloser, error) { return os.Open(at[path]) }
}

// A switcher puts the mutants of one file behind switches.
type switcher struct {
	fset   *token.FileSet
	info   *types.Info
	pkg    *types.Package
	under  string
	base   string
	text   []byte
	lines  []string
	seen   map[string]int
	become map[ast.Expr]types.Type
	number int // of the last mutant
	ms     []mutant
	edits  []edit
}

// An edit replaces length bytes at an offset; edits at one offset apply in order.
type edit struct {
	at, length int
	text       string
}

func (s *switcher) offset(p token.Pos) int { return s.fset.Position(p).Offset }

func (s *switcher) edit(p token.Pos, length int, format string, args ...any) {
	s.edits = append(s.edits, edit{s.offset(p), length, fmt.Sprintf(format, args...)})
}

func (s *switcher) source() []byte {
	slices.SortStableFunc(s.edits, func(a, b edit) int { return a.at - b.at })
	var out []byte
	last := 0
	for _, e := range s.edits {
		out = append(out, s.text[last:e.at]...)
		out = append(out, e.text...)
		last = e.at + e.length
	}
	return append(out, s.text[last:]...)
}

// mutant lists the replacement of a token.
func (s *switcher) mutant(pos token.Pos, from, to string) *mutant {
	s.number++
	at := s.fset.Position(pos)
	m := mutant{number: s.number, under: s.under, file: s.base, line: at.Line, from: from, to: to, context: strings.TrimSpace(s.lines[at.Line-1])}
	what := fmt.Sprint(from, to, m.context)
	s.seen[what]++
	m.occurrence = s.seen[what]
	s.ms = append(s.ms, m)
	return &s.ms[len(s.ms)-1]
}

// fixed lists the mutants of what must stay constant, each with a source of its own.
func (s *switcher) fixed(n ast.Node) {
	put := func(pos token.Pos, from, to string) {
		at := s.offset(pos)
		m := s.mutant(pos, from, to)
		m.number, m.source = 0, slices.Concat(s.text[:at], []byte(to), s.text[at+len(from):])
	}
	ast.Inspect(n, func(n ast.Node) bool {
		switch n := n.(type) {
		case *ast.BinaryExpr:
			for _, to := range operators[n.Op] {
				put(n.OpPos, n.Op.String(), to.String())
			}
		case *ast.BasicLit:
			if n.Kind == token.INT {
				put(n.Pos(), n.Value, other(n.Value))
			}
		}
		return true
	})
}

func other(literal string) string {
	switch literal {
	case "0":
		return "1"
	case "1":
		return "0"
	}
	return "(" + literal + "+1)"
}

// typeOf is the type of an expression. Package types leaves the parts of a
// constant untyped; with switches in it they are computed as what it becomes.
func (s *switcher) typeOf(e ast.Expr) types.Type {
	if t := s.become[e]; t != nil {
		return t
	}
	return types.Default(s.info.Types[e].Type)
}

// part makes a part of a constant expression become of its type.
func (s *switcher) part(of, e ast.Expr) {
	if s.info.Types[of].Value != nil {
		s.become[e] = s.typeOf(of)
	}
}

// typed is the instantiation of a helper for the type of an expression.
func (s *switcher) typed(e ast.Expr) string {
	t := s.typeOf(e)
	return "[" + types.TypeString(t, func(p *types.Package) string {
		if p == s.pkg {
			return ""
		}
		return p.Name()
	}) + "]"
}

func (s *switcher) walk(n ast.Node) {
	switch n := n.(type) {
	case *ast.GenDecl:
		if n.Tok == token.CONST {
			s.fixed(n)
			return
		}
	case *ast.ArrayType:
		if n.Len != nil {
			s.fixed(n.Len)
		}
		return
	case *ast.CallExpr:
		if types.ExprString(n.Fun) == "fmt.Sprintf" { // text
			return
		}
	case *ast.BinaryExpr:
		s.binary(n)
		return
	case *ast.ParenExpr:
		s.part(n, n.X)
	case *ast.UnaryExpr:
		s.part(n, n.X)
	case *ast.AssignStmt:
		if to := operators[n.Tok]; to != nil {
			s.walk(n.Lhs[0])
			m := s.mutant(n.TokPos, n.Tok.String(), to[0].String())
			s.edit(n.Rhs[0].Pos(), 0, "mutantNegate%s(%d, ", s.typed(n.Lhs[0]), m.number)
			s.walk(n.Rhs[0])
			s.edit(n.Rhs[0].End(), 0, ")")
			return
		}
	case *ast.IncDecStmt:
		s.walk(n.X)
		if to := operators[n.Tok]; to != nil {
			m := s.mutant(n.TokPos, n.Tok.String(), to[0].String())
			s.edit(n.TokPos, 2, "+= mutantNegate%s(%d, 1)", s.typed(n.X), m.number)
		}
		return
	case *ast.BasicLit:
		if n.Kind == token.INT {
			m := s.mutant(n.Pos(), n.Value, other(n.Value))
			s.edit(n.Pos(), len(n.Value), "mutantPick%s(%d, %s, %s)", s.typed(n), m.number, n.Value, m.to)
		}
		return
	case *ast.SelectorExpr:
		all := datasets.Roles()
		for _, r := range all {
			if name, from := identifier(r), types.ExprString(n.X); n.Sel.Name == name && from == "datasets" {
				m := s.mutant(n.Sel.Pos(), name, identifier(all[int(r)%len(all)]))
				s.edit(n.Pos(), 0, "mutantPick(%d, ", m.number)
				s.edit(n.End(), 0, ", datasets.%s)", m.to)
				return
			}
		}
	}
	ast.Inspect(n, func(c ast.Node) bool {
		if c == n {
			return true
		}
		if c != nil {
			s.walk(c)
		}
		return false
	})
}

func (s *switcher) binary(n *ast.BinaryExpr) {
	to := operators[n.Op]
	if t, ok := s.typeOf(n).Underlying().(*types.Basic); ok && t.Info()&types.IsNumeric != 0 {
		s.part(n, n.X)
		s.part(n, n.Y)
	}
	if basic, ok := s.typeOf(n.X).Underlying().(*types.Basic); to == nil || ok && n.Op == token.ADD && basic.Info()&types.IsString != 0 {
		s.walk(n.X)
		s.walk(n.Y)
		return
	}
	var number int
	for i, op := range to {
		if m := s.mutant(n.OpPos, n.Op.String(), op.String()); i == 0 {
			number = m.number
		}
	}
	op, opLength := ",", len(n.Op.String())
	switch n.Op {
	case token.EQL, token.NEQ: // of any type, nil among them
		s.edit(n.Pos(), 0, "mutantXor(%d, ", number)
		op, opLength = "", 0
	case token.LAND, token.LOR:
		s.edit(n.Pos(), 0, "%s(%d, ", calls[n.Op], number)
		op = ", func() bool { return "
	default:
		s.edit(n.Pos(), 0, "%s%s(%d, ", calls[n.Op], s.typed(n.X), number)
	}
	s.walk(n.X)
	s.edit(n.OpPos, opLength, "%s", op)
	s.walk(n.Y)
	if n.Op == token.LAND || n.Op == token.LOR {
		s.edit(n.Y.End(), 0, " }")
	}
	s.edit(n.Y.End(), 0, ")")
}

// describes reports whether the function makes what is said of columns, or
// checks what a configuration says: text, faults, the plan of custom features.
func describes(fn *ast.FuncDecl) bool {
	said := []string{"string", "[]string", "error", "Column", "[]Fault", "[]Occasion", "*plan"}
	if fn.Type.Results != nil {
		for _, r := range fn.Type.Results.List {
			if slices.Contains(said, types.ExprString(r.Type)) {
				return true
			}
		}
	}
	planned := fn.Recv != nil && types.ExprString(fn.Recv.List[0].Type) == "*plan" && fn.Name.Name != "fill"
	return planned || slices.Contains([]string{"empty", "negative"}, fn.Name.Name) // which only the plan asks
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

// The runner's own work is tested on a file of its own making, so that it cannot
// quietly stop altering anything.
func TestMutantsAreMade(t *testing.T) {
	dir := t.TempDir()
	source := `package features

import "github.com/shoal-data/shoal/datasets"

type Family struct {
	Name string
	New  func() func(h []datasets.Role, out []float64)
}

func toy() Family {
	f := Family{Name: "toy" + "s"}
	f.New = func() func(h []datasets.Role, out []float64) {
		const width = 3
		var counts [4]int32
		return func(h []datasets.Role, out []float64) {
			for i := range width {
				counts[i] -= int32(len(h)) + 30*width
			}
			if len(h) > 1 && (out[0] == 2 || h[0] != datasets.CartAdd) {
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
	ms, sources := mutants(t, families(dir), []string{""})
	var got []string
	for _, m := range ms {
		got = append(got, fmt.Sprint(m.number, " ", m.from, " ", m.to))
	}
	want := []string{"0 3 (3+1)", "0 4 (4+1)", "3 -= +=", "4 + -", "5 * /", "6 30 (30+1)", "7 && ||", "8 > >=", "9 > <=", "10 1 0", "11 || &&", "12 == !=", "13 0 1", "14 2 (2+1)", "15 != ==", "16 0 1", "17 CartAdd CartRemove", "18 0 1", "19 ++ --"}
	if !slices.Equal(got, want) {
		t.Errorf("mutants %q, want %q", got, want)
	}
	for _, line := range []string{
		"counts[i] -= mutantNegate[int32](3, mutantAdd[int32](4, int32(len(h)) , mutantMul[int32](5, mutantPick[int32](6, 30, (30+1)),width)))",
		"if mutantAnd(7, mutantGreater[int](8, len(h) , mutantPick[int](10, 1, 0)) , func() bool { return  (mutantOr(11, mutantXor(12, out[mutantPick[int](13, 0, 1)] == mutantPick[float64](14, 2, (2+1))) , func() bool { return  mutantXor(15, h[mutantPick[int](16, 0, 1)] != mutantPick(17, datasets.CartAdd, datasets.CartRemove)) })) }) {",
		"out[mutantPick[int](18, 0, 1)]+= mutantNegate[float64](19, 1)",
	} {
		if !strings.Contains(string(sources["toy.go"]), line) {
			t.Errorf("no line\n%s in\n%s", line, sources["toy.go"])
		}
	}
	if text := string(ms[1].source); !strings.Contains(text, "[(4+1)]int32") || strings.Contains(text, "(3+1)") {
		t.Errorf("the mutant of a constant is\n%s", text)
	}
}
