// Package featuretest checks feature families: their declarations against the
// rules every column obeys and against their values, and their values against their own SQL in DuckDB.
package featuretest

import (
	"bytes"
	"context"
	_ "embed"
	"encoding/json"
	"math"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strconv"
	"testing"
	"time"

	"github.com/apache/arrow/go/v17/arrow/ipc"

	"github.com/shoal-data/shoal/features"
	"github.com/shoal-data/shoal/features/timeline"
)

//go:embed oracle.py
var oracle string

var columnName = regexp.MustCompile(`^[a-z][a-z0-9_]{0,62}$`)

// Declarations checks what can be said of families without data.
func Declarations(t *testing.T, families []features.Family) {
	t.Helper()
	seen := map[string]string{}
	for _, f := range families {
		if f.Name == "" || f.Meaning == "" || f.From == "" || f.New == nil || len(f.Columns) == 0 {
			t.Errorf("family %q: Name, Meaning, From, Columns and New are all required", f.Name)
		}
		for _, c := range f.Columns {
			if !columnName.MatchString(c.Name) {
				t.Errorf("%s: column %q must match %s", f.Name, c.Name, columnName)
			}
			if other, dup := seen[c.Name]; dup {
				t.Errorf("%s: column %q is also declared by %s", f.Name, c.Name, other)
			}
			seen[c.Name] = f.Name
			if c.Unit == "" || c.Range == "" || c.Null == "" || c.Meaning == "" || c.SQL == "" {
				t.Errorf("%s: column %q must declare unit, range, null policy, meaning and SQL", f.Name, c.Name)
			}
		}
	}
}

var interval = regexp.MustCompile(`^([[(])(-∞|-?[0-9.]+), (∞|-?[0-9.]+)([\])])$`)

// Values checks what the declarations say of values against the tables: every
// value is in its column's range, a column that is never null has no null and
// any other has some, and none is a constant, which any wrong rule could equal.
// A column whose window is longer than the tables' histories will fail.
func Values(t *testing.T, tables []*features.Table, families []features.Family) {
	t.Helper()
	for _, f := range families {
		for _, c := range f.Columns {
			m := interval.FindStringSubmatch(c.Range)
			if m == nil {
				t.Errorf("%s: the range %q of %s is not an interval such as [0, ∞)", f.Name, c.Range, c.Name)
				continue
			}
			low, high := bound(m[2]), bound(m[3])
			distinct := map[float64]bool{}
			nulls := 0
			for _, table := range tables {
				values, err := table.Values(c.Name)
				if err != nil {
					t.Error(err)
				}
				for _, v := range values {
					switch {
					case math.IsNaN(v):
						nulls++
					case v < low || v > high || math.IsInf(v, 0) || m[1] == "(" && v == low || m[4] == ")" && v == high:
						t.Errorf("%s: %s is %v as of %s, outside its range %s", f.Name, c.Name, v, table.AsOf, c.Range)
					default:
						distinct[v] = true
					}
				}
			}
			if len(distinct) < 2 {
				t.Errorf("%s: %s takes %d distinct values: this history does not exercise it", f.Name, c.Name, len(distinct))
			}
			if (c.Null == "never") != (nulls == 0) {
				t.Errorf("%s: %s is null for %d customers, and is declared so when: %s", f.Name, c.Name, nulls, c.Null)
			}
		}
	}
}

func bound(s string) float64 {
	switch s {
	case "-∞":
		return math.Inf(-1)
	case "∞":
		return math.Inf(1)
	}
	v, err := strconv.ParseFloat(s, 64)
	if err != nil {
		return math.NaN()
	}
	return v
}

// Tables builds the feature table of every as-of moment in memory.
func Tables(t *testing.T, store *timeline.Store, families []features.Family, asOfs []timeline.AsOf, workers int) []*features.Table {
	t.Helper()
	snapshots := make([]features.Snapshot, len(asOfs))
	tables := make([]*features.Table, len(asOfs))
	for i, a := range asOfs {
		snapshots[i] = features.Snapshot{AsOf: a}
		tables[i] = features.NewTable(families, snapshots[i], store.IDType())
	}
	err := features.Build(context.Background(), store, families, snapshots, workers, func(_ int, b features.Batch) error {
		return tables[b.Snapshot].Put(b)
	}, nil)
	if err != nil {
		t.Fatal(err)
	}
	return tables
}

// WriteIPC writes a table as an Arrow IPC file and returns its path.
func WriteIPC(t *testing.T, table *features.Table) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), "table.arrow")
	f, err := os.Create(path)
	if err != nil {
		t.Fatal(err)
	}
	w, err := ipc.NewFileWriter(f, ipc.WithSchema(table.Schema))
	if err != nil {
		t.Fatal(err)
	}
	for r, err := range table.Records() {
		if err != nil {
			t.Fatal(err)
		}
		if err := w.Write(r); err != nil {
			t.Fatal(err)
		}
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	if err := f.Close(); err != nil {
		t.Fatal(err)
	}
	return path
}

// A Mismatch is one value on which Shoal and the SQL differ.
type Mismatch struct {
	Snapshot int    `json:"snapshot"`
	Family   string `json:"family"`
	Column   string `json:"column"`
	Customer string `json:"customer"`
	Shoal    string `json:"shoal"`
	SQL      string `json:"sql"`
}

// Compare runs the families' SQL over the table that the events statements make and
// returns values (at most three a column) that differ from the tables by more than
// 1e-9, relative to the larger. python is an interpreter with duckdb and pyarrow.
func Compare(t *testing.T, python string, events []string, tables []*features.Table, families []features.Family, zone *time.Location) []Mismatch {
	t.Helper()
	type family struct {
		Name    string   `json:"name"`
		SQL     string   `json:"sql"`
		Columns []string `json:"columns"`
	}
	type snapshot struct {
		History  string   `json:"history"`
		Table    string   `json:"table"`
		Families []family `json:"families"`
	}
	var snapshots []snapshot
	for _, table := range tables {
		s := snapshot{History: features.HistorySQL(table.AsOf, zone), Table: WriteIPC(t, table)}
		for _, f := range families {
			q := family{Name: f.Name, SQL: f.SQL(table.AsOf)}
			for _, c := range f.Columns {
				q.Columns = append(q.Columns, c.Name)
			}
			s.Families = append(s.Families, q)
		}
		snapshots = append(snapshots, s)
	}
	job, err := json.Marshal(map[string]any{"events": events, "snapshots": snapshots})
	if err != nil {
		t.Fatal(err)
	}
	var stdout, stderr bytes.Buffer
	cmd := exec.Command(python, "-c", oracle)
	cmd.Stdin, cmd.Stdout, cmd.Stderr = bytes.NewReader(job), &stdout, &stderr
	if err := cmd.Run(); err != nil {
		t.Fatalf("oracle: %v\n%s", err, stderr.String())
	}
	var wrong []Mismatch
	if err := json.Unmarshal(stdout.Bytes(), &wrong); err != nil {
		t.Fatalf("oracle: %v\n%s", err, stdout.String())
	}
	return wrong
}

// Report fails the test with the first mismatches.
func Report(t *testing.T, wrong []Mismatch) {
	t.Helper()
	for i, m := range wrong {
		if i == 10 {
			t.Errorf("… and %d more", len(wrong)-i)
			break
		}
		t.Errorf("snapshot %d, %s.%s of customer %s: Shoal %s, SQL %s", m.Snapshot, m.Family, m.Column, m.Customer, m.Shoal, m.SQL)
	}
}
