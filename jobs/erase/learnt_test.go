package erase

import (
	"bytes"
	"fmt"
	"os"
	"slices"
	"strings"
	"testing"

	"github.com/parquet-go/parquet-go"

	"github.com/shoal-data/shoal/datasets/storage"
	"github.com/shoal-data/shoal/jobs/config"
	"github.com/shoal-data/shoal/jobs/nightly"
	"github.com/shoal-data/shoal/jobs/publish"
)

// Whoever is erased or has not agreed teaches the models nothing: they are, byte for byte,
// those of a history in which these people never were, and so is every table but for the
// run's id.
func TestModelsLearnNothingFromThem(t *testing.T) {
	agrees := func(n int) bool { return n%10 != 9 }
	everybody := shop(120, agrees)
	out := func(n int) bool { return n%10 == 1 || n%10 == 2 }
	var others []event
	for _, e := range everybody {
		var n int
		if _, err := fmt.Sscanf(e.Customer, "person-%d@", &n); err != nil {
			t.Fatal(err)
		}
		if agrees(n) && !out(n) {
			others = append(others, e)
		}
	}
	var gone []string
	var asked []said
	for n := range 120 {
		if n%10 == 1 {
			gone = append(gone, person(n))
		}
		if n%10 == 2 {
			asked = append(asked, said{person(n), false})
		}
	}
	made := func(rows []event, privacy func(dir string) string) (c *config.Config, m *publish.Manifest) {
		dir := t.TempDir()
		write(t, dir+"/events.parquet", rows)
		c = job(t, dir, privacy(dir))
		night(t, c, first, false)
		m, _, err := nightly.Published(t.Context(), storage.Local(), c.Out, first)
		if err != nil {
			t.Fatal(err)
		}
		return c, m
	}
	with, mWith := made(everybody, func(dir string) string {
		if err := os.WriteFile(dir+"/gone.txt", []byte(strings.Join(gone, "\n")), 0o644); err != nil {
			t.Fatal(err)
		}
		write(t, dir+"/asked.parquet", asked)
		return "privacy: {erased: [{path: " + dir + "/gone.txt}], consents: [{path: " + dir + "/asked.parquet}], unlisted: used}\n"
	})
	without, mWithout := made(others, func(string) string { return "" })

	models := 0
	for _, f := range mWith.Models {
		name := f.Path[strings.LastIndexByte(f.Path, '/')+1:]
		if strings.Contains(name, ".card.") {
			continue // which names the run
		}
		a, errA := publish.ReadModel(t.Context(), storage.Local(), with.Out, mWith, name)
		b, errB := publish.ReadModel(t.Context(), storage.Local(), without.Out, mWithout, name)
		if errA != nil || errB != nil || !bytes.Equal(a, b) {
			t.Errorf("model %s differs where they are left out: %v, %v", name, errA, errB)
		}
		models++
	}
	values := 0
	for _, table := range mWith.Tables {
		if table.Name == "rejected_rows" { // where the rows lie in their file
			continue
		}
		a, b := texts(t, mWith.Paths(with.Out, table.Name)), texts(t, mWithout.Paths(without.Out, table.Name))
		if !slices.Equal(a, b) {
			t.Errorf("table %s has %d values, %d where they never were, or others", table.Name, len(a), len(b))
		}
		values += len(a)
	}
	if models < 2 || values < 5000 {
		t.Errorf("%d models and %d values compared", models, values)
	}
	t.Logf("%d models and %d values compared", models, values)
}

// texts are the values of every column but the run's id.
func texts(t *testing.T, files []string) (all []string) {
	t.Helper()
	for _, path := range files {
		data, err := os.ReadFile(path)
		if err != nil {
			t.Fatal(err)
		}
		f, err := parquet.OpenFile(bytes.NewReader(data), int64(len(data)))
		if err != nil {
			t.Fatal(err)
		}
		for _, group := range f.RowGroups() {
			rows := group.Rows()
			buffer := make([]parquet.Row, group.NumRows())
			for n := 0; n < len(buffer); {
				k, err := rows.ReadRows(buffer[n:])
				for _, row := range buffer[n : n+k] {
					for _, v := range row {
						if name := f.Schema().Columns()[v.Column()][0]; name != "run_id" {
							all = append(all, name+"="+v.String())
						}
					}
				}
				if n += k; k == 0 && err != nil {
					t.Fatal(err)
				}
			}
			rows.Close()
		}
	}
	return all
}
