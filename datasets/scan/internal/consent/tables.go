// Package consent knows whose events may be used: erasure lists name people who are to
// be forgotten, and consent tables say who has agreed and who has not.
package consent

import (
	"bytes"
	"context"
	"fmt"
	"slices"
	"strings"

	"github.com/shoal-data/shoal/datasets"
	"github.com/shoal-data/shoal/datasets/scan/internal/column"
	"github.com/shoal-data/shoal/datasets/scan/internal/fault"
	"github.com/shoal-data/shoal/datasets/scan/internal/files"
	"github.com/shoal-data/shoal/datasets/scan/internal/identity"
	"github.com/shoal-data/shoal/datasets/scan/internal/lookup"
	"github.com/shoal-data/shoal/datasets/storage"
)

// A Table is an erasure list, a row a person, or a consent table, a row what a person
// said. Files that end in .txt have an id a line.
type Table struct {
	Paths      []string // globs
	Customer   string   // column of the id
	KindColumn string   // that says of what kind an id is; "" when all are of Kind
	Kind       string

	// Of a consent table:
	Given string // column: whether consent is given
	Time  string // column: when that was said; "" when a person's rows count alike
}

// A Spec is everything that is said of who may be used.
type Spec struct {
	Erased   []Table
	Consents []Table
	// Unlisted says that people whom no consent table lists may be used.
	Unlisted bool
}

// Tables are tables whose files were found to hold their columns.
type Tables struct {
	Spec  Spec
	files []source // erased first
}

// A source is the files of one table.
type source struct {
	Table
	name    string
	erased  bool
	parquet *lookup.Table // nil when there is none
	texts   []text
	at      struct{ kind, given, time int } // positions of the optional columns, -1 without
}

// A text is a file of an id a line.
type text struct {
	files.File
	lines []string
}

// maxText is the size of a list that is read, in bytes.
const maxText = 1 << 30

// Open finds the files of the tables.
func Open(ctx context.Context, fsys storage.FS, spec Spec) (*Tables, error) {
	t := &Tables{Spec: spec}
	for i, s := range spec.Erased {
		if err := t.open(ctx, fsys, fmt.Sprintf("privacy.erased[%d]", i), s, true); err != nil {
			return nil, err
		}
	}
	for i, s := range spec.Consents {
		if err := t.open(ctx, fsys, fmt.Sprintf("privacy.consents[%d]", i), s, false); err != nil {
			return nil, err
		}
	}
	return t, nil
}

func (t *Tables) open(ctx context.Context, fsys storage.FS, name string, spec Table, erased bool) error {
	s := source{Table: spec, name: name, erased: erased}
	var globs []string
	for _, glob := range spec.Paths {
		if !strings.HasSuffix(glob, ".txt") {
			globs = append(globs, glob)
			continue
		}
		if !erased || spec.KindColumn != "" {
			return fault.InSource(fault.Config, name, "%s is text, which holds nothing but ids: a table with more than that must be Parquet", glob)
		}
		found, _, err := files.List(ctx, fsys, name, []string{glob})
		if err != nil {
			return err
		}
		for _, f := range found {
			x, err := readText(ctx, fsys, f)
			if err != nil {
				return err
			}
			s.texts = append(s.texts, x)
		}
	}
	if len(globs) > 0 {
		columns := []lookup.Column{{Name: spec.Customer, Means: "customer", Unfit: fits(datasets.CustomerID)}}
		optional := func(name, means string, f datasets.Field) int {
			if name == "" {
				return -1
			}
			columns = append(columns, lookup.Column{Name: name, Means: means, Unfit: fits(f)})
			return len(columns) - 1
		}
		s.at.kind = optional(spec.KindColumn, "kind", datasets.Category)
		s.at.given = optional(spec.Given, "given", datasets.Consent)
		s.at.time = optional(spec.Time, "time", datasets.EventTime)
		var err error
		if s.parquet, err = lookup.Open(ctx, fsys, name, globs, columns); err != nil {
			return err
		}
	}
	t.files = append(t.files, s)
	return nil
}

func fits(f datasets.Field) func(*column.Type) string {
	return func(c *column.Type) string { return c.WhyUnfit(f) }
}

func readText(ctx context.Context, fsys storage.FS, f files.File) (text, error) {
	data, err := storage.ReadFile(ctx, fsys, f.Path, maxText)
	if err != nil {
		return text{}, fault.InFile(f.Source, f.Path, -1, "", &fault.StorageError{Err: err})
	}
	x := text{File: f}
	x.Size = int64(len(data)) // no hash of it: that of one id would tell the id to whoever tries them all
	for line := range bytes.Lines(data) {
		x.lines = append(x.lines, string(bytes.TrimSpace(line)))
	}
	x.Rows = int64(len(x.lines))
	return x, nil
}

// List is the tables' files.
func (t *Tables) List() []files.File {
	var all []files.File
	for _, s := range t.files {
		if s.parquet != nil {
			all = append(all, s.parquet.Files...)
		}
		for _, x := range s.texts {
			all = append(all, x.File)
		}
	}
	return all
}

// Warnings are those of the tables' files.
func (t *Tables) Warnings() []string {
	var all []string
	for _, s := range t.files {
		if s.parquet != nil {
			all = append(all, s.parquet.Warnings...)
		}
	}
	return all
}

// Kinds are the kinds of id that tables without a column for it have.
func (t *Tables) Kinds() []string {
	var kinds []string
	for _, s := range t.files {
		if s.KindColumn == "" {
			kinds = append(kinds, s.Kind)
		}
	}
	slices.Sort(kinds)
	return slices.Compact(kinds)
}

// given says whether a value gives consent, as a consent column of events does.
func given(b []byte) bool {
	switch strings.ToLower(string(b)) {
	case "true", "t", "yes", "y", "1":
		return true
	}
	return false
}

// own is the kind of customers' own ids.
const own = identity.CustomerKind
