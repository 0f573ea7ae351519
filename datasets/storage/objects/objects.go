// Package objects keeps files in a bucket of an object store. A Bucket is what a
// cloud's client must do; FS does the rest, the same for every cloud: names and
// globs, ranged reads, uploads that appear whole or not at all, conditional
// replacement, repeats of what failed for a moment, and finding out what became of a
// request whose answer was lost.
package objects

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"math/rand/v2"
	"net/url"
	"strings"
	"sync/atomic"
	"time"

	"github.com/shoal-data/shoal/datasets/storage"
)

// A Bucket is one bucket of an object store. Its errors are *Fault, or the
// context's. It repeats nothing by itself.
type Bucket interface {
	// List lists a page of the objects whose keys begin with prefix: the first for the
	// token "", and then the one that next names, until that is "". With delimited it
	// stops at the next "/": what lies below is one Object with nothing but a Key,
	// which ends in "/".
	List(ctx context.Context, prefix string, delimited bool, token string) (page []Object, next string, err error)
	Head(ctx context.Context, key string) (Object, error)
	// Read reads n bytes from off on, n > 0, of the object as it is now, which may
	// be another version than the one asked for; it says which.
	Read(ctx context.Context, key, version string, off, n int64) (body io.ReadCloser, is string, err error)
	// Put writes an object when version is the one there, "" when none is. The mark
	// is kept with it.
	Put(ctx context.Context, key string, body io.ReadSeeker, size int64, version, mark string) error
	// Delete removes an object; it may be missing.
	Delete(ctx context.Context, key string) error
}

// An Object is what a bucket knows of one.
type Object struct {
	Key     string
	Size    int64 // bytes
	ModTime time.Time
	Version string // an ETag or generation: no two contents of a key have the same
	Mark    string // what Put left; only Head says it
}

// A Kind is what a Fault means.
type Kind uint8

// The kinds of Fault.
const (
	Momentary Kind = iota // no answer, or one that asks to try again
	Missing               // there is no such object
	Changed               // the condition of a Put or Read does not hold
	Denied                // credentials are missing or do not suffice
	NoPlace               // there is no such bucket, account or endpoint
	Refused               // anything else that a repeat will not change
)

// A Fault is how a bucket fails. What it says holds no credentials.
type Fault struct {
	Kind Kind
	Err  error
}

func (f *Fault) Error() string { return f.Err.Error() }

// Unwrap returns the error of the same meaning that other file systems have, and
// the cause.
func (f *Fault) Unwrap() []error {
	switch f.Kind {
	case Missing:
		return []error{fs.ErrNotExist, f.Err}
	case Changed:
		return []error{storage.ErrChanged, f.Err}
	case Denied:
		return []error{fs.ErrPermission, f.Err}
	case NoPlace, Refused:
		return []error{storage.ErrPlace, f.Err}
	}
	return []error{f.Err}
}

func kindOf(err error) (Kind, bool) {
	var f *Fault
	if errors.As(err, &f) {
		return f.Kind, true
	}
	return 0, false
}

func is(err error, kind Kind) bool {
	k, ok := kindOf(err)
	return ok && k == kind
}

// Options say how patient an FS is.
type Options struct {
	Attempts int           // how often a request is made at most
	Pause    time.Duration // after the first failure; it doubles, up to MaxPause, less up to half at random
	MaxPause time.Duration
	Stall    time.Duration // a response that brings nothing for so long is given up
	Spool    string        // directory for files being written; "" is the system's
}

// DefaultOptions are eight attempts within about half a minute.
func DefaultOptions() Options {
	return Options{Attempts: 8, Pause: 100 * time.Millisecond, MaxPause: 10 * time.Second, Stall: 30 * time.Second}
}

// FS is a bucket as a tree of files whose paths begin with root, such as
// "s3://lake/".
type FS struct {
	root   string
	bucket Bucket
	opts   Options
	there  atomic.Bool // the bucket is known to exist
}

// New makes the FS of a bucket, whose paths begin with scheme://name/.
func New(scheme, name string, bucket Bucket, opts Options) *FS {
	return &FS{root: scheme + "://" + name + "/", bucket: bucket, opts: opts}
}

var _ storage.Objects = (*FS)(nil)

// Objects is f itself; see storage.InObjects.
func (f *FS) Objects(string) (storage.Objects, bool) { return f, true }

