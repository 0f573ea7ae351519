package runs

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"slices"
	"strings"

	"github.com/shoal-data/shoal/datasets/storage"
	"github.com/shoal-data/shoal/datasets/tables"
	"github.com/shoal-data/shoal/jobs/publish"
)

const maxFile = 256 << 20 // bytes of a manifest or pointer: a guard, not a target

// Verify says in what a published run is not as it was written: its manifest and
// _SUCCESS byte for byte, its files' presence and sizes, files that are not its
// own, and what the pointer says. With readData every byte is hashed and every
// footer compared with the manifest. The error is for what could not be looked
// at.
func Verify(ctx context.Context, fsys storage.FS, out, date, run string, readData bool) ([]publish.Problem, error) {
	v := &verifier{ctx: ctx, fsys: fsys, out: publish.Clean(out)}
	dir := manifests + "/ds=" + date + "/run=" + run
	mark, data := v.read(dir+"/_SUCCESS"), v.read(dir+"/manifest.json")
	if data != nil && mark != nil {
		want, err := publish.Encode(publish.Success{Date: date, Run: run, SHA256: sum(data)})
		if err != nil {
			return nil, err
		}
		if !bytes.Equal(mark, want) {
			v.problem(dir, "manifest.json and _SUCCESS do not belong together: one was changed since they were written (SHA-256 of the manifest is %s)", sum(data))
		}
	}
	var m publish.Manifest
	if data != nil {
		if err := json.Unmarshal(data, &m); err != nil {
			v.problem(dir+"/manifest.json", "%v", err)
			data = nil
		} else if m.Date != date || m.RunID != run {
			v.problem(dir+"/manifest.json", "is about run %s of %s", m.RunID, m.Date)
		}
	}
	if data != nil {
		problems, err := publish.Verify(ctx, fsys, v.out, &m, readData)
		v.problems = append(v.problems, problems...)
		v.keep(err)
		if readData {
			v.footers(&m)
		}
		v.strays(&m, date, run)
	}
	v.pointer(date, run, data, readData)
	return v.problems, v.err
}

type verifier struct {
	ctx      context.Context
	fsys     storage.FS
	out      string
	problems []publish.Problem
	err      error
}

func (v *verifier) problem(at, format string, args ...any) {
	v.problems = append(v.problems, publish.Problem{Path: at, Fault: fmt.Sprintf(format, args...)})
}

// keep keeps the first error.
func (v *verifier) keep(err error) {
	if v.err == nil {
		v.err = err
	}
}

// read reads a small file whole; a missing one is a problem.
func (v *verifier) read(file string) []byte {
	data, err := storage.ReadFile(v.ctx, v.fsys, publish.Join(v.out, file), maxFile)
	switch {
	case errors.Is(err, fs.ErrNotExist):
		v.problem(file, "missing")
		return nil
	case err != nil:
		v.keep(publish.OutputError("reading", publish.Join(v.out, file), err))
		return nil
	}
	return data
}

// footers compares what each file says of itself with the manifest.
func (v *verifier) footers(m *publish.Manifest) {
	for _, t := range m.Tables {
		for _, f := range t.Files {
			if slices.ContainsFunc(v.problems, func(p publish.Problem) bool { return p.Path == f.Path }) {
				continue // said already
			}
			file, err := v.fsys.Open(v.ctx, publish.Join(v.out, f.Path))
			if err != nil {
				v.keep(publish.OutputError("reading", publish.Join(v.out, f.Path), err))
				continue
			}
			got, err := tables.Open(file, file.Size())
			switch {
			case err != nil:
				v.problem(f.Path, "%v", err)
			case got.Table() != t.Name || got.SchemaVersion() != t.SchemaVersion || !slices.Equal(got.Columns(), t.Columns):
				v.problem(f.Path, "is of table %s, version %d, with %d columns; the manifest says %s, version %d, %d columns", got.Table(), got.SchemaVersion(), len(got.Columns()), t.Name, t.SchemaVersion, len(t.Columns))
			case got.NumRows() != f.Rows:
				v.problem(f.Path, "has %d rows, was written with %d", got.NumRows(), f.Rows)
			}
			file.Close()
		}
	}
}

// strays finds files in the run's directories that the manifest does not list: a
// reader of the directory would take them for the run's.
func (v *verifier) strays(m *publish.Manifest, date, run string) {
	dir := manifests + "/ds=" + date + "/run=" + run
	listed := map[string]bool{dir + "/manifest.json": true, dir + "/_SUCCESS": true}
	for _, t := range m.Tables {
		for _, f := range t.Files {
			listed[f.Path] = true
		}
	}
	for _, f := range slices.Concat(m.Models, m.Audiences) {
		listed[f.Path] = true
	}
	if m.Report != nil {
		listed[m.Report.Path] = true
	}
	at := "*/ds=" + date + "/run=" + strings.TrimPrefix(storage.QuoteMeta("/"+run), "/")
	files, err := glob(v.ctx, v.fsys, v.out, at+"/**", at+"/_*", at+"/.*")
	v.keep(err)
	for _, f := range files {
		if rel := strings.TrimPrefix(f.Path, v.out+"/"); !listed[rel] {
			v.problem(rel, "does not belong to the run: the manifest does not list it")
		}
	}
}

// pointer checks current.json: that it is as this program writes it, that its
// dates name their own runs, and that what it says of this date is true.
// manifest is this run's, nil when it could not be read.
func (v *verifier) pointer(date, run string, manifest []byte, all bool) {
	const file = "current.json"
	data := v.read(file)
	if data == nil {
		return
	}
	var p publish.Pointer
	if err := json.Unmarshal(data, &p); err != nil {
		v.problem(file, "%v", err)
		return
	}
	if again, err := publish.Encode(p); err != nil || !bytes.Equal(again, data) {
		v.problem(file, "is not as it was written: its keys or spaces were changed")
	}
	if dates := slices.Sorted(maps.Keys(p.Dates)); len(dates) == 0 && p.Latest != "" || len(dates) > 0 && dates[len(dates)-1] != p.Latest {
		v.problem(file, "latest is %q, which is not the last of its %d dates", p.Latest, len(dates))
	}
	for _, d := range slices.Sorted(maps.Keys(p.Dates)) {
		c := p.Dates[d]
		if want := manifests + "/ds=" + d + "/run=" + c.Run + "/manifest.json"; c.Manifest != want {
			v.problem(file, "date %s points at %q, and its run %q has %q", d, c.Manifest, c.Run, want)
			continue
		}
		named := manifest
		if d != date || c.Run != run {
			if !all {
				continue
			}
			named = v.read(c.Manifest)
		}
		if named != nil && sum(named) != c.SHA256 {
			v.problem(file, "date %s: the manifest of run %s has SHA-256 %s, the pointer says %s", d, c.Run, sum(named), c.SHA256)
		}
	}
}

func sum(data []byte) string {
	h := sha256.Sum256(data)
	return hex.EncodeToString(h[:])
}
