package storage

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path"
	"strings"
	"syscall"
)

// Local is the file system of this machine. Relative paths start at the
// working directory.
func Local() FS { return localFS{} }

type localFS struct{}

func (localFS) Glob(ctx context.Context, pattern string) ([]Info, error) {
	return globLocal(ctx, pattern)
}

func (localFS) Stat(ctx context.Context, path string) (Info, error) {
	if err := ctx.Err(); err != nil {
		return Info{}, err
	}
	fi, err := os.Stat(path)
	if err != nil {
		return Info{}, fmt.Errorf("storage: %w", err)
	}
	if fi.IsDir() {
		return Info{}, isDirectory("stat", path)
	}
	return Info{Path: path, Size: fi.Size(), ModTime: fi.ModTime()}, nil
}

func (localFS) Open(ctx context.Context, path string) (File, error) {
	if err := ctx.Err(); err != nil {
		return nil, err
	}
	f, err := os.Open(path)
	if err != nil {
		return nil, fmt.Errorf("storage: %w", err)
	}
	fi, err := f.Stat()
	if err == nil && fi.IsDir() {
		err = isDirectory("open", path)
	}
	if err != nil {
		f.Close()
		return nil, err
	}
	return localFile{f, fi.Size()}, nil
}

type localFile struct {
	*os.File
	size int64 // bytes, when the file was opened
}

func (f localFile) Size() int64 { return f.size }

func (localFS) Create(ctx context.Context, name string) (Writer, error) {
	if err := ctx.Err(); err != nil {
		return nil, err
	}
	if err := os.MkdirAll(path.Dir(name), 0o777); err != nil {
		return nil, fmt.Errorf("storage: %w", err)
	}
	f, err := os.OpenFile(name, os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o666)
	if err != nil {
		return nil, fmt.Errorf("storage: %w", err)
	}
	return f, nil
}

func (localFS) Rename(ctx context.Context, from, to string) error {
	if err := ctx.Err(); err != nil {
		return err
	}
	if err := os.Rename(from, to); err != nil {
		return fmt.Errorf("storage: %w", err)
	}
	return nil
}

func (localFS) SyncDir(ctx context.Context, dir string) error {
	if err := ctx.Err(); err != nil {
		return err
	}
	d, err := os.Open(dir)
	if err != nil {
		return fmt.Errorf("storage: %w", err)
	}
	defer d.Close()
	if err := d.Sync(); err != nil {
		return fmt.Errorf("storage: %w", err)
	}
	return nil
}

func (localFS) MakeDir(ctx context.Context, dir string) (string, error) {
	if err := ctx.Err(); err != nil {
		return "", err
	}
	// Climb to the first directory that exists, then make the ones below it.
	var missing []string
	for d := path.Clean(dir); ; d = path.Dir(d) {
		fi, err := os.Stat(d)
		if err == nil {
			if !fi.IsDir() {
				return "", &fs.PathError{Op: "storage: mkdir", Path: dir, Err: fmt.Errorf("%s is a file: %w", d, fs.ErrExist)}
			}
			break
		}
		if !errors.Is(err, fs.ErrNotExist) {
			return "", fmt.Errorf("storage: %w", err)
		}
		missing = append(missing, d)
		if d == path.Dir(d) {
			break
		}
	}
	made := ""
	for i := len(missing) - 1; i >= 0; i-- {
		err := os.Mkdir(missing[i], 0o777)
		if errors.Is(err, fs.ErrExist) {
			continue // another process was faster: its directory is not ours to take back
		}
		if err != nil {
			if made != "" {
				// What this call made, it takes back: the caller learns of no directory.
				err = errors.Join(err, removeEmpty(missing[i+1], made))
			}
			return "", fmt.Errorf("storage: %w", err)
		}
		if made == "" {
			made = missing[i]
		}
	}
	return made, nil
}

func (localFS) RemoveAll(ctx context.Context, path string) error {
	if err := ctx.Err(); err != nil {
		return err
	}
	if err := os.RemoveAll(path); err != nil {
		return fmt.Errorf("storage: %w", err)
	}
	return nil
}

func (localFS) RemoveEmpty(ctx context.Context, dir, top string) error {
	if err := ctx.Err(); err != nil {
		return err
	}
	if err := removeEmpty(dir, top); err != nil {
		return fmt.Errorf("storage: %w", err)
	}
	return nil
}

func removeEmpty(dir, top string) error {
	dir, top = path.Clean(dir), path.Clean(top)
	for dir == top || strings.HasPrefix(dir, strings.TrimSuffix(top, "/")+"/") {
		err := os.Remove(dir)
		switch {
		case err == nil, errors.Is(err, fs.ErrNotExist):
		case errors.Is(err, fs.ErrExist): // ENOTEMPTY
			return nil
		default:
			return err
		}
		if dir == top {
			break
		}
		dir = path.Dir(dir)
	}
	return nil
}

func isDirectory(op, path string) error {
	return &fs.PathError{Op: "storage: " + op, Path: path, Err: syscall.EISDIR}
}