// Split divides a path such as s3://lake/events into its scheme, bucket and key. ok is
// false for the path of a local file.
func Split(path string) (scheme, bucket, key string, ok bool) {
	scheme, rest, ok := strings.Cut(path, "://")
	if !ok || strings.ContainsAny(scheme, `/\`) {
		return "", "", "", false
	}
	bucket, key, _ = strings.Cut(rest, "/")
	return scheme, bucket, key, true
}

// key is a path's within the bucket.
func (f *FS) key(op, path string) (string, error) {
	key, ok := strings.CutPrefix(path, f.root)
	if !ok {
		if path+"/" == f.root {
			return "", nil
		}
		return "", failed(op, path, &Fault{Refused, fmt.Errorf("it is not in %s", f.root)})
	}
	return strings.TrimRight(key, "/"), nil
}

// failed says what was done, and to which path.
func failed(op, path string, err error) error {
	advice := ""
	switch k, ok := kindOf(err); {
	case !ok:
	case k == Denied:
		advice = "; give this process credentials that may do so"
	case k == NoPlace:
		advice = "; correct the path or the endpoint"
	}
	return fmt.Errorf("storage: %s %s: %w%s", op, path, err, advice)
}

// again makes a request until it succeeds, fails for good or was made often enough.
func (f *FS) again(ctx context.Context, request func(ctx context.Context, alive func()) error) error {
	pause := f.opts.Pause
	for attempt := 1; ; attempt++ {
		err := f.watch(ctx, request)
		if err == nil || !is(err, Momentary) || attempt >= f.opts.Attempts || ctx.Err() != nil {
			return cancelled(ctx, err)
		}
		if err := rest(ctx, pause); err != nil {
			return err
		}
		pause = min(2*pause, f.opts.MaxPause)
	}
}

// watch gives a request up when it stalls: when nothing has come, and alive was not
// called, for as long as an FS is patient.
func (f *FS) watch(ctx context.Context, request func(ctx context.Context, alive func()) error) error {
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	stalled := &Fault{Momentary, fmt.Errorf("no answer came for %s", f.opts.Stall)}
	timer := time.AfterFunc(f.opts.Stall, func() { cancel(stalled) })
	defer timer.Stop()
	err := request(ctx, func() { timer.Reset(f.opts.Stall) })
	if err != nil && context.Cause(ctx) == error(stalled) {
		return stalled
	}
	return err
}

// rest waits for between half of d and all of it, so that those who failed together
// do not come back together.
func rest(ctx context.Context, d time.Duration) error {
	t := time.NewTimer(d - rand.N(d/2+1))
	defer t.Stop()
	select {
	case <-ctx.Done():
		return ctx.Err()
	case <-t.C:
		return nil
	}
}

// cancelled is err, or why ctx ended, which clients report in their own words.
func cancelled(ctx context.Context, err error) error {
	if err != nil && ctx.Err() != nil && is(err, Momentary) {
		return ctx.Err()
	}
	return err
}

// Classify makes the Fault of an HTTP status and the store's error code. Without a
// status there was no answer, and with a good one it broke off.
func Classify(status int, code string, err error) error {
	if err == nil {
		return nil
	}
	kind := Refused
	switch {
	case status < 300, status == 408, status == 425, status == 429, status >= 500 && status != 501:
		kind = Momentary
	case code == "NoSuchBucket", code == "ContainerNotFound", code == "InvalidBucketName", code == "AccountNotFound", code == "PermanentRedirect", status == 301:
		kind = NoPlace
	case code == "ConditionalRequestConflict", code == "OperationAborted", code == "RequestTimeout", code == "SlowDown",
		code == "ContainerBeingDeleted", code == "RequestTimeTooSkewed" && status == 503:
		kind = Momentary
	case status == 401, status == 403:
		kind = Denied
	case status == 404:
		kind = Missing
	case status == 412, status == 304, code == "BlobAlreadyExists":
		kind = Changed
	}
	return &Fault{kind, err}
}

// Plain is an error without the address that was asked, which may hold a signature.
func Plain(err error) error {
	var u *url.Error
	if errors.As(err, &u) {
		return Plain(u.Err)
	}
	return err
}

// Stat describes a file; see [storage.FS], as for the methods below.
func (f *FS) Stat(ctx context.Context, path string) (storage.Info, error) {
	o, err := f.head(ctx, "stat", path)
	if err != nil {
		return storage.Info{}, err
	}
	return storage.Info{Path: path, Size: o.Size, ModTime: o.ModTime}, nil
}

func (f *FS) head(ctx context.Context, op, path string) (o Object, err error) {
	key, err := f.key(op, path)
	if err == nil {
		err = ctx.Err()
	}
	if err == nil && key == "" {
		err = &Fault{Missing, errors.New("a bucket is no file")}
	}
	if err == nil {
		err = f.again(ctx, func(ctx context.Context, _ func()) (err error) { o, err = f.bucket.Head(ctx, key); return err })
	}
	if err == nil {
		f.there.Store(true)
	}
	if is(err, Missing) && key != "" && !f.there.Load() { // the answer to HEAD has no body that would tell what is missing
		if there := f.list(ctx, key, true, func(Object) error { return nil }); there != nil {
			err = there
		} else {
			f.there.Store(true)
		}
	}
	if err != nil {
		return Object{}, failed(op, path, err)
	}
	return o, nil
}

// Rename is what object stores cannot do.
func (f *FS) Rename(ctx context.Context, from, to string) error {
	if err := ctx.Err(); err != nil {
		return err
	}
	return failed("rename", from, &Fault{Refused, fmt.Errorf("an object store cannot move it to %s: %w", to, errors.ErrUnsupported)})
}

// SyncDir does nothing: an object is durable with its name.
func (f *FS) SyncDir(ctx context.Context, dir string) error { return f.noDir(ctx, "sync", dir) }

// MakeDir does nothing: object stores have no directories.
func (f *FS) MakeDir(ctx context.Context, dir string) (string, error) {
	return "", f.noDir(ctx, "make", dir)
}

// RemoveEmpty does nothing: a directory is there while an object below it is.
func (f *FS) RemoveEmpty(ctx context.Context, dir, top string) error {
	return f.noDir(ctx, "remove", dir)
}

func (f *FS) noDir(ctx context.Context, op, dir string) error {
	if err := ctx.Err(); err != nil {
		return err
	}
	_, err := f.key(op, dir)
	return err
}
