package main

import (
	"encoding/json"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/shoal-data/shoal/internal/pgserver"
	"github.com/shoal-data/shoal/internal/pyoracle"
	"github.com/shoal-data/shoal/jobs/warehouse"
)

// duckdbOnPath puts DuckDB's program of the pinned environment on PATH.
func duckdbOnPath(t *testing.T) {
	t.Helper()
	t.Setenv("PATH", filepath.Dir(pyoracle.Python(t))+string(os.PathListSeparator)+os.Getenv("PATH"))
	if _, err := exec.LookPath("duckdb"); err != nil {
		if os.Getenv("SHOAL_REQUIRE_ORACLES") == "1" {
			t.Fatal(err)
		}
		t.Skip("no DuckDB program: run `make tools`")
	}
}

func TestLoad(t *testing.T) {
	dir := t.TempDir()
	good(t, dir)
	config := filepath.Join(dir, "shoal.yaml")
	if err := os.WriteFile(config, []byte(strings.ReplaceAll(goodConfig, "DIR", dir)), 0o644); err != nil {
		t.Fatal(err)
	}
	refused := func(code int, want string, args ...string) {
		t.Helper()
		if got, stdout, stderr := shoal(t, append(args, "--config", config)...); got != code || !strings.Contains(stderr, want) || stdout != "" {
			t.Errorf("%v: exit %d, want %d and %q: %s%s", args, got, code, want, stdout, stderr)
		}
	}
	refused(99, "no run is published", "load-sql", "--target", "duckdb")
	if code, _, stderr := shoal(t, "run", "--config", config, "--date", "2024-06-30"); code != 0 {
		t.Fatalf("exit %d: %s", code, stderr)
	}
	refused(2, "--target is required: bigquery", "load-sql")
	refused(2, `target \"oracle\"`, "load-sql", "--target", "oracle")
	refused(2, "shoal runs lists", "load-sql", "--target", "duckdb", "--run", "nothing")
	refused(2, "say with --location", "load-sql", "--target", "bigquery")
	refused(2, "what shoal load-sql prints", "load", "--target", "snowflake", "--location", "@s")
	refused(2, "--duckdb-command", "load", "--target", "duckdb", "--database", dir+"/w", "--duckdb-command", "no-such-program")
	refused(2, "is not set", "load", "--target", "postgres", "--url-env", "NO_SUCH_VARIABLE")

	for _, target := range warehouse.Targets {
		location := map[string]string{"bigquery": "gs://b", "snowflake": "@s", "redshift": "s3://b", "databricks": "s3://b"}[target]
		code, stdout, stderr := shoal(t, "load-sql", "--target", target, "--config", config, "--run", "2024-06-30", "--location", location, "--table", "segments,label_audit")
		if code != 0 || !strings.HasPrefix(stdout, "-- Run ") || strings.Contains(stdout, "customer_scores") {
			t.Errorf("%s: exit %d: %s%s", target, code, stdout, stderr)
		}
	}

	// What is started sees nothing of passwords, in its arguments or in what it is told.
	const secret = "hunter2-Geheim"
	t.Setenv("PGPASSWORD", secret)
	t.Setenv("LAKE_URL", "postgres://shoal:"+secret+"@127.0.0.1:1/x?connect_timeout=1")
	spy := filepath.Join(dir, "spy")
	if err := os.WriteFile(spy, []byte("#!/bin/sh\n{ echo \"$0 $@\"; cat; } > "+spy+".told\n"), 0o755); err != nil {
		t.Fatal(err)
	}
	code, stdout, stderr := shoal(t, "load", "--target", "duckdb", "--database", dir+"/w", "--duckdb-command", spy, "--config", config)
	told, err := os.ReadFile(spy + ".told")
	if err != nil || code != 0 || !strings.Contains(string(told), "BEGIN TRANSACTION") || strings.Contains(string(told)+stdout+stderr, secret) {
		t.Errorf("exit %d, %v: %s%s\n%.300s", code, err, stdout, stderr, told)
	}
	if code, stdout, stderr := shoal(t, "load", "--target", "postgres", "--url-env", "LAKE_URL", "--config", config); code != 75 || strings.Contains(stdout+stderr, secret) {
		t.Errorf("exit %d: %s%s", code, stdout, stderr)
	}

	t.Run("duckdb", func(t *testing.T) {
		duckdbOnPath(t)
		twice(t, "load", "--target", "duckdb", "--database", dir+"/w.duckdb", "--config", config)
	})
	t.Run("postgres", func(t *testing.T) {
		pgserver.Start(t).Set(t)
		twice(t, "load", "--target", "postgres", "--prefix", "shoal_", "--config", config)
	})
}

// twice loads the run twice, which says the same.
func twice(t *testing.T, args ...string) {
	t.Helper()
	for range 2 {
		code, stdout, stderr := shoal(t, args...)
		var s warehouse.Loaded
		if err := json.Unmarshal([]byte(stdout), &s); err != nil || code != 0 || s.Date != "2024-06-30" || s.Tables["customer_scores"] == 0 || s.Tables["features"] != s.Tables["customer_scores"] {
			t.Fatalf("exit %d, %v: %s%s", code, err, stdout, stderr)
		}
	}
}
