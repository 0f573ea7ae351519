package report

import (
	"bytes"
	"crypto/sha256"
	_ "embed"
	"encoding/base64"
	"fmt"
	"html"
	"html/template"

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
	Number      bool
	Long        bool // wants room
}

var pageTemplate = template.Must(template.New("page").Funcs(template.FuncMap{
	"cells": func(f *Figure, row []query.Value) []cell {
		out := make([]cell, len(row))
		for i, v := range row {
			out[i] = cell{Text: f.Columns[i].Format(v), Number: v.Kind == query.Number, Long: len(v.S) > 40}
			if f.SQL != "" && v.String() != out[i].Text {
				out[i].Exact = v.String()
			}
		}
		return out
	},
	"numeric": func(f *Figure, i int) bool {
		for _, r := range f.Rows {
			if !r[i].IsNull() {
				return r[i].Kind == query.Number
			}
		}
		return false
	},
}).Parse(body))

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

func (p *page) html() ([]byte, error) {
	var w bytes.Buffer
	head(&w, "Shoal report of "+p.Manifest.Date, "'none'")
	if err := pageTemplate.Execute(&w, p); err != nil {
		return nil, fmt.Errorf("report: %w", err)
	}
	fmt.Fprintf(&w, "<script>%s</script>\n</body>\n</html>\n", script)
	return w.Bytes(), nil
}
