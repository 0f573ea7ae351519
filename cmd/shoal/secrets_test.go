package main

import (
	"bytes"
	"context"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/spf13/cobra"
)

// planted is a secret that must be seen nowhere.
const planted = "Xk7-planted-secret-93qT"

// secretVariables are where secrets usually are.
var secretVariables = []string{
	"AWS_SECRET_ACCESS_KEY", "AWS_SESSION_TOKEN", "AZURE_STORAGE_KEY", "AZURE_STORAGE_SAS_TOKEN", "AZURE_CLIENT_SECRET", "GOOGLE_APPLICATION_CREDENTIALS_JSON",
	"PGPASSWORD", "OTEL_EXPORTER_OTLP_HEADERS", "OPENLINEAGE_API_KEY", "PUSHGATEWAY_PASSWORD", "SHOAL_PSEUDONYM_KEY", "NOT_FOR_YOU",
}

// quiet runs the program and fails if its output has the secret.
func quiet(t *testing.T, args ...string) int {
	t.Helper()
	var stdout, stderr bytes.Buffer
	ctx, stop := context.WithTimeout(t.Context(), time.Minute) // schedule would wait for the night
	defer stop()
	code := run(ctx, args, &stdout, &stderr)
	for name, out := range map[string]*bytes.Buffer{"stdout": &stdout, "stderr": &stderr} {
		if bytes.Contains(out.Bytes(), []byte(planted)) {
			t.Errorf("%s of shoal %s has the secret:\n%s", name, strings.ReplaceAll(strings.Join(args, " "), planted, "…"), out)
		}
	}
	return code
}

// clean fails if a file below a directory, or its name, has the secret.
func clean(t *testing.T, dir string, except ...string) {
	t.Helper()
	files := 0
	err := filepath.WalkDir(dir, func(path string, d fs.DirEntry, err error) error {
		if err != nil || slices.Contains(except, filepath.Base(path)) {
			return err
		}
		if strings.Contains(path, planted) {
			t.Errorf("a name has the secret: %s", path)
		}
		if d.IsDir() {
			return nil
		}
		files++
		b, err := os.ReadFile(path)
		if bytes.Contains(b, []byte(planted)) {
			t.Errorf("%s has the secret", path)
		}
		return err
	})
	if err != nil || files == 0 {
		t.Fatal(files, err)
	}
}

// A secret in the environment stays there: no log, summary, manifest, page, lease or error of
// any verb has it, whether a night succeeds or fails.
func TestSecretsStayInTheEnvironment(t *testing.T) {
	for _, name := range secretVariables {
		t.Setenv(name, planted)
	}
	t.Chdir(t.TempDir())
	good(t, ".")
	config := strings.ReplaceAll(goodConfig, "DIR/", "") + "privacy: {pseudonym_key_env: SHOAL_PSEUDONYM_KEY, erased: [{path: gone.txt}]}\n"
	write := func(name, text string) {
		if err := os.WriteFile(name, []byte(text), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	write("gone.txt", "nobody-of-this-shop\n")
	write("shoal.yaml", config)
	for _, args := range [][]string{
		{"run", "--date", "2024-06-30", "--plan"}, {"run", "--date", "2024-06-30", "--summary-file", "summary.json", "--log", "json"}, {"run", "--date", "2024-06-30"},
		{"runs"}, {"verify", "--read-data"}, {"gc"}, {"erase"}, {"check"}, {"report", "latest"}, {"export", "--date", "2024-06-30", "--out", "features", "--format", "csv"}, {"config", "show", "shoal.yaml"},
	} {
		if code := quiet(t, args...); code != 0 {
			t.Errorf("shoal %s ends with %d", strings.Join(args, " "), code)
		}
	}
	clean(t, ".")
	// Wherever a variable is put that does not belong there, the error does not tell it.
	for i, extra := range []string{
		"time_zone: ${NOT_FOR_YOU}", "limits: {memory: \"${NOT_FOR_YOU}\"}", "${NOT_FOR_YOU}: 1", "currency: ${NOT_FOR_YOU} ${NOT_FOR_YOU}",
		"targets: [{name: \"${NOT_FOR_YOU}\", kind: churn}]", "identity: [{path: \"s3://ann:${NOT_FOR_YOU}@lake/x.parquet\"}]", "identity: [{path: \"https://lake/x.parquet?sig=${NOT_FOR_YOU}\"}]",
		"models: {seed: \"${NOT_FOR_YOU}\"}", "features: {families: [\"${NOT_FOR_YOU}\"]}",
	} {
		write("bad.yaml", strings.ReplaceAll(goodConfig, "DIR/", "")+extra+"\n")
		if code := quiet(t, "run", "--config", "bad.yaml", "--date", "2024-06-30", "--summary-file", fmt.Sprintf("bad%d.json", i)); code == 0 {
			t.Errorf("%s is no error", extra)
		}
	}
	clean(t, ".")
}

// A credential in a URL is refused wherever a flag or an argument takes one, and not repeated.
func TestCredentialsInURLs(t *testing.T) {
	t.Chdir(t.TempDir())
	good(t, ".")
	if err := os.WriteFile("shoal.yaml", []byte(strings.ReplaceAll(goodConfig, "DIR/", "")), 0o644); err != nil {
		t.Fatal(err)
	}
	tried := 0
	var try func(c *cobra.Command, path []string)
	try = func(c *cobra.Command, path []string) {
		for _, sub := range c.Commands() {
			try(sub, append(slices.Clone(path), sub.Name()))
		}
		for _, flag := range []string{"out", "config", "summary-file", "truth", "target", "to", "file", "metrics-file", "pushgateway"} {
			f := c.Flags().Lookup(flag)
			if f == nil || f.Value.Type() == "bool" {
				continue
			}
			for _, place := range []string{"s3://ann:" + planted + "@lake/x", "https://lake/x?X-Amz-Signature=" + planted} {
				tried++
				if code := quiet(t, append(slices.Clone(path), "--"+flag, place)...); code != 2 {
					t.Errorf("shoal %s --%s URL ends with %d", strings.Join(path, " "), flag, code)
				}
			}
		}
	}
	try(command(&bytes.Buffer{}, &bytes.Buffer{}), nil)
	for _, args := range [][]string{{"init", "s3://ann:" + planted + "@lake/*.parquet"}, {"config", "show", "https://ann:" + planted + "@x/y"}} {
		tried++
		if code := quiet(t, args...); code != 2 {
			t.Errorf("shoal %s URL ends with %d", args[0], code)
		}
	}
	if tried < 20 {
		t.Errorf("only %d were tried", tried)
	}
	clean(t, ".")
}
