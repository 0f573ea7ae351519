package publish

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"

	"github.com/shoal-data/shoal/datasets/storage"
)

// Probe finds out whether out can be written, before hours are spent on what
// could not be published. It leaves nothing behind. Its error is transient.
func Probe(ctx context.Context, fsys storage.FS, out string) (err error) {
	out = cleanOut(out)
	made, err := fsys.MakeDir(ctx, out)
	if err != nil {
		return output("making", out, err)
	}
	file := join(out, fmt.Sprintf(".probe-%016x", rand.Uint64()))
	defer func() {
		clean := context.WithoutCancel(ctx)
		err = errors.Join(err, output("removing", file, fsys.RemoveAll(clean, file)))
		if made != "" {
			err = errors.Join(err, output("removing", out, fsys.RemoveEmpty(clean, out, made)))
		}
	}()
	w, err := fsys.Create(ctx, file)
	if err != nil {
		return output("writing", file, err)
	}
	_, err = w.Write([]byte("shoal\n"))
	if err == nil {
		err = w.Sync()
	}
	return output("writing", file, errors.Join(err, w.Close()))
}

// Path is where the manifest lies, relative to out.
func (m *Manifest) Path() string { return manifestDir(m.Date, m.RunID) + "/manifest.json" }

// Paths are the files of a table, in row order, under out.
func (m *Manifest) Paths(out, table string) []string {
	t := m.Table(table)
	if t == nil {
		return nil
	}
	var paths []string
	for _, f := range t.Files {
		paths = append(paths, join(cleanOut(out), f.Path))
	}
	return paths
}
