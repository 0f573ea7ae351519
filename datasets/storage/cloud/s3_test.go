package cloud_test

import (
	"errors"
	"fmt"
	"io/fs"
	"net/http"
	"strings"
	"testing"

	"github.com/shoal-data/shoal/datasets/storage"
	"github.com/shoal-data/shoal/datasets/storage/cloud"
	"github.com/shoal-data/shoal/datasets/storage/storagetest"
	"github.com/shoal-data/shoal/datasets/storage/storagetest/s3server"
)

func TestS3(t *testing.T) {
	s := s3server.Start(t)
	s.Bucket(t, "lake")
	storagetest.Run(t, s.FS(), "s3://lake/tree")
}

// TestS3Real holds versitygw to the whole contract, in fair weather and when one request
// in ten goes wrong.
func TestS3Real(t *testing.T) {
	s := s3server.StartReal(t)
	s.Bucket(t, "lake")
	storagetest.Run(t, s.FS(), "s3://lake/tree")
	s.Bucket(t, "wet")
	s.Set(s3server.Faults{Unavailable: 0.04, Lost: 0.02, Reset: 0.02, Cut: 0.01, Slow: 0.01, Seed: 9})
	storagetest.Run(t, s.FS(), "s3://wet/tree")
	t.Logf("%v", s.Hurt())
}

// TestS3InBadWeather holds a store to the whole contract while one request in five
// goes wrong in one way, and in every way at once.
func TestS3InBadWeather(t *testing.T) {
	for name, f := range map[string]s3server.Faults{
		"unavailable": {Unavailable: 0.2},
		"lost":        {Lost: 0.2},
		"reset":       {Reset: 0.2},
		"cut":         {Cut: 0.2},
		"slow":        {Slow: 0.2},
		"everything":  {Unavailable: 0.05, Lost: 0.05, Reset: 0.05, Cut: 0.05, Slow: 0.05, Stall: 0.001},
	} {
		t.Run(name, func(t *testing.T) {
			s := s3server.Start(t)
			s.Bucket(t, "lake")
			f.Seed = 7
			s.Set(f)
			storagetest.Run(t, s.FS(), "s3://lake/tree")
			n := 0
			for _, k := range s.Hurt() {
				n += k
			}
			if n < 20 {
				t.Errorf("the weather was fair: %v", s.Hurt())
			}
			t.Logf("%v", s.Hurt())
		})
	}
}

// What a repeat will not change is not repeated, and says what it is.
func TestS3Permanent(t *testing.T) {
	s := s3server.Start(t)
	s.Bucket(t, "lake")
	fsys, ctx := s.FS(), t.Context()
	if err := storage.WriteFile(ctx, fsys, "s3://lake/x", []byte("x")); err != nil {
		t.Fatal(err)
	}
	do := map[string]func(path string) error{
		"glob":   func(p string) error { _, err := fsys.Glob(ctx, p+"/*"); return err },
		"stat":   func(p string) error { _, err := fsys.Stat(ctx, p); return err },
		"open":   func(p string) error { _, err := fsys.Open(ctx, p); return err },
		"write":  func(p string) error { return storage.WriteFile(ctx, fsys, p, []byte("y")) },
		"remove": func(p string) error { return fsys.RemoveAll(ctx, p) },
	}
	for op, f := range do {
		before, _ := s.Traffic()
		err := f("s3://nowhere/x")
		after, _ := s.Traffic()
		if !errors.Is(err, storage.ErrPlace) || !strings.Contains(err.Error(), "s3://nowhere/x") || !strings.Contains(err.Error(), "NoSuchBucket") || after-before > 3 {
			t.Errorf("%s in a bucket that is not there: %v, %d requests", op, err, after-before)
		}
	}
	s.Deny(func(*http.Request) int { return http.StatusForbidden })
	for op, f := range do {
		before, _ := s.Traffic()
		err := f("s3://lake/x")
		after, _ := s.Traffic()
		if !errors.Is(err, fs.ErrPermission) || !strings.Contains(err.Error(), "s3://lake/x") || !strings.Contains(err.Error(), "credentials") || after-before > 3 {
			t.Errorf("%s without permission: %v, %d requests", op, err, after-before)
		}
	}
	s.Deny(func(*http.Request) int { return http.StatusServiceUnavailable })
	for op, f := range do {
		before, _ := s.Traffic()
		err := f("s3://lake/x")
		after, _ := s.Traffic()
		if err == nil || errors.Is(err, fs.ErrPermission) || errors.Is(err, storage.ErrPlace) || errors.Is(err, fs.ErrNotExist) || after-before < s3server.Quick().Attempts {
			t.Errorf("%s of a store that is down: %v, %d requests", op, err, after-before)
		}
	}
	s.Deny(nil)
	if data, err := storage.ReadFile(ctx, fsys, "s3://lake/x", 10); err != nil || string(data) != "x" {
		t.Errorf("afterwards: %q, %v", data, err)
	}
}

