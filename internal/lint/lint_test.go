// Package lint holds the rules of the house as tests.
package lint

import (
	"bytes"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
)

const module = "github.com/shoal-data/shoal/"

// root is the top of the checkout.
func root(t *testing.T) string {
	t.Helper()
	dir, err := filepath.Abs(filepath.Join("..", ".."))
	if err != nil {
		t.Fatal(err)
	}
	return dir
}

func run(t *testing.T, name string, args ...string) string {
	t.Helper()
	cmd := exec.Command(name, args...)
	cmd.Dir = root(t)
	var stdout, stderr bytes.Buffer
	cmd.Stdout, cmd.Stderr = &stdout, &stderr
	if err := cmd.Run(); err != nil {
		t.Errorf("%s %s: %v\n%s%s", name, strings.Join(args, " "), err, stdout.Bytes(), stderr.Bytes())
	}
	return stdout.String()
}

func TestGofmt(t *testing.T) {
	if files := run(t, "gofmt", "-l", "cmd", "jobs", "features", "models", "datasets", "internal"); files != "" {
		t.Errorf("not formatted; run gofmt -w:\n%s", files)
	}
}

func TestVet(t *testing.T) { run(t, "go", "vet", "./...") }

func TestStaticcheck(t *testing.T) {
	if testing.Short() {
		t.Skip("short")
	}
	run(t, "go", "tool", "-modfile=internal/tools/go.mod", "staticcheck", "./...")
}

// layers says which of the house's rooms a room may import; every room may
// import itself, and tests may also use internal.
var layers = map[string]struct {
	may []string
	why string
}{
	"cmd":      {[]string{"jobs", "features", "models", "datasets"}, "commands are the outermost layer"},
	"jobs":     {[]string{"features", "models", "datasets"}, "jobs decide why and in what order; they know nothing of flags and terminals"},
	"features": {[]string{"datasets"}, "features describe customers; they must not know what is learnt from them"},
	"models":   {nil, "models see matrices and column names, never customers or money"},
	"datasets": {nil, "datasets say what a row is and depend on nothing that uses rows"},
	"internal": {nil, "internal holds tests' helpers and tools"},
}

func TestLayers(t *testing.T) {
	list := run(t, "go", "list", "-f", `{{.ImportPath}} {{join .Imports " "}}`, "./...")
	for line := range strings.Lines(list) {
		words := strings.Fields(line)
		from, ok := strings.CutPrefix(words[0], module)
		if !ok {
			continue
		}
		room, _, _ := strings.Cut(from, "/")
		layer, known := layers[room]
		if !known {
			t.Errorf("%s is in no room of the house: see docs/decisions/0001-layout.md", from)
			continue
		}
		for _, imported := range words[1:] {
			to, ours := strings.CutPrefix(imported, module)
			if !ours {
				continue
			}
			other, _, _ := strings.Cut(to, "/")
			testHelper := to == "internal/pyoracle" && strings.HasSuffix(from, "test")
			if other != room && !contains(layer.may, other) && !testHelper {
				t.Errorf("%s imports %s: %s", from, to, layer.why)
			}
		}
	}
}

func contains(list []string, s string) bool {
	for _, l := range list {
		if l == s {
			return true
		}
	}
	return false
}

// No package is a drawer for things without a place.
func TestNoDrawers(t *testing.T) {
	for line := range strings.Lines(run(t, "go", "list", "./...")) {
		base := filepath.Base(strings.TrimSpace(line))
		switch base {
		case "util", "utils", "common", "helpers", "misc", "pkg":
			t.Errorf("%s: name the package for what it holds", strings.TrimSpace(line))
		}
	}
}

// A package past 1,500 lines of code needs a reason, written here.
var large = map[string]string{
	"cmd/shoal":         "the program: a file a verb, each short, with its help; what a verb does is in jobs",
	"jobs/nightly":      "the run: a file a step, each short; divided, one night would have to be read in several places",
	"datasets/scan":     "one reading, from mapping to report; whatever can stand alone is a package under internal",
	"jobs/config":       "every key once, with its meaning, bounds and checks; decoding and documents are packages under internal",
	"features":          "the catalogue: one family a file, one list; a family never knows another",
	"models/metrics":    "one list of figures with their edge cases, and the bootstrap they share; a figure never knows another",
	"models/gbdt":       "one method: fits, data sets, scoring and two file formats of one model; bins, growth and kernels are packages under internal",
	"features/timeline": "one log, from appended events to histories and outcomes; who may see which events is decided in one place",
	"jobs/segments":     "a night of a segmentation: divided, recognised, described and laid out share one state; naming, kinship and the roll of customers are packages below",
	"jobs/report":       "one page: a file a section of it; drawing and the questions to the tables are packages below",
	"jobs/publish":      "one protocol: staging, lease, placing, pointer and manifest hold only together",
}

func TestPackageSize(t *testing.T) {
	for line := range strings.Lines(run(t, "go", "list", "-f", `{{.ImportPath}} {{.Dir}} {{join .GoFiles " "}}`, "./...")) {
		words := strings.Fields(line)
		total := 0
		for _, f := range words[2:] {
			b, err := os.ReadFile(filepath.Join(words[1], f))
			if err != nil {
				t.Fatal(err)
			}
			total += bytes.Count(b, []byte("\n"))
		}
		name := strings.TrimPrefix(words[0], module)
		if total > 1500 && large[name] == "" {
			t.Errorf("%s has %d lines: divide it, or give the reason in this test", name, total)
		}
	}
}
