package features_test

import (
	"bufio"
	"os"
	"strconv"
	"testing"

	"github.com/shoal-data/shoal/features"
	"github.com/shoal-data/shoal/features/featuretest"
	"github.com/shoal-data/shoal/features/timeline"
)

// With SHOAL_TABLES set to a file, the tables of TestEveryColumnEqualsItsSQL are
// written to it, a column a line: its name, then its values. The mutation runner
// of featuretest tells by them which mutants that test would notice, without
// asking DuckDB hundreds of times for the same answers.
func TestWriteTables(t *testing.T) {
	path := os.Getenv("SHOAL_TABLES")
	if path == "" {
		t.Skip("SHOAL_TABLES is not set")
	}
	file, err := os.Create(path)
	if err != nil {
		t.Fatal(err)
	}
	w := bufio.NewWriter(file)
	es := proven()
	families := features.All(features.DefaultParams())
	for _, c := range cases(t) {
		store := load(t, es, 1, timeline.Options{Zone: c.zone})
		for _, table := range featuretest.Tables(t, store, families, c.asOfs, 1) {
			for _, f := range families {
				for _, column := range f.Columns {
					values, err := table.Values(column.Name)
					if err != nil {
						t.Fatal(err)
					}
					w.WriteString(column.Name)
					for _, v := range values {
						w.WriteByte(' ')
						w.WriteString(strconv.FormatFloat(v, 'g', -1, 64))
					}
					w.WriteByte('\n')
				}
			}
		}
	}
	if err := w.Flush(); err != nil {
		t.Fatal(err)
	}
	if err := file.Close(); err != nil {
		t.Fatal(err)
	}
}
