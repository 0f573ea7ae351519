package nightly

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"reflect"
	"strings"
	"testing"

	"github.com/apache/arrow/go/v17/arrow/array"

	"github.com/shoal-data/shoal/datasets/storage"
	"github.com/shoal-data/shoal/datasets/tables"
	"github.com/shoal-data/shoal/jobs/config"
	"github.com/shoal-data/shoal/jobs/publish"
	"github.com/shoal-data/shoal/jobs/segments"
)

// fates reads segment_history: the status of every id.
func fates(t *testing.T, c *config.Config, date string) map[int]string {
	t.Helper()
	m, ok, err := publish.ReadCurrent(t.Context(), storage.Local(), c.Out, date)
	if err != nil || !ok {
		t.Fatal(ok, err)
	}
	status := map[int]string{}
	for _, path := range m.Paths(c.Out, segments.HistoryTable) {
		f, err := storage.Local().Open(t.Context(), path)
		if err != nil {
			t.Fatal(err)
		}
		defer f.Close()
		in, err := tables.Open(f, f.Size())
		if err != nil {
			t.Fatal(err)
		}
		for rec, err := range in.Records(t.Context(), "segment_id", "status") {
			if err != nil {
				t.Fatal(err)
			}
			for i := range int(rec.NumRows()) {
				status[int(rec.Column(0).(*array.Int32).Value(i))] = rec.Column(1).(*array.String).Value(i)
			}
		}
	}
	return status
}

// warned says whether a run warned of a code, in words that hold what is given.
func warned(s *Summary, code, words string) bool {
	for _, w := range s.Warnings {
		if w.Code == code && strings.Contains(w.Message, words) {
			return true
		}
	}
	return false
}

// fourSegments fixes the number, so that no night is without segments.
const fourSegments = "segmentations: [{name: behaviour, k: 4}]\n"

// untargeted is a job that predicts nothing, for the sake of time.
func untargeted(t *testing.T, dir, extra string) *config.Config {
	c := job(t, dir, extra)
	c.Targets = nil
	return c
}

// A run continues the latest earlier one, whatever was published in between: it
// is part of what makes two runs the same.
func TestNightsContinue(t *testing.T) {
	dir := t.TempDir()
	write(t, filepath.Join(dir, "a.parquet"), shop(5, 300))
	c := untargeted(t, dir, fourSegments)
	run := func(date, want string) *Summary {
		t.Helper()
		s, err := night(t, c, date, nil)
		if err != nil || s.Status != want {
			t.Fatalf("%s: %s, %v, want %s", date, s.Status, err, want)
		}
		return s
	}
	first, third := run("2024-11-28", StatusPublished), run("2024-11-30", StatusPublished)
	if got := fates(t, c, "2024-11-30"); !reflect.DeepEqual(got, map[int]string{1: segments.Kept, 2: segments.Kept, 3: segments.Kept, 4: segments.Kept}) {
		t.Errorf("two days later: %v", got)
	}
	if first.Segments[0].Name != third.Segments[0].Name {
		t.Errorf("segment 1 was named %q, now %q", first.Segments[0].Name, third.Segments[0].Name)
	}
	run("2024-11-28", StatusNoop) // that a later date is there changes nothing
	run("2024-11-30", StatusNoop)
	before := published(t, c.Out)
	run("2024-11-29", StatusPublished) // in between: the next one now has another to continue
	run("2024-11-28", StatusNoop)
	again := run("2024-11-30", StatusPublished)
	if again.RunID == third.RunID {
		t.Error("a run that continues another has the same id")
	}
	run("2024-11-29", StatusNoop)
	run("2024-11-30", StatusNoop)
	after := published(t, c.Out)
	for file, sum := range before {
		if after[file] != sum {
			t.Errorf("%s was changed", file)
		}
	}

	// The same nights in another place, in order and each once, make the same bytes.
	other := untargeted(t, dir, fourSegments)
	for _, date := range []string{"2024-11-28", "2024-11-29", "2024-11-30"} {
		if _, err := night(t, other, date, func(o *Options) { o.Config.Limits.Workers = config.AutoInt{N: 1} }); err != nil {
			t.Fatal(err)
		}
	}
	for file, sum := range published(t, other.Out) {
		if after[file] != sum {
			t.Errorf("%s differs from that of nights in another order", file)
		}
	}
}

