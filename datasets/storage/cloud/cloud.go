// Package cloud opens files wherever they lie: on this machine, in S3 and what is
// compatible with it, in Google Cloud Storage and in Azure Blob Storage. Credentials
// come from where each cloud's own tools look for them; none is part of a path.
package cloud

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"sync"

	"github.com/shoal-data/shoal/datasets/storage"
	"github.com/shoal-data/shoal/datasets/storage/objects"
)

// Anywhere is the local disk and every object store: s3://bucket/key,
// gs://bucket/key, az://container/key, and paths without a scheme.
func Anywhere() storage.FS { return New(objects.DefaultOptions()) }

// New is Anywhere with a patience of its own.
func New(opts objects.Options) storage.FS {
	return &anywhere{local: storage.Local(), opts: opts, open: map[string]*objects.FS{}}
}

var openers = map[string]func(ctx context.Context, bucket string) (objects.Bucket, error){
	"s3": openS3,
	"gs": openGCS,
	"az": openAzure,
}

type anywhere struct {
	local storage.FS
	opts  objects.Options

	mu   sync.Mutex
	open map[string]*objects.FS // by scheme://bucket
}

// at is the file system that a path is in. The client of a bucket is made when it is
// first asked for.
func (a *anywhere) at(ctx context.Context, path string) (storage.FS, error) {
	scheme, bucket, _, ok := objects.Split(path)
	if !ok {
		return a.local, nil
	}
	refuse := func(format string, args ...any) error {
		// A path may hold a password where its bucket should be.
		return fmt.Errorf("storage: %s://: %w: %s", scheme, storage.ErrPlace, fmt.Sprintf(format, args...))
	}
	opener := openers[scheme]
	switch {
	case opener == nil:
		return nil, refuse("paths begin with s3://, gs:// or az://, or are local")
	case strings.ContainsAny(bucket, "@:?&#"):
		return nil, refuse("the path must go on with the name of a bucket; credentials and options do not belong into it, they come from the environment")
	case bucket == "" || strings.ContainsAny(bucket, `*[]{}\`):
		return nil, refuse("the path must go on with the name of a bucket, without wildcards")
	}
	a.mu.Lock()
	defer a.mu.Unlock()
	if fsys := a.open[scheme+"://"+bucket]; fsys != nil {
		return fsys, nil
	}
	b, err := opener(ctx, bucket)
	if err != nil {
		if ctx.Err() != nil {
			return nil, ctx.Err()
		}
		return nil, fmt.Errorf("storage: %s://%s: %w", scheme, bucket, err)
	}
	fsys := objects.New(scheme, bucket, b, a.opts)
	a.open[scheme+"://"+bucket] = fsys
	return fsys, nil
}

// Objects is the object store that path is in, if it is in one; see
// [storage.InObjects].
func (a *anywhere) Objects(path string) (storage.Objects, bool) {
	if _, _, _, ok := objects.Split(path); !ok {
		return nil, false
	}
	fsys, err := a.at(context.Background(), path)
	if err != nil {
		return nil, false // the first operation says why
	}
	o, ok := fsys.(storage.Objects)
	return o, ok
}

// Glob and the methods below are those of the place that the path is in.
func (a *anywhere) Glob(ctx context.Context, pattern string) ([]storage.Info, error) {
	fsys, err := a.at(ctx, pattern)
	if err != nil {
		return nil, err
	}
	return fsys.Glob(ctx, pattern)
}

func (a *anywhere) Stat(ctx context.Context, path string) (storage.Info, error) {
	fsys, err := a.at(ctx, path)
	if err != nil {
		return storage.Info{}, err
	}
	return fsys.Stat(ctx, path)
}

func (a *anywhere) Open(ctx context.Context, path string) (storage.File, error) {
	fsys, err := a.at(ctx, path)
	if err != nil {
		return nil, err
	}
	return fsys.Open(ctx, path)
}

func (a *anywhere) Create(ctx context.Context, path string) (storage.Writer, error) {
	fsys, err := a.at(ctx, path)
	if err != nil {
		return nil, err
	}
	return fsys.Create(ctx, path)
}

func (a *anywhere) Rename(ctx context.Context, from, to string) error {
	fsys, err := a.at(ctx, from)
	if err != nil {
		return err
	}
	if other, err := a.at(ctx, to); err != nil || other != fsys {
		return errors.Join(fmt.Errorf("storage: rename %s: %s is in another place: %w", from, to, errors.ErrUnsupported), err)
	}
	return fsys.Rename(ctx, from, to)
}

func (a *anywhere) SyncDir(ctx context.Context, dir string) error {
	fsys, err := a.at(ctx, dir)
	if err != nil {
		return err
	}
	return fsys.SyncDir(ctx, dir)
}

func (a *anywhere) MakeDir(ctx context.Context, dir string) (string, error) {
	fsys, err := a.at(ctx, dir)
	if err != nil {
		return "", err
	}
	return fsys.MakeDir(ctx, dir)
}

func (a *anywhere) RemoveAll(ctx context.Context, path string) error {
	fsys, err := a.at(ctx, path)
	if err != nil {
		return err
	}
	return fsys.RemoveAll(ctx, path)
}

func (a *anywhere) RemoveEmpty(ctx context.Context, dir, top string) error {
	fsys, err := a.at(ctx, dir)
	if err != nil {
		return err
	}
	return fsys.RemoveEmpty(ctx, dir, top)
}
