package storage

import (
	"context"
	"errors"
	"fmt"
	"io"
)

// ReadFile reads a small file whole; it refuses one of more than limit bytes.
func ReadFile(ctx context.Context, fsys FS, path string, limit int64) ([]byte, error) {
	f, err := fsys.Open(ctx, path)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	if f.Size() > limit {
		return nil, fmt.Errorf("storage: %s: %d bytes is more than the %d expected of such a file", path, f.Size(), limit)
	}
	data := make([]byte, f.Size())
	if n, err := f.ReadAt(data, 0); n < len(data) {
		if err == io.EOF {
			err = io.ErrUnexpectedEOF
		}
		return nil, fmt.Errorf("storage: read %s: %d of %d bytes: %w", path, n, len(data), err)
	}
	return data, nil
}

// WriteFile creates a file with this content and syncs it. The name is durable
// only after SyncDir. A file that could not be written whole is removed; on an
// object store there is none, and what lies under the name may be another's.
func WriteFile(ctx context.Context, fsys FS, path string, data []byte) error {
	w, err := fsys.Create(ctx, path)
	if err != nil {
		return err
	}
	_, err = w.Write(data)
	if err == nil {
		err = w.Sync()
	}
	err = errors.Join(err, w.Close())
	if err != nil {
		err = fmt.Errorf("storage: write %s: %w", path, err)
		if _, ok := InObjects(fsys, path); ok {
			return err
		}
		return errors.Join(err, fsys.RemoveAll(context.WithoutCancel(ctx), path))
	}
	return nil
}