// A run to continue that is damaged, gone or of another program is passed over for
// the one before it, and the run says so. No id is given twice.
func TestNightsAfterDamage(t *testing.T) {
	const first, second, third = "2024-11-28", "2024-11-29", "2024-11-30"
	for _, d := range []struct {
		name, want string
		damage     func(t *testing.T, c *config.Config, m *publish.Manifest)
		ids        string // where the third night's ids come from
	}{
		{"none", "", func(*testing.T, *config.Config, *publish.Manifest) {}, second},
		{"model cut short", "bytes, was written with", func(t *testing.T, c *config.Config, m *publish.Manifest) {
			must(t, os.Truncate(m.Paths(c.Out, segments.ModelsTable)[0], 700))
		}, first},
		{"model overwritten", "segment_models", func(t *testing.T, c *config.Config, m *publish.Manifest) {
			path := m.Paths(c.Out, segments.ModelsTable)[0]
			b, err := os.ReadFile(path)
			must(t, err)
			for i := range b[len(b)/3 : len(b)/2] {
				b[len(b)/3+i] ^= 0x55
			}
			must(t, os.WriteFile(path, b, 0o644))
		}, first},
		{"manifest gone", "no such file", func(t *testing.T, c *config.Config, m *publish.Manifest) {
			must(t, os.RemoveAll(filepath.Dir(filepath.Join(c.Out, m.Path()))))
		}, first},
		{"scores gone", "recognised by their centres alone", func(t *testing.T, c *config.Config, m *publish.Manifest) {
			must(t, os.Remove(m.Paths(c.Out, "customer_scores")[0]))
		}, second},
		{"another schema", "has no table segment_models", func(t *testing.T, c *config.Config, m *publish.Manifest) {
			rewrite(t, c, second, func(m *publish.Manifest) {
				for i := range m.Tables {
					if m.Tables[i].Name == segments.ModelsTable {
						m.Tables[i].Name = "other"
					}
				}
			})
		}, first},
		{"another column", "has no column segment_id", func(t *testing.T, c *config.Config, m *publish.Manifest) {
			rewrite(t, c, second, func(m *publish.Manifest) {
				table := m.Table("customer_scores")
				for i := range table.Columns {
					if table.Columns[i].Name == "segment_id" {
						table.Columns[i].Name = "segment"
					}
				}
			})
		}, second},
	} {
		t.Run(d.name, func(t *testing.T) {
			dir := t.TempDir()
			write(t, filepath.Join(dir, "a.parquet"), shop(5, 200))
			c := untargeted(t, dir, fourSegments)
			for _, date := range []string{first, second} {
				if _, err := night(t, c, date, nil); err != nil {
					t.Fatal(err)
				}
			}
			m, _, err := publish.ReadCurrent(t.Context(), storage.Local(), c.Out, second)
			must(t, err)
			d.damage(t, c, m)
			s, err := night(t, c, third, nil)
			if err != nil {
				t.Fatal(err)
			}
			if got := warned(s, "segments.past_unusable", d.want); got != (d.want != "") {
				t.Errorf("warnings %v, want %q", s.Warnings, d.want)
			}
			if s.Segments[0].ID > 4 {
				t.Errorf("ids begin anew: %+v", s.Segments)
			}
			from := ""
			m, _, err = publish.ReadCurrent(t.Context(), storage.Local(), c.Out, third)
			must(t, err)
			f, err := storage.Local().Open(t.Context(), m.Paths(c.Out, segments.HistoryTable)[0])
			must(t, err)
			defer f.Close()
			in, err := tables.Open(f, f.Size())
			must(t, err)
			for rec, err := range in.Records(t.Context(), "before_date") {
				must(t, err)
				from = rec.Column(0).(*array.String).Value(0)
			}
			if from != d.ids {
				t.Errorf("it continues %q, want %q", from, d.ids)
			}
		})
	}
}

