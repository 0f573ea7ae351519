package erase

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"math"
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/parquet-go/parquet-go"
	"github.com/rs/zerolog"

	"github.com/shoal-data/shoal/datasets/storage"
	"github.com/shoal-data/shoal/jobs/config"
	"github.com/shoal-data/shoal/jobs/nightly"
	"github.com/shoal-data/shoal/jobs/publish"
	"github.com/shoal-data/shoal/jobs/runs"
)

// event is a row of a shop whose customers are known by their addresses.
type event struct {
	Customer string `parquet:"customer"`
	Time     int64  `parquet:"at,timestamp(microsecond)"`
	Type     string `parquet:"type"`
	Amount   string `parquet:"amount"`
	Currency string `parquet:"currency"`
	Agreed   bool   `parquet:"agreed"`
	Diary    string `parquet:"diary"` // that is nobody's business
}

type said struct {
	Customer string `parquet:"customer_id"`
	Given    bool   `parquet:"consent"`
}

const secretDiary = "diary-that-is-never-read"

func person(n int) string { return fmt.Sprintf("person-%04d@example.org", n) }

// shop is a small history; everybody also has a row that cannot be used.
func shop(customers int, agrees func(n int) bool) []event {
	r := rand.New(rand.NewPCG(3, 5))
	var rows []event
	start := time.Date(2024, 1, 1, 0, 0, 0, 0, time.UTC)
	for n := range customers {
		e := event{Customer: person(n), Type: "order", Currency: "EUR", Agreed: agrees(n), Diary: secretDiary}
		rate := math.Exp(r.NormFloat64()) / 25
		e.Time, e.Amount = start.UnixMicro(), "not a price, by "+person(n)
		rows = append(rows, e)
		for at := start.Add(time.Duration(r.IntN(90*24)) * time.Hour); at.Before(start.AddDate(0, 10, 0)); at = at.Add(time.Duration(r.ExpFloat64() / rate * 24 * float64(time.Hour))) {
			e.Time, e.Amount = at.UnixMicro(), fmt.Sprintf("%.2f", 20*math.Exp(r.NormFloat64()/2))
			rows = append(rows, e)
		}
	}
	return rows
}

func write[T any](t *testing.T, path string, rows []T) {
	t.Helper()
	if err := parquet.WriteFile(path, rows); err != nil {
		t.Fatal(err)
	}
}

func job(t *testing.T, dir, extra string) *config.Config {
	t.Helper()
	c, err := config.Parse("test", []byte(fmt.Sprintf(`
sources:
  - path: %[1]s/events.parquet
    columns: {customer_id: customer, event_time: at, event_type: type, amount: amount, currency: currency, consent: agreed}
    roles: {purchase: [order]}
out: %[1]s/out
targets: [{name: churn, kind: churn, horizon: 45d}]
segmentations: [{name: behaviour, k: 3}]
models: {baselines: false}
gates: {action: off}
%[2]s`, dir, extra)), os.LookupEnv)
	if err != nil {
		t.Fatal(err)
	}
	return c
}

func night(t *testing.T, c *config.Config, date string, force bool) *nightly.Summary {
	t.Helper()
	s, err := nightly.Run(t.Context(), nightly.Options{Config: c, Date: date, FS: storage.Local(), Version: "test", Force: force, Log: zerolog.Nop(), Now: time.Now})
	if err != nil {
		t.Fatal(err)
	}
	return s
}

