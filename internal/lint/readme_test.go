package lint

import (
	"math"
	"os"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"testing"
)

var (
	recordRE = regexp.MustCompile(`\((notebooks/benchmarks/[^)]+\.md)\)`)
	figureRE = regexp.MustCompile(`(\d+(?:\.\d+)?)(?: (s|GiB|MiB|times)\b| to (\d+(?:\.\d+)?) times)`)
	numberRE = regexp.MustCompile(`\d[\d,]*(?:\.\d+)?`)
)

// Every figure that the README has of a benchmark is in the record that its row links to, rounded
// as the README writes it.
func TestREADMEFiguresAreThoseOfTheRecords(t *testing.T) {
	readme, err := os.ReadFile(filepath.Join(root(t), "README.md"))
	if err != nil {
		t.Fatal(err)
	}
	checked := 0
	for _, line := range strings.Split(string(readme), "\n") {
		link := recordRE.FindStringSubmatch(line)
		if link == nil {
			continue
		}
		record, err := os.ReadFile(filepath.Join(root(t), link[1]))
		if err != nil {
			t.Errorf("%s: %v", line, err)
			continue
		}
		var known []float64
		for _, s := range numberRE.FindAllString(string(record), -1) {
			if v, err := strconv.ParseFloat(strings.ReplaceAll(s, ",", ""), 64); err == nil {
				known = append(known, v, v/1024) // MiB as GiB
			}
		}
		for _, m := range figureRE.FindAllStringSubmatch(line, -1) {
			for _, figure := range []string{m[1], m[3]} {
				if figure == "" {
					continue
				}
				checked++
				_, decimals, _ := strings.Cut(figure, ".")
				scale := math.Pow10(len(decimals))
				want, _ := strconv.ParseFloat(figure, 64)
				found := false
				for _, v := range known {
					found = found || math.Abs(math.Round(v*scale)/scale-want) < 1e-9
				}
				if !found {
					t.Errorf("README.md says %s, which %s does not:\n%s", m[0], link[1], line)
				}
			}
		}
	}
	if checked < 15 {
		t.Errorf("%d figures were found in the README's comparison; there should be 15 at least", checked)
	}
}
