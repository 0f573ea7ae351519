package main

import (
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/shoal-data/shoal/datasets/storage"
	"github.com/shoal-data/shoal/datasets/storage/storagetest/s3server"
)

// TestS3Verbs runs, looks at, proves, cleans and exports a date that lies in a bucket,
// and looks for the planted key in all that was written or said.
func TestS3Verbs(t *testing.T) {
	server := s3server.Start(t)
	server.Bucket(t, "lake")
	dir := t.TempDir()
	good(t, dir)
	events, err := os.ReadFile(dir + "/in/a.parquet")
	if err != nil {
		t.Fatal(err)
	}
	if err := storage.WriteFile(t.Context(), server.FS(), "s3://lake/in/a.parquet", events); err != nil {
		t.Fatal(err)
	}
	config := filepath.Join(dir, "shoal.yaml")
	if err := os.WriteFile(config, []byte(strings.ReplaceAll(goodConfig, "DIR", "s3://lake")), 0o644); err != nil {
		t.Fatal(err)
	}
	said := ""
	for _, c := range []struct {
		args string
		code int
		want string
	}{
		{"runs", 0, "No runs under s3://lake/out/deep"},
		{"run --date 2024-06-30", 0, `"manifest":"s3://lake/out/deep/manifests/ds=2024-06-30/run=`},
		{"run --date 2024-06-30", 0, `"status":"noop"`},
		{"run --date 2024-06-30 --force", 0, `"status":"published"`},
		{"runs", 0, "current"},
		{"verify latest --read-data", 0, ""},
		{"gc --keep 0s", 0, "removed"},
		{"runs", 0, "2024-06-30"},
		{"verify latest", 0, ""},
		{"check", 0, ""},
		{"export --date 2024-06-30 --format csv --out s3://lake/features", 0, `"status":"exported"`},
		{"export --date 2024-06-30 --format csv --out s3://lake/features", 2, "exists already"},
	} {
		args := append(strings.Fields(c.args), "--config", config)
		code, stdout, stderr := shoal(t, args...)
		if code != c.code || !strings.Contains(stdout+stderr, c.want) {
			t.Errorf("%s: exit %d\n%s%s", c.args, code, stdout, stderr)
		}
		said += stdout + stderr
	}
	server.Deny(func(*http.Request) int { return http.StatusForbidden })
	code, stdout, stderr := shoal(t, "run", "--date", "2024-07-01", "--config", config)
	server.Deny(nil)
	if said += stdout + stderr; code != 65 || !strings.Contains(stderr, "s3://lake/in/*.parquet") {
		t.Errorf("without permission: exit %d, %s", code, stderr)
	}
	files, err := server.FS().Glob(t.Context(), "s3://lake/{out,features}/**")
	if err != nil || len(files) < 10 {
		t.Fatalf("%d files, %v", len(files), err)
	}
	for _, f := range files {
		data, err := storage.ReadFile(t.Context(), server.FS(), f.Path, 1<<30)
		if err != nil {
			t.Fatal(err)
		}
		said += string(data)
	}
	for _, secret := range []string{s3server.SecretKey, s3server.AccessKey} {
		if i := strings.Index(said, secret); i >= 0 {
			t.Errorf("a key was told: …%.200s…", said[max(0, i-100):])
		}
	}
}
