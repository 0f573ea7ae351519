package publish

import (
	"cmp"
	"context"
	"fmt"
	"maps"
	"regexp"
	"slices"
	"strings"

	"github.com/shoal-data/shoal/datasets/storage"
)

var modelRE = regexp.MustCompile(`^[a-z0-9][a-z0-9_-]*(\.[a-z]+)+$`)

// Model writes a file of something fitted, such as churn.json, beside the tables.
// The manifest lists it.
func (s *Staging) Model(ctx context.Context, name string, data []byte) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	f, err := s.add(ctx, modelFiles, name, data, s.models)
	if err != nil {
		return err
	}
	s.models = append(s.models, f)
	slices.SortFunc(s.models, func(a, b File) int { return cmp.Compare(a.Path, b.Path) })
	return nil
}

// Report writes the page that shows the run, beside the tables. The manifest lists it;
// the content digest, which is of what the page shows, leaves it out.
func (s *Staging) Report(ctx context.Context, name string, data []byte) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	f, err := s.add(ctx, reportFiles, name, data, nil)
	if err != nil {
		return err
	}
	s.report = &f
	return nil
}

// Audience writes a part of an audience file, of so many rows, beside the tables. The
// manifest lists it.
func (s *Staging) Audience(ctx context.Context, name string, data []byte, rows int64) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	f, err := s.add(ctx, AudienceFiles, name, data, s.audiences)
	if err != nil {
		return err
	}
	f.Rows = rows
	s.audiences = append(s.audiences, f)
	slices.SortFunc(s.audiences, func(a, b File) int { return cmp.Compare(a.Path, b.Path) })
	return nil
}

// add writes a file that is no table's; there are the others of its kind.
func (s *Staging) add(ctx context.Context, kind, name string, data []byte, there []File) (File, error) {
	rel := runDir(kind, s.opts.Date, s.runID) + "/" + name
	switch {
	case s.done:
		return File{}, fmt.Errorf("publish: %s file %s written after the end of run %s", kind, name, s.runID)
	case !modelRE.MatchString(name):
		return File{}, fmt.Errorf("publish: %s file name %q must be lowercase letters, digits, '_' and '-', and an ending", kind, name)
	case slices.ContainsFunc(there, func(f File) bool { return f.Path == rel }):
		return File{}, fmt.Errorf("publish: %s file name %q is taken", kind, name)
	}
	dir := s.begin(kind)
	if len(there) == 0 {
		if _, err := s.fsys.MakeDir(s.ctx, dir); err != nil {
			return File{}, output("making", dir, err)
		}
	}
	if err := s.writeFile(ctx, dir+"/"+name, data); err != nil {
		return File{}, err
	}
	return File{Path: rel, Bytes: int64(len(data)), SHA256: sum(data)}, nil
}

// Written fills in what the manifest says of the tables that are closed and of the
// other files, before Commit does; path says where each of the files is until then.
func (s *Staging) Written(m *Manifest) (path func(File) string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	at := map[string]string{}
	m.Date, m.RunID, m.Tables, m.Models = s.opts.Date, s.runID, nil, slices.Clone(s.models)
	for _, name := range slices.Sorted(maps.Keys(s.tables)) {
		t := s.tables[name]
		if !t.done || t.err != nil {
			continue
		}
		m.Tables = append(m.Tables, t.table)
		for _, f := range t.table.Files {
			at[f.Path] = t.dir + f.Path[strings.LastIndexByte(f.Path, '/'):]
		}
	}
	for _, f := range m.Models {
		at[f.Path] = s.at(modelFiles) + f.Path[strings.LastIndexByte(f.Path, '/'):]
	}
	return func(f File) string { return at[f.Path] }
}

// ReadModel reads a model's file of a run, and refuses one that was changed.
func ReadModel(ctx context.Context, fsys storage.FS, out string, m *Manifest, name string) ([]byte, error) {
	rel := runDir(modelFiles, m.Date, m.RunID) + "/" + name
	i := slices.IndexFunc(m.Models, func(f File) bool { return f.Path == rel })
	if i < 0 {
		return nil, fmt.Errorf("publish: run %s of %s has no model file %s", m.RunID, m.Date, name)
	}
	file := Join(Clean(out), rel)
	data, err := storage.ReadFile(ctx, fsys, file, maxManifest)
	if err != nil {
		return nil, output("reading", file, err)
	}
	if got := sum(data); got != m.Models[i].SHA256 {
		return nil, fmt.Errorf("publish: %s has SHA-256 %s, was written with %s: it was changed since; publish the date again", file, got, m.Models[i].SHA256)
	}
	return data, nil
}

// ReadAudience reads a part of an audience file, and refuses one that was changed.
func ReadAudience(ctx context.Context, fsys storage.FS, out string, f File) ([]byte, error) {
	file := Join(Clean(out), f.Path)
	data, err := storage.ReadFile(ctx, fsys, file, maxManifest)
	if err != nil {
		return nil, output("reading", file, err)
	}
	if got := sum(data); got != f.SHA256 {
		return nil, fmt.Errorf("%w: %s has SHA-256 %s, was written with %s: it was changed since; publish the date again", ErrDamaged, file, got, f.SHA256)
	}
	return data, nil
}
