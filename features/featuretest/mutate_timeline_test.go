package featuretest_test

import (
	"fmt"
	"go/ast"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"
)

// TestTimelineMutants does what TestMutants does for package timeline, which puts
// events in order, removes repeats, and cuts history off at a moment:
//
//	SHOAL_MUTATE=1 go test ./features/featuretest -run TestTimelineMutants -v -timeout 1h
//
// A mutant must be noticed by the package's own tests. How blocks are packed and
// joined, and what errors say, is altered too.
func TestTimelineMutants(t *testing.T) {
	if os.Getenv("SHOAL_MUTATE") != "1" {
		t.Skip("SHOAL_MUTATE is not 1")
	}
	began := time.Now()
	timeline, err := filepath.Abs("../timeline")
	if err != nil {
		t.Fatal(err)
	}
	text := func(fn *ast.FuncDecl) bool { return fn.Name.Name == "String" }
	ms, sources := mutants(t, subject{dir: timeline, name: "timeline", under: "timeline/", tests: "timeline", unaltered: text}, strings.Split(os.Getenv("SHOAL_MUTATE_FILES"), ","))
	reasons := equivalents(t)
	dir := t.TempDir()
	switched := build(t, timeline, filepath.Join(dir, "switched"), sources)
	tests := func(program string, m int) error {
		cmd := exec.CommandContext(t.Context(), program, "-test.failfast", "-test.timeout=30s", "-rapid.shrinktime=1ms", "-rapid.nofailfile")
		cmd.Dir = timeline
		cmd.Env = append(os.Environ(), "SHOAL_MUTATE=", "SHOAL_MUTANT="+strconv.Itoa(m))
		return cmd.Run()
	}
	if err := tests(switched, 0); err != nil {
		t.Fatalf("the tests of the unaltered code: %v", err)
	}
	var wg sync.WaitGroup
	next := make(chan *mutant)
	for range 2 {
		wg.Go(func() {
			for m := range next {
				program := switched
				if m.source != nil {
					own, err := compile(timeline, filepath.Join(dir, fmt.Sprintf("%s%d%s", m.file, m.line, m.to)), map[string][]byte{m.file: m.source})
					if err != nil {
						m.verdict = "compiler"
						continue
					}
					program = own
				}
				if err := tests(program, m.number); err != nil {
					m.verdict = "test"
				}
			}
		})
	}
	for i := range ms {
		next <- &ms[i]
	}
	close(next)
	wg.Wait()
	killed := map[string]int{}
	for _, m := range ms {
		why, listed := reasons[m.key()]
		delete(reasons, m.key())
		switch {
		case m.verdict != "" && listed:
			t.Errorf("listed as equivalent (%s), and noticed (%s): %v", why, m.verdict, m)
		case m.verdict == "" && !listed:
			t.Errorf("no test notices %v\n\t%s", m, m.key())
		case m.verdict == "":
			killed["nothing, being equivalent"]++
		default:
			killed[m.verdict]++
		}
	}
	for key := range reasons {
		if strings.HasPrefix(key, "timeline/") && os.Getenv("SHOAL_MUTATE_FILES") == "" {
			t.Errorf("equivalents.txt lists what is no mutant: %s", key)
		}
	}
	t.Logf("%d mutants noticed by: %v; in %v", len(ms), killed, time.Since(began).Round(time.Second))
}
