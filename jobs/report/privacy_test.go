package report_test

import (
	"os"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"testing"

	"github.com/shoal-data/shoal/datasets/synth"
	"github.com/shoal-data/shoal/internal/pyoracle"
	"github.com/shoal-data/shoal/jobs/config"
)

var (
	tableRE  = regexp.MustCompile(`(?s)<table[^>]*>.*?</table>`)
	headerRE = regexp.MustCompile(`(?s)<th[^>]*>(.*?)</th>`)
	rowRE    = regexp.MustCompile(`(?s)<tr><td.*?</tr>`)
	cellRE   = regexp.MustCompile(`(?s)<td[^>]*?(?:data-v="([^"]*)")?>([^<]*)`)
)

// groupsOf counts the groups of customers that the page's tables tell of, and the small ones.
func groupsOf(t *testing.T, page string, fewest float64) (all, small int) {
	t.Helper()
	data, err := os.ReadFile(page)
	if err != nil {
		t.Fatal(err)
	}
	for _, table := range tableRE.FindAllString(string(data), -1) {
		var counts []int
		for i, h := range headerRE.FindAllStringSubmatch(table, -1) {
			if strings.EqualFold(h[1], "customers") {
				counts = append(counts, i)
			}
		}
		for _, row := range rowRE.FindAllString(table, -1) {
			cells := cellRE.FindAllStringSubmatch(row, -1)
			for _, i := range counts {
				text := cells[i][1]
				if text == "" {
					text = cells[i][2]
				}
				v, err := strconv.ParseFloat(strings.ReplaceAll(text, ",", ""), 64)
				if err != nil || v == 0 {
					continue
				}
				if all++; v < fewest {
					small++
				}
			}
		}
	}
	return all, small
}

// A page tells of no group of fewer customers than privacy.smallest_segment, and its SQL gives
// the same numbers.
func TestPageTellsOfNoSmallGroup(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "sample")
	p := synth.DefaultParams()
	p.Customers = 500
	if _, err := synth.Generate(t.Context(), p, dir, nil); err != nil {
		t.Fatal(err)
	}
	make := func(out, extra string) string {
		c, err := config.Parse("generated", []byte(synth.Config(dir, filepath.Join(dir, out))+extra), os.LookupEnv)
		if err != nil {
			t.Fatal(err)
		}
		c.Targets, c.Models.Baselines = nil, false
		page, err := night(t.Context(), c, "2025-03-31")
		if err != nil {
			t.Fatal(err)
		}
		return page
	}
	if _, small := groupsOf(t, make("open", ""), 25); small == 0 {
		t.Fatal("without the bound there is no small group, which shows nothing")
	}
	page := make("closed", "privacy: {smallest_segment: 25}\n")
	if all, small := groupsOf(t, page, 25); small > 0 || all < 20 {
		t.Errorf("%d of %d groups have fewer than 25 customers", small, all)
	}
	pyoracle.Python(t)
	compareNumbers(t, page, filepath.Join(dir, "closed"), 20, 200)
}
