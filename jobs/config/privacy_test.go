package config

import (
	"strings"
	"testing"
)

// planted is a secret that somebody put where it does not belong.
const planted = "Tr0ub4dor-and-3"

// No error repeats a credential, or the value of a variable, whatever it was meant for.
func TestErrorsHideSecrets(t *testing.T) {
	lookup := func(name string) (string, bool) { return planted, name == "DB_PASSWORD" }
	for _, yaml := range []string{
		"limits: {memory: \"${DB_PASSWORD}\"}",
		"limits: {sample_rows: \"${DB_PASSWORD}\"}",
		"models: {snapshots: \"${DB_PASSWORD}\"}",
		"models: {baselines: \"${DB_PASSWORD}\"}",
		"time_zone: ${DB_PASSWORD}",
		"currency: a ${DB_PASSWORD} b",
		"dedupe: ${DB_PASSWORD}",
		"schedule: {cron: \"${DB_PASSWORD}\"}",
		"features: {families: [\"${DB_PASSWORD}\"]}",
		"targets: [{name: \"${DB_PASSWORD}\", kind: churn}]",
		"segmentations: [{name: x, k: \"${DB_PASSWORD}\"}]",
		"privacy: {pseudonym_key_env: \"${DB_PASSWORD}\"}",
		"privacy: {pseudonym_key_env: " + planted + "}",
		"identity: [{path: \"s3://ann:" + planted + "@lake/a.parquet\"}]",
		"identity: [{path: \"s3://ann:${DB_PASSWORD}@lake/a.parquet\"}]",
		"identity: [{path: \"https://lake/a.parquet?x=1&X-Amz-Signature=" + planted + "\"}]",
		"privacy: {purpose: \"see https://ann:" + planted + "@wiki/x\"}",
	} {
		_, err := Parse("shoal.yaml", []byte(minimal+yaml+"\n"), lookup)
		if err == nil {
			t.Errorf("%s: no error", yaml)
		} else if strings.Contains(err.Error(), planted) {
			t.Errorf("%s: %v", yaml, err)
		}
	}
	out := strings.Replace(minimal, "out: ", "out: s3://ann:"+planted+"@lake/", 1)
	if _, err := Parse("shoal.yaml", []byte(out), lookup); err == nil || strings.Contains(err.Error(), planted) || !strings.Contains(err.Error(), "out: holds a user and a password") {
		t.Errorf("out: %v", err)
	}
}

// What only looks like a credential is none.
func TestHarmlessURLs(t *testing.T) {
	for _, path := range []string{
		"s3://lake/events/ds=*/*.parquet", "s3://lake/a@b:c/x.parquet", "file:///a/b.parquet", "s3://lake/x.parquet?region=eu-central-1&endpoint=http://localhost:9000",
		"ann:secret@host/x.parquet", "lake/token=abc/x.parquet", "s3://lake/token=abc/x.parquet", "https://ann@lake/x.parquet", "s3://lake/x.parquet?token=",
	} {
		if what := credential(path); what != "" {
			t.Errorf("%s holds %s", path, what)
		}
	}
}

// A key is taken from the environment alone; without one, or with a guessable one, nothing
// is done.
func TestPseudonymKey(t *testing.T) {
	c := mustParse(t, minimal+"privacy: {pseudonym_key_env: SHOAL_TEST_KEY}\n")
	t.Setenv("SHOAL_TEST_KEY", "")
	if key, err := c.Privacy.PseudonymKey(); err == nil {
		t.Errorf("no variable: key %q", key)
	}
	t.Setenv("SHOAL_TEST_KEY", planted)
	if _, err := c.Privacy.PseudonymKey(); err == nil || strings.Contains(err.Error(), planted) {
		t.Errorf("15 bytes: %v", err)
	}
	t.Setenv("SHOAL_TEST_KEY", planted+"!")
	if key, err := c.Privacy.PseudonymKey(); err != nil || string(key) != planted+"!" {
		t.Errorf("key %q, %v", key, err)
	}
	effective, err := c.Effective()
	if err != nil || strings.Contains(string(effective), planted) {
		t.Errorf("the effective configuration has the key: %v", err)
	}
	c.Privacy.PseudonymKeyEnv = ""
	if key, err := c.Privacy.PseudonymKey(); err != nil || key != nil {
		t.Errorf("no key is asked for: %q, %v", key, err)
	}
}