func must(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

// rewrite changes the manifest of a published run, as another program would have
// written it.
func rewrite(t *testing.T, c *config.Config, date string, edit func(*publish.Manifest)) {
	t.Helper()
	p, err := publish.ReadPointer(t.Context(), storage.Local(), c.Out)
	must(t, err)
	m, _, err := publish.ReadCurrent(t.Context(), storage.Local(), c.Out, date)
	must(t, err)
	edit(m)
	data, err := json.Marshal(m)
	must(t, err)
	sum := sha256.Sum256(data)
	entry := p.Dates[date]
	entry.SHA256 = hex.EncodeToString(sum[:])
	p.Dates[date] = entry
	must(t, os.WriteFile(filepath.Join(c.Out, entry.Manifest), data, 0o644))
	data, err = json.Marshal(p)
	must(t, err)
	must(t, os.WriteFile(filepath.Join(c.Out, "current.json"), data, 0o644))
}

// A disk that does not answer is no reason to begin new segments: the run fails
// and can be retried.
type deafFS struct {
	storage.FS
	deaf string
}

func (f deafFS) Open(ctx context.Context, path string) (storage.File, error) {
	if strings.Contains(path, f.deaf) {
		return nil, &fs.PathError{Op: "open", Path: path, Err: errors.New("input/output error")}
	}
	return f.FS.Open(ctx, path)
}

func TestNightsOnADeafDisk(t *testing.T) {
	dir := t.TempDir()
	write(t, filepath.Join(dir, "a.parquet"), shop(5, 150))
	c := untargeted(t, dir, fourSegments)
	if _, err := night(t, c, "2024-11-29", nil); err != nil {
		t.Fatal(err)
	}
	for _, table := range []string{segments.ModelsTable, "customer_scores", "manifest.json"} {
		s, err := night(t, c, "2024-11-30", func(o *Options) { o.FS = deafFS{o.FS, table} })
		if ExitCode(err) != ExitTransient || s.Status != StatusFailed {
			t.Errorf("%s cannot be read: %s, exit code %d, %v", table, s.Status, ExitCode(err), err)
		}
	}
}

// A segmentation that is left out for a night goes on where it was.
func TestNightsLeaveOut(t *testing.T) {
	dir := t.TempDir()
	write(t, filepath.Join(dir, "a.parquet"), shop(5, 200))
	c := untargeted(t, dir, "segmentations: [{name: behaviour, k: 3}, {name: money, k: 4, features: [spend_365d, average_order_value]}]\n")
	all := c.Segmentations
	for i, date := range []string{"2024-11-27", "2024-11-28", "2024-11-29", "2024-11-30"} {
		c.Segmentations = all
		if i == 1 {
			c.Segmentations = all[:1]
		}
		if i == 2 {
			c.Segmentations = nil
		}
		s, err := night(t, c, date, nil)
		if err != nil {
			t.Fatal(err)
		}
		if i == 3 {
			ids := map[string][]int{}
			for _, g := range s.Segments {
				ids[g.Segmentation] = append(ids[g.Segmentation], g.ID)
			}
			for name, k := range map[string]int{"behaviour": 3, "money": 4} {
				for _, id := range ids[name] {
					if id > k {
						t.Errorf("%s: ids %v after two nights without it", name, ids[name])
						break
					}
				}
			}
		}
	}
	c.Segmentations = all
	if fmt.Sprint(fates(t, c, "2024-11-29")) != "map[]" {
		t.Error("a night without segmentations has segments")
	}
}
