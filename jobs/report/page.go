package report

import (
	"bytes"
	"cmp"
	"crypto/sha256"
	_ "embed"
	"encoding/base64"
	"fmt"
	"html"
	"html/template"
	"slices"
	"strings"

	"github.com/shoal-data/shoal/jobs/publish"
	"github.com/shoal-data/shoal/jobs/report/query"
)

var (
	//go:embed page.css
	css string
	//go:embed page.js
	script string
	//go:embed page.html
	body string
)

// A page is ready to be written.
type page struct {
	Manifest *publish.Manifest
	Before   *publish.Manifest
	Compared *publish.Manifest // the run on the left, when two are side by side
	Views    string
	Sections []*Section
}

// cell is a value as the page holds it: as it is read, and exactly.
type cell struct {
	Text, Exact string
	Long        bool // wants room
}

var pageTemplate = template.Must(template.New("page").Funcs(template.FuncMap{
	"cells": func(f *Figure, row []query.Value) []cell {
		out := make([]cell, len(row))
		for i, v := range row {
			out[i] = cell{Text: f.Columns[i].Format(v), Long: len(v.S) > 40}
			if f.SQL != "" && v.String() != out[i].Text {
				out[i].Exact = v.String()
			}
		}
		return out
	},
	"numeric": (*Figure).numeric,
	"laid":    laid,
	// The classes of a table say which of its columns are numbers; a class a cell would be a
	// tenth of the page.
	"columns": func(f *Figure) (string, error) {
		var classes []string
		for i := range f.Columns {
			if f.numeric(i) {
				if i >= aligned {
					return "", fmt.Errorf("a table of %d columns: page.css aligns %d", len(f.Columns), aligned)
				}
				classes = append(classes, fmt.Sprintf("n%d", i+1))
			}
		}
		return strings.Join(classes, " "), nil
	},
}).Parse(body))

// aligned is how many columns of a table page.css knows to be numbers: n1 to n24.
const aligned = 24

// laid are a section's blocks as they lie on the page: of figures beside one another, those
// with nothing to show yet come last, so that a first night's page has no holes. Two runs side by
// side stay in step.
func laid(p *page, s *Section) []Block {
	if p.Compared != nil {
		return s.Blocks
	}
	blocks := slices.Clone(s.Blocks)
	figure := func(b Block) bool { return b.Figure != nil && b.Heading == "" && b.Cards == nil && b.Name == "" }
	for from := 0; from < len(blocks); {
		to := from
		for to < len(blocks) && figure(blocks[to]) {
			to++
		}
		slices.SortStableFunc(blocks[from:to], func(a, b Block) int {
			return cmp.Compare(len(a.Figure.Missing), 0) - cmp.Compare(len(b.Figure.Missing), 0)
		})
		from = to + 1
	}
	return blocks
}

// numeric says that a column holds numbers.
func (f *Figure) numeric(column int) bool {
	for _, r := range f.Rows {
		if !r[column].IsNull() {
			return r[column].Kind == query.Number
		}
	}
	return false
}

// hash is how a page's policy names its own style and script, so that no other runs.
func hash(text string) string {
	sum := sha256.Sum256([]byte(text))
	return "'sha256-" + base64.StdEncoding.EncodeToString(sum[:]) + "'"
}

// Head begins a page of Shoal's: its policy allows the page's own style and script and
// nothing else, no network above all.
func head(w *bytes.Buffer, title, forms string) {
	fmt.Fprintf(w, `<!DOCTYPE html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta http-equiv="Content-Security-Policy" content="default-src 'none'; style-src %s; script-src %s; base-uri 'none'; form-action %s">
<meta name="viewport" content="width=device-width, initial-scale=1">
<meta name="color-scheme" content="light dark">
<title>%s</title>
<style>%s</style>
</head>
`, hash(css), hash(script), forms, html.EscapeString(title), css)
}

// fit writes the page, and where there is so much to show that it would be larger than bytes,
// with fewer rows of its long tables: what is drawn stays, and the SQL says what is left out.
func (p *page) fit(bytes int) ([]byte, error) {
	data, err := p.html()
	for _, rows := range []int{200, 50, 15} {
		if err != nil || len(data) <= bytes {
			break
		}
		for _, s := range p.Sections {
			for _, b := range s.Blocks {
				if b.Figure != nil {
					b.Figure.shorten(rows)
				}
			}
		}
		data, err = p.html()
	}
	return data, err
}

// shorten keeps the first rows of a table that is not open, nor computed with.
func (f *Figure) shorten(rows int) {
	if f.Open || f.Budget || f.SQL == "" || len(f.Rows) <= rows {
		return
	}
	if f.unshortened.SQL == "" {
		f.unshortened.SQL, f.unshortened.About = f.SQL, strings.TrimSpace(f.About)
	}
	unlimited, all := f.unshortened.SQL, "its SQL without the last line gives them all"
	if i := strings.LastIndex(unlimited, "\nLIMIT "); i >= 0 {
		all = "its SQL with " + strings.TrimSpace(unlimited[i:]) + " gives the others"
		unlimited = unlimited[:i]
	}
	f.About = strings.TrimSpace(fmt.Sprintf("%s So that the page stays small, the table has its first %d rows; %s.", f.unshortened.About, rows, all))
	f.SQL = fmt.Sprintf("%s\nLIMIT %d", unlimited, rows)
	f.Rows = f.Rows[:rows]
}

func (p *page) html() ([]byte, error) {
	var w bytes.Buffer
	head(&w, "Shoal report of "+p.Manifest.Date, "'none'")
	if err := pageTemplate.Execute(&w, p); err != nil {
		return nil, fmt.Errorf("report: %w", err)
	}
	fmt.Fprintf(&w, "<script>%s</script>\n</body>\n</html>\n", script)
	return w.Bytes(), nil
}
