package report

import (
	"bytes"
	"context"
	"fmt"
	"html/template"
	"slices"
	"strings"
)

// Compare makes a page of two runs side by side: each figure of the one beside the
// same of the other.
func Compare(ctx context.Context, left, right *Run) ([]byte, error) {
	var pages [2]*page
	for i, r := range []*Run{left, right} {
		p, err := build(ctx, r)
		if err != nil {
			return nil, err
		}
		for _, s := range p.Sections {
			for _, b := range s.Blocks {
				if b.Figure != nil {
					b.Figure.rename(fmt.Sprintf("%c-", 'a'+i))
				}
			}
		}
		pages[i] = p
	}
	c := &page{Manifest: right.Manifest, Views: pages[1].Views, Compared: left.Manifest}
	for k, s := range pages[1].Sections {
		if s.ID == "glossary" {
			continue
		}
		both := &Section{ID: s.ID, Title: s.Title}
		other := pages[0].Sections[k]
		place := 0
		for _, b := range s.Blocks {
			if b.Heading != "" {
				both.add(Block{Heading: b.Heading, ID: b.ID, Note: b.Note})
			}
			if b.Figure == nil {
				continue
			}
			// What only the run on the left has comes where it has it.
			at := slices.IndexFunc(other.Blocks[place:], func(o Block) bool { return o.Figure != nil && o.Figure.ID[1:] == b.Figure.ID[1:] })
			if at < 0 {
				both.pair(nil, b.Figure, c)
				continue
			}
			for _, o := range other.Blocks[place : place+at] {
				if o.Figure != nil {
					both.pair(o.Figure, nil, c)
				}
			}
			both.pair(other.Blocks[place+at].Figure, b.Figure, c)
			place += at + 1
		}
		for _, o := range other.Blocks[place:] {
			if o.Figure != nil {
				both.pair(o.Figure, nil, c)
			}
		}
		c.Sections = append(c.Sections, both)
	}
	return c.html()
}

// rename keeps the ids of two runs' figures apart.
func (f *Figure) rename(prefix string) {
	f.Chart = template.HTML(strings.NewReplacer(`aria-labelledby="`+f.ID+`-c-t `+f.ID+`-c-d"`, `aria-labelledby="`+prefix+f.ID+`-c-t `+prefix+f.ID+`-c-d"`,
		`id="`+f.ID+`-c-`, `id="`+prefix+f.ID+`-c-`).Replace(string(f.Chart)))
	f.ID = prefix + f.ID
}

// pair puts two figures beside each other, with the run that each is of.
func (s *Section) pair(left, right *Figure, c *page) {
	for i, f := range []*Figure{left, right} {
		m := c.Compared
		if i == 1 {
			m = c.Manifest
		}
		if f == nil {
			f = &Figure{Title: "Not in this run", ID: fmt.Sprintf("none-%s-%d", s.ID, len(s.Blocks)), Missing: "The run has no such figure."}
		}
		f.Title += " · " + m.Date
		f.Wide = false
		s.add(Block{Figure: f})
	}
}

// A Link leads somewhere.
type Link struct{ Text, To string }

// A Listing is a table of a page that is not a run's report.
type Listing struct {
	Title   string
	Note    string
	Columns []string
	Rows    [][]Entry
}

// An Entry is a cell: text, and where it leads.
type Entry struct{ Text, To string }

// A Plain page is of tables and a few links.
type Plain struct {
	Title    string
	Note     string
	Links    []Link
	Ask      []Question
	Listings []Listing
}

// A Question is a form that asks for something by GET.
type Question struct {
	Action, Submit string
	Fields         []Field
}

// A Field of a form: free text, or a choice of some values.
type Field struct {
	Name, Label, Value string
	Choices            []string
}

var plainTemplate = template.Must(template.New("plain").Parse(`<body>
<header><div class="top"><h1>{{.Title}}</h1><p></p><button type="button" id="theme" aria-live="polite">Theme: automatic</button></div>
<nav aria-label="Pages">{{range .Links}}<a href="{{.To}}">{{.Text}}</a>{{end}}</nav></header>
<main>{{with .Note}}<p>{{.}}</p>{{end}}
{{range .Ask}}<form class="ask" action="{{.Action}}" method="get">{{range $f := .Fields}}<label>{{.Label}} {{if .Choices}}<select name="{{.Name}}">{{range .Choices}}<option{{if eq . $f.Value}} selected{{end}}>{{.}}</option>{{end}}</select>{{else}}<input name="{{.Name}}" value="{{.Value}}" required>{{end}}</label> {{end}}<button>{{.Submit}}</button></form>
{{end}}{{range .Listings}}<section class="fig"><h2>{{.Title}}</h2>{{with .Note}}<p class="note">{{.}}</p>{{end}}
<details class="numbers" open><summary>{{len .Rows}} rows</summary>{{if gt (len .Rows) 20}}<div class="tools"><label>Filter <input type="search" class="filter"></label></div>{{end}}
<div class="scroll" tabindex="0" role="region" aria-label="{{.Title}}"><table><thead><tr>{{range .Columns}}<th scope="col">{{.}}</th>{{end}}</tr></thead><tbody>
{{range .Rows}}<tr>{{range .}}<td>{{if .To}}<a href="{{.To}}">{{.Text}}</a>{{else}}{{.Text}}{{end}}</td>{{end}}</tr>
{{end}}</tbody></table></div></details></section>
{{end}}</main>
<div id="tip" role="status" hidden></div>
`))

// HTML is the page. Its forms may ask the server that it comes from.
func (p *Plain) HTML() ([]byte, error) {
	var w bytes.Buffer
	head(&w, p.Title, "'self'")
	if err := plainTemplate.Execute(&w, p); err != nil {
		return nil, fmt.Errorf("report: %w", err)
	}
	fmt.Fprintf(&w, "<script>%s</script>\n</body>\n</html>\n", script)
	return w.Bytes(), nil
}
