package publish

import (
	"cmp"
	"context"
	"fmt"
	"regexp"
	"slices"

	"github.com/shoal-data/shoal/datasets/storage"
)

var modelRE = regexp.MustCompile(`^[a-z0-9][a-z0-9_-]*(\.[a-z]+)+$`)

// Model writes a file of something fitted, such as churn.json, beside the tables.
// The manifest lists it.
func (s *Staging) Model(ctx context.Context, name string, data []byte) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	rel := runDir(modelFiles, s.opts.Date, s.runID) + "/" + name
	switch {
	case s.done:
		return fmt.Errorf("publish: model %s written after the end of run %s", name, s.runID)
	case !modelRE.MatchString(name):
		return fmt.Errorf("publish: model name %q must be lowercase letters, digits, '_' and '-', and an ending", name)
	case slices.ContainsFunc(s.models, func(f File) bool { return f.Path == rel }):
		return fmt.Errorf("publish: model name %q is taken", name)
	}
	if len(s.models) == 0 {
		if _, err := s.fsys.MakeDir(s.ctx, s.dir+"/"+modelFiles); err != nil {
			return output("making", s.dir+"/"+modelFiles, err)
		}
	}
	if err := s.writeFile(ctx, s.dir+"/"+modelFiles+"/"+name, data); err != nil {
		return err
	}
	s.models = append(s.models, File{Path: rel, Bytes: int64(len(data)), SHA256: sum(data)})
	slices.SortFunc(s.models, func(a, b File) int { return cmp.Compare(a.Path, b.Path) })
	return nil
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