// places lists where any of the texts stands under a directory, in every byte of every file
// and in every value of every Parquet column: with nothing of what is tested.
func places(t *testing.T, dir string, texts ...string) (found []string) {
	t.Helper()
	has := func(b []byte) bool {
		return slices.ContainsFunc(texts, func(s string) bool { return bytes.Contains(b, []byte(s)) })
	}
	files := 0
	err := filepath.WalkDir(dir, func(path string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() {
			return err
		}
		files++
		b, err := os.ReadFile(path)
		if err != nil {
			return err
		}
		if has(b) || has([]byte(path)) {
			found = append(found, path)
		}
		if !strings.HasSuffix(path, ".parquet") {
			return nil
		}
		f, err := parquet.OpenFile(bytes.NewReader(b), int64(len(b)))
		if err != nil {
			return err
		}
		for _, group := range f.RowGroups() {
			for i, chunk := range group.ColumnChunks() {
				pages := chunk.Pages()
				for {
					page, err := pages.ReadPage()
					if err == io.EOF {
						break
					}
					if err != nil {
						return err
					}
					values := make([]parquet.Value, page.NumValues())
					if n, err := page.Values().ReadValues(values); err != nil && err != io.EOF || n < len(values) {
						return fmt.Errorf("%s: %d of %d values: %w", path, n, len(values), err)
					}
					for _, v := range values {
						if has([]byte(v.String())) {
							found = append(found, path+" "+f.Schema().Fields()[i].Name())
							break
						}
					}
				}
				pages.Close()
			}
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	if files == 0 {
		t.Fatalf("%s is empty", dir)
	}
	return found
}

func people(t *testing.T, c *config.Config, edit func(*Options)) (*Proof, error) {
	t.Helper()
	o := Options{Config: c, FS: storage.Local(), Version: "test", Now: time.Now}
	if edit != nil {
		edit(&o)
	}
	return People(t.Context(), o)
}

const (
	first  = "2024-08-31"
	second = "2024-09-30"
)

// Whom the lists name stands nowhere: not in what was published before, once it is erased,
// and not in what later runs publish. Everybody else does.
func TestPeopleAreGone(t *testing.T) {
	dir := t.TempDir()
	never := func(n int) bool { return n%10 != 9 } // by the consent column
	write(t, dir+"/events.parquet", shop(80, never))
	open := job(t, dir, "")
	night(t, open, first, false)
	replaced := night(t, open, first, true)
	other := night(t, open, second, false)

	var gone, refused, silent, stay []string
	var asked []said
	for n := range 80 {
		switch {
		case !never(n):
			silent = append(silent, person(n))
		case n%10 == 1:
			gone = append(gone, person(n))
		case n%10 == 2:
			refused = append(refused, person(n))
			asked = append(asked, said{person(n), false})
		default:
			stay = append(stay, person(n))
			asked = append(asked, said{person(n), true})
		}
	}
	if got := places(t, dir+"/out", silent...); len(got) > 0 {
		t.Errorf("people without consent stand in %v", got)
	}
	if got := places(t, dir+"/out", secretDiary, "diary"); len(got) > 0 {
		t.Errorf("a column that is not configured stands in %v", got)
	}
	for _, list := range [][]string{gone, refused} {
		got := strings.Join(places(t, dir+"/out", list...), " ")
		for _, table := range []string{"customer_scores", "features", "rejected_rows"} {
			if !strings.Contains(got, table) {
				t.Fatalf("people are not in %s before they are erased: the test would show nothing (%s)", table, got)
			}
		}
	}

	if err := os.WriteFile(dir+"/gone.txt", []byte("# asked by letter\n"+strings.Join(gone, "\n")+"\n"), 0o644); err != nil {
		t.Fatal(err)
	}
	write(t, dir+"/asked.parquet", asked)
	c := job(t, dir, "privacy: {erased: [{path: "+dir+"/gone.txt}], consents: [{path: "+dir+"/asked.parquet}]}\n")

	// Before anything is erased, a run that continues one that has them does not, not even
	// among those who are gone since.
	early := night(t, c, "2024-10-10", false)
	for _, at := range places(t, dir+"/out", slices.Concat(gone, refused, silent)...) {
		if strings.Contains(at, early.RunID) {
			t.Errorf("a run that continues one with them has them in %s", at)
		}
	}
	if early.Tables["changes"] == 0 {
		t.Error("nothing changed")
	}

	look, err := people(t, c, func(o *Options) { o.DryRun = true })
	if err != nil || look.Clean || len(look.Rewritten) > 0 || len(places(t, dir+"/out", gone...)) == 0 {
		t.Errorf("a dry run is %+v, %v", look, err)
	}
	proof, err := people(t, c, nil)
	if err != nil {
		t.Fatal(err)
	}
	if got := places(t, dir+"/out", gone...); len(got) > 0 {
		t.Errorf("erased people stand in %v", got)
	}
	if len(places(t, dir+"/out", refused...)) == 0 {
		t.Error("people who refuse were removed, too, and nobody asked for it")
	}
	if !proof.Clean || len(proof.Search.Found) > 0 || proof.IDs != len(gone) || len(proof.Rewritten) != 2 || proof.Search.Files < 30 || proof.Search.Values < 500 {
		t.Errorf("proof %+v, search %+v", proof, proof.Search)
	}
	for _, r := range proof.Rewritten {
		if want := int64(len(gone)); r.Rows["customer_scores"] != want || r.Rows["features"] != want || r.Rows["rejected_rows"] == 0 || len(r.LeftOut) > 0 {
			t.Errorf("of run %s %v rows are gone, and files %v; want %d", r.Run, r.Rows, r.LeftOut, want)
		}
	}
	var read Proof
	data, err := os.ReadFile(proof.File)
	if err == nil {
		err = json.Unmarshal(data, &read)
	}
	if err != nil || !read.Clean || read.Lists[0].Path != dir+"/gone.txt" {
		t.Errorf("the proof reads %+v, %v", read, err)
	}
	// What is published is whole, and the run that was replaced is gone.
	l, err := runs.List(t.Context(), storage.Local(), c.Out, time.Now())
	if err != nil {
		t.Fatal(err)
	}
	for _, r := range l.Runs {
		if r.State != runs.Current || r.ID != replaced.RunID+"-erased" && r.ID != other.RunID+"-erased" && r.ID != early.RunID {
			t.Errorf("run %+v", r)
		}
		problems, err := runs.Verify(t.Context(), storage.Local(), c.Out, r.Date, r.ID, true)
		if err != nil || len(problems) > 0 {
			t.Errorf("run %s: %v, %v", r.ID, problems, err)
		}
	}
	m, s, err := nightly.Published(t.Context(), storage.Local(), c.Out, second)
	if err != nil || s.RunID != m.RunID || s.Tables["customer_scores"] != m.Table("customer_scores").Rows || s.Tables["customer_scores"] != other.Tables["customer_scores"]-int64(len(gone)) {
		t.Errorf("the summary is of run %s with %v rows, the manifest of %s: %v", s.RunID, s.Tables, m.RunID, err)
	}
	if len(m.Models) == 0 || m.Report == nil {
		t.Error("the models or the page are gone")
	}
	if page, err := os.ReadFile(publish.Join(c.Out, m.Report.Path)); err != nil || !bytes.Contains(page, []byte(m.RunID)) || m.Table("changes") == nil || m.Table("changes").Rows == 0 {
		t.Errorf("the page is not of run %s, or nobody changed: %v", m.RunID, err)
	}
	for _, p := range stay {
		if len(places(t, dir+"/out", p)) == 0 {
			t.Errorf("%s is gone, too", p)
			break
		}
	}

	// Again there is nothing to do; those who refuse go when they are asked for.
	if again, err := people(t, c, nil); err != nil || len(again.Rewritten) > 0 || !again.Clean {
		t.Errorf("again: %+v, %v", again, err)
	}
	proof, err = people(t, c, func(o *Options) { o.Refused = true })
	if err != nil || len(proof.Rewritten) != 2 || proof.Rewritten[0].Became != replaced.RunID+"-erased-2" {
		t.Errorf("those who refuse: %+v, %v", proof, err)
	}
	if got := places(t, dir+"/out", refused...); len(got) > 0 {
		t.Errorf("people who refuse stand in %v", got)
	}

	// Later runs know none of them, whatever their date.
	for _, date := range []string{"2024-10-15", first} {
		s := night(t, c, date, false)
		if s.Status != nightly.StatusPublished || s.Input.Erased == 0 || s.Input.Withheld == 0 {
			t.Errorf("the night of %s is %s, %+v", date, s.Status, s.Input)
		}
	}
	if got := places(t, dir+"/out", slices.Concat(gone, refused, silent)...); len(got) > 0 {
		t.Errorf("later runs have them in %v", got)
	}
	if _, s, err := nightly.Published(t.Context(), storage.Local(), c.Out, first); err != nil || s.Tables["customer_scores"] == 0 {
		t.Errorf("a later run has nobody: %+v, %v", s, err)
	}
}

// Under a key no file has an id, and another key makes others; whoever is erased is found
// by the pseudonym, and only with the key.
func TestPseudonyms(t *testing.T) {
	dir := t.TempDir()
	write(t, dir+"/events.parquet", shop(60, func(int) bool { return true }))
	t.Setenv("SHOAL_TEST_KEY", "0123456789abcdef-one")
	privacy := func(more string) *config.Config {
		return job(t, dir, "privacy: {pseudonym_key_env: SHOAL_TEST_KEY"+more+"}\n")
	}
	var everybody []string
	for n := range 60 {
		everybody = append(everybody, person(n))
	}
	ids := func() []string {
		m, _, err := nightly.Published(t.Context(), storage.Local(), dir+"/out", first)
		if err != nil {
			t.Fatal(err)
		}
		var all []string
		rows, err := parquet.ReadFile[struct {
			Customer string `parquet:"customer_id,optional"`
		}](m.Paths(dir+"/out", "customer_scores")[0])
		for _, r := range rows {
			all = append(all, r.Customer)
		}
		if err != nil || len(all) < 50 {
			t.Fatal(len(all), err)
		}
		slices.Sort(all)
		return all
	}
	one := night(t, privacy(""), first, false)
	before := ids()
	if again := night(t, privacy(""), first, false); again.Status != nightly.StatusNoop {
		t.Errorf("the same key makes another run: %s", again.Status)
	}
	t.Setenv("SHOAL_TEST_KEY", "0123456789abcdef-two")
	two := night(t, privacy(""), first, false)
	after := ids()
	for _, id := range after {
		if _, found := slices.BinarySearch(before, id); found || len(id) != 64 {
			t.Errorf("pseudonym %s is of both keys, or none", id)
		}
	}
	if len(before) != len(after) || one.PseudonymKey == two.PseudonymKey || one.RunID == two.RunID {
		t.Errorf("keys %s and %s, runs %s and %s", one.PseudonymKey, two.PseudonymKey, one.RunID, two.RunID)
	}
	if got := places(t, dir+"/out", append(everybody, "0123456789abcdef-")...); len(got) > 0 {
		t.Errorf("ids or keys stand in %v", got)
	}

	if err := os.WriteFile(dir+"/gone.txt", []byte(person(7)+"\n"), 0o644); err != nil {
		t.Fatal(err)
	}
	c := privacy(", erased: [{path: " + dir + "/gone.txt}]")
	t.Setenv("SHOAL_TEST_KEY", "0123456789abcdef-three")
	if _, err := people(t, c, nil); nightly.ExitCode(err) != nightly.ExitUsage || !strings.Contains(err.Error(), two.PseudonymKey) {
		t.Errorf("without the key: %v", err)
	}
	t.Setenv("SHOAL_TEST_KEY", "0123456789abcdef-two")
	key, err := c.Privacy.PseudonymKey()
	if err != nil {
		t.Fatal(err)
	}
	if len(places(t, dir+"/out", key.Of(person(7)))) == 0 {
		t.Fatal("the person is not there before")
	}
	proof, err := people(t, c, nil)
	if err != nil || len(proof.Rewritten) != 1 || proof.Rewritten[0].Rows["customer_scores"] != 1 {
		t.Errorf("proof %+v, %v", proof, err)
	}
	if got := places(t, dir+"/out", key.Of(person(7))); len(got) > 0 {
		t.Errorf("the pseudonym stands in %v", got)
	}
	night(t, c, second, false)
	if got := places(t, dir+"/out", append(everybody, key.Of(person(7)))...); len(got) > 0 {
		t.Errorf("a later run has them in %v", got)
	}
}

// The search finds an id wherever it is hidden, and says where; what erasing cannot remove
// is an error, and the proof is none.
func TestNothingIsOverlooked(t *testing.T) {
	dir := t.TempDir()
	write(t, dir+"/events.parquet", shop(40, func(int) bool { return true }))
	if err := os.WriteFile(dir+"/gone.txt", []byte(person(3)+"\n"), 0o644); err != nil {
		t.Fatal(err)
	}
	c := job(t, dir, "privacy: {erased: [{path: "+dir+"/gone.txt}]}\n")
	night(t, c, first, false)
	for _, name := range []string{"notes.txt", ".hidden", "a/b/_x", ".staging-x/c/.d", "models/ds=2024-08-31/y.bin"} {
		path := filepath.Join(dir, "out", name)
		if err := errors.Join(os.MkdirAll(filepath.Dir(path), 0o755), os.WriteFile(path, []byte("\x00"+person(3)+"\x00"), 0o644)); err != nil {
			t.Fatal(err)
		}
		proof, err := people(t, c, nil)
		if !errors.Is(err, ErrFound) || nightly.ExitCode(err) != nightly.ExitBadData || proof.Clean || len(proof.Search.Found) != 1 || proof.Search.Found[0].Path != name {
			t.Errorf("%s: %v, %+v", name, err, proof)
		}
		os.Remove(path)
	}
	if _, err := people(t, job(t, dir, ""), nil); nightly.ExitCode(err) != nightly.ExitUsage {
		t.Errorf("without a list: %v", err)
	}
	// A date that somebody works on cannot be settled.
	hold, err := publish.Take(t.Context(), storage.Local(), publish.DefaultOptions(c.Out, second, ""))
	if err != nil {
		t.Fatal(err)
	}
	if _, err := people(t, c, nil); nightly.ExitCode(err) != nightly.ExitTransient {
		t.Errorf("while a run is at work: %v", err)
	}
	if err := hold.Release(); err != nil {
		t.Fatal(err)
	}
	if _, err := people(t, c, nil); err != nil {
		t.Error(err)
	}
}

// Ids are found across pieces of a file, at its ends, and only as words of their own.
func TestSought(t *testing.T) {
	s := NewSought([]string{"alice", "c0001", "77", "12345", "b@x"})
	for text, want := range map[string]int{
		"alice": 1, " alice ": 1, "malice": 0, "alices": 0, "alice alice": 2, "\x05alice\x00": 1, "c0001": 1, "c00012": 0, "ac0001": 0,
		"12345": 0, "77": 0, "b@x": 0, "": 0, "alic": 0, "c0001,c0002": 1,
	} {
		if got := s.in([]byte(text), 0, len(text)); got != want {
			t.Errorf("%q: %d, want %d", text, got, want)
		}
	}
	const piece = 4 << 20
	for _, at := range []int{0, 1, piece - 5, piece - 4, piece - 1, piece, piece + 1, 2*piece - 2, 2*piece + 5} {
		b := bytes.Repeat([]byte{'.'}, 2*piece+10)
		copy(b[at:], "alice")
		hits, err := s.raw(context.Background(), bytes.NewReader(b), int64(len(b)))
		if err != nil || hits != 1 {
			t.Errorf("at %d: %d hits, %v", at, hits, err)
		}
	}
	b := bytes.Repeat([]byte{'.'}, piece+10)
	copy(b[piece-1:], "xalice")
	copy(b[piece-10:], "alice")
	if hits, err := s.raw(context.Background(), bytes.NewReader(b), int64(len(b))); err != nil || hits != 1 {
		t.Errorf("%d hits, %v", hits, err)
	}
}

// Lines of CSV go whole, quoted line feeds and all; the rest stays byte for byte.
func TestLines(t *testing.T) {
	e := &eraser{sought: NewSought([]string{"alice", "77"})}
	for in, want := range map[string]string{
		"id,n\nalice,1\nbob,2\n":              "id,n\nbob,2\n",
		"id,n\r\n\"bob \"\"b\"\"\",1\r\n77,2": "id,n\r\n\"bob \"\"b\"\"\",1\r\n",
		"n,id\n\"a\nb\",alice\n3,bob":         "n,id\n3,bob",
		"id\n770\n77\n":                       "id\n770\n",
		"":                                    "",
	} {
		r := &Rewrite{Rows: map[string]int64{}}
		got, err := e.lines([]byte(in), "x.csv", r)
		if err != nil || string(got) != want {
			t.Errorf("%q became %q, %v; want %q", in, got, err, want)
		}
	}
	if _, err := e.lines([]byte("a,\"b\n"), "x.csv", &Rewrite{Rows: map[string]int64{}}); err == nil {
		t.Error("broken CSV is no error")
	}
}