// An answer that is lost for good leaves the outcome unknown: the error says so, and
// nothing is removed.
func TestS3UnknownOutcome(t *testing.T) {
	s := s3server.Start(t)
	s.Bucket(t, "lake")
	fsys := s.FS()
	s.Set(s3server.Faults{Lost: 1})
	err := storage.WriteFile(t.Context(), fsys, "s3://lake/x", []byte("x"))
	if !errors.Is(err, storage.ErrUnknown) {
		t.Errorf("%v", err)
	}
	s.Set(s3server.Faults{})
	if data, err := storage.ReadFile(t.Context(), fsys, "s3://lake/x", 10); err != nil || string(data) != "x" {
		t.Errorf("what arrived was taken back: %q, %v", data, err)
	}
}

// Paths name a place; what they must not hold is refused without being repeated.
func TestPaths(t *testing.T) {
	s := s3server.Start(t)
	for path, why := range map[string]string{
		"http://lake/x":                    "s3://, gs:// or az://",
		"s3://" + s3server.SecretKey:       "", // no such bucket; see below
		"s3://key:" + "hunter2hunter2@b/x": "credentials",
		"s3://lake*/x":                     "without wildcards",
		"s3:///x":                          "name of a bucket",
	} {
		_, err := cloud.Anywhere().Stat(t.Context(), path)
		if err == nil || !strings.Contains(err.Error(), why) || strings.Contains(err.Error(), "hunter2") {
			t.Errorf("%s: %v", path, err)
		}
	}
	if n, _ := s.Traffic(); n > 20 {
		t.Errorf("%d requests", n)
	}
}

// TestNoSecretInErrors looks for a planted key in whatever a store can answer.
func TestNoSecretInErrors(t *testing.T) {
	s := s3server.Start(t)
	s.Bucket(t, "lake")
	fsys := s.FS()
	for _, status := range []int{301, 400, 403, 404, 409, 412, 416, 500, 501, 503} {
		s.Deny(func(*http.Request) int { return status })
		_, globErr := fsys.Glob(t.Context(), "s3://lake/*")
		_, openErr := fsys.Open(t.Context(), "s3://lake/x")
		for _, err := range []error{globErr, openErr, storage.WriteFile(t.Context(), fsys, "s3://lake/x", nil)} {
			for _, secret := range []string{s3server.SecretKey, s3server.AccessKey, "Signature", "Authorization"} {
				if text := fmt.Sprintf("%v %+v", err, err); err == nil || strings.Contains(text, secret) {
					t.Errorf("%d: %s", status, text)
				}
			}
		}
	}
}

// In fair weather a refusal is one: who finds another version knows that his is not
// in place.
func TestS3Changed(t *testing.T) {
	s := s3server.Start(t)
	s.Bucket(t, "lake")
	o, ok := storage.InObjects(s.FS(), "s3://lake/x")
	if !ok {
		t.Fatal("s3:// is no object store")
	}
	if err := o.WriteVersion(t.Context(), "s3://lake/x", []byte("one"), ""); err != nil {
		t.Fatal(err)
	}
	for _, version := range []string{"", `"00000000000000000000000000000000"`} {
		if err := o.WriteVersion(t.Context(), "s3://lake/x", []byte("two"), version); !errors.Is(err, storage.ErrChanged) {
			t.Errorf("version %q: %v", version, err)
		}
	}
}

// A file being written goes to a temporary file, which may find no place.
func TestNowhereToSpool(t *testing.T) {
	s := s3server.Start(t)
	s.Bucket(t, "lake")
	opts := s3server.Quick()
	opts.Spool = "/nonexistent"
	err := storage.WriteFile(t.Context(), cloud.New(opts), "s3://lake/x", make([]byte, 2<<20))
	if err == nil || !strings.Contains(err.Error(), "s3://lake/x: the temporary file: open /nonexistent") {
		t.Errorf("%v", err)
	}
}
