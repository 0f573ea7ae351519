package main

import (
	"bytes"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/shoal-data/shoal/datasets/storage"
	"github.com/shoal-data/shoal/datasets/storage/storagetest/s3server"
	"github.com/shoal-data/shoal/internal/pgserver"
	"github.com/shoal-data/shoal/internal/pyoracle"
)

// overS3 is a job whose input, contacts, list of the erased and output lie at DIR.
const overS3 = `sources:
  - path: DIR/in/*.parquet
    columns: {customer_id: customer_id, event_time: event_time, event_type: event_type, amount: amount, currency: currency}
    roles: {purchase: [order]}
out: DIR/out
targets:
  - {name: churn, kind: churn, horizon: 30d}
contacts:
  - {path: DIR/contacts.parquet, columns: {customer: customer, email: email}}
audiences:
  - {name: buyers, where: [rfm_segment is known], hashed: [email]}
privacy: {erased: [{path: "DIR/forget/*.txt"}]}
`

// contact is a row of the contacts.
type contact struct {
	Customer string `parquet:"customer"`
	Email    string `parquet:"email"`
}

// TestS3Real puts every verb that touches what is published to a real S3 server, and
// everything that it reads there too. The tables are those that the same nights make
// on a disk, and what is erased is in no byte that the server keeps.
func TestS3Real(t *testing.T) {
	server := s3server.StartReal(t)
	server.Bucket(t, "lake")
	disk := t.TempDir()
	good(t, disk)
	var contacts []contact
	for i := range 60 {
		id := "customer-" + string(rune('0'+i/10)) + string(rune('0'+i%10))
		id = strings.Replace(id, "-0", "-", 1)
		contacts = append(contacts, contact{id, id + "@example.org"})
	}
	writeParquet(t, disk+"/contacts.parquet", contacts)
	forget := func(ids string) { // both lists, as CRM systems write them anew
		t.Helper()
		if err := os.MkdirAll(disk+"/forget", 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(disk+"/forget/list.txt", []byte(ids), 0o644); err != nil {
			t.Fatal(err)
		}
		if err := os.MkdirAll(server.Dir("lake")+"/forget", 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(server.Dir("lake")+"/forget/list.txt", []byte(ids), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	forget("nobody-of-this-shop\n")
	for _, name := range []string{"in/a.parquet", "contacts.parquet"} {
		data, err := os.ReadFile(filepath.Join(disk, name))
		if err != nil {
			t.Fatal(err)
		}
		if err := storage.WriteFile(t.Context(), server.FS(), "s3://lake/"+name, data); err != nil {
			t.Fatal(err)
		}
	}
	configs := map[string]string{}
	for name, dir := range map[string]string{"s3": "s3://lake", "disk": filepath.ToSlash(disk)} {
		configs[name] = filepath.Join(disk, name+".yaml")
		if err := os.WriteFile(configs[name], []byte(strings.ReplaceAll(overS3, "DIR", dir)), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	said := ""
	do := func(args, want string) string {
		t.Helper()
		code, stdout, stderr := shoal(t, append(strings.Fields(args), "--config", configs["s3"])...)
		said += stdout + stderr
		if code != 0 || !strings.Contains(stdout+stderr, want) {
			t.Fatalf("%s: exit %d, want %q\n%s%s", args, code, want, stdout, stderr)
		}
		return stdout
	}
	do("backfill --from 2024-06-29 --to 2024-06-29", `"status":"published"`)
	do("run --date 2024-06-30", `"status":"published"`)
	do("run --date 2024-06-30", `"status":"noop"`)
	do("runs", "2024-06-29")
	for _, date := range []string{"2024-06-29", "2024-06-30"} {
		do("verify "+date+" --read-data", "every byte as it was written")
		if code, stdout, stderr := shoal(t, "run", "--date", date, "--config", configs["disk"]); code != 0 {
			t.Fatalf("on a disk: exit %d\n%s%s", code, stdout, stderr)
		}
	}

	// What lies in the bucket is what lies on the disk.
	kept := func(dir string) map[string][]byte {
		files := map[string][]byte{}
		err := filepath.WalkDir(dir, func(path string, d fs.DirEntry, err error) error {
			if err != nil || d.IsDir() {
				return err
			}
			data, err := os.ReadFile(path)
			rel, _ := filepath.Rel(dir, path)
			files[filepath.ToSlash(rel)] = data
			return err
		})
		if err != nil {
			t.Fatal(err)
		}
		return files
	}
	there, here := kept(server.Dir("lake")+"/out"), kept(disk+"/out")
	tables := 0
	for name, data := range here {
		if name, _, _ := strings.Cut(name, "/"); slices.Contains([]string{"manifests", "current.json", "report"}, name) {
			continue // which say where things lie and how long they took
		}
		tables++
		if !bytes.Equal(there[name], data) {
			t.Errorf("%s has %d bytes in the bucket, %d on the disk, or others", name, len(there[name]), len(data))
		}
	}
	if tables < 45 || len(there) != len(here) {
		t.Errorf("%d files in the bucket, %d on the disk, of which %d compared", len(there), len(here), tables)
	}
	audiences := 0
	for name, data := range there {
		if strings.HasPrefix(name, "audiences/") && bytes.Contains(data, []byte("email_sha256")) && bytes.Count(data, []byte("\n")) > 20 {
			audiences++
		}
	}
	if audiences != 2 {
		t.Errorf("%d audience files with customers", audiences)
	}

	do("report latest --output "+disk+"/page.html", "run ")
	if page, err := os.ReadFile(disk + "/page.html"); err != nil || !bytes.Contains(page, []byte("</html>")) {
		t.Errorf("%d bytes of a page, %v", len(page), err)
	}
	do("explain --customer customer-7 --date 2024-06-30", "customer-7")
	do("export --date 2024-06-30 --out s3://lake/features", `"status":"exported"`)
	do("check", "")

	// A key that the server does not know is refused, and the rest of the test knows that it checks.
	t.Setenv("AWS_SECRET_ACCESS_KEY", planted)
	if code, stdout, stderr := shoal(t, "run", "--date", "2024-07-01", "--config", configs["s3"]); code != 65 && code != 2 || strings.Contains(stdout+stderr, planted) {
		t.Errorf("with another key: exit %d\n%s%s", code, stdout, stderr)
	}
	t.Setenv("AWS_SECRET_ACCESS_KEY", s3server.SecretKey)

	do("load-sql --target clickhouse", "s3://lake/out/customer_scores/ds=2024-06-30/")
	t.Run("postgres", func(t *testing.T) {
		pg := pgserver.Start(t)
		pg.Set(t)
		loadedAlike(t, configs, func(config string) string {
			for range 2 {
				if code, stdout, stderr := shoal(t, "load", "--target", "postgres", "--config", config); code != 0 {
					t.Fatalf("exit %d\n%s%s", code, stdout, stderr)
				}
			}
			rows := ""
			for _, table := range []string{"customer_scores", "changes", "data_quality", "features"} {
				out, err := pg.Psql(t, "SELECT count(*), count(DISTINCT x::text), md5(string_agg(x::text, '|' ORDER BY x::text)) FROM "+table+" x")
				if err != nil {
					t.Fatal(err)
				}
				rows += table + " " + out
			}
			return rows
		})
	})
	t.Run("duckdb", func(t *testing.T) {
		duckdbOnPath(t)
		loadedAlike(t, configs, func(config string) string {
			for range 2 {
				if code, stdout, stderr := shoal(t, "load", "--target", "duckdb", "--database", config+".duckdb", "--config", config); code != 0 {
					t.Fatalf("exit %d\n%s%s", code, stdout, stderr)
				}
			}
			var rows string
			pyoracle.Run(t, `
import duckdb, json, sys
con = duckdb.connect(json.load(sys.stdin), read_only=True)
print(json.dumps("\n".join(f"{x} {con.execute(f'SELECT count(*), md5(string_agg(x::TEXT, chr(124) ORDER BY x::TEXT)) FROM {x} x').fetchone()}"
    for x in ["customer_scores", "changes", "data_quality", "features"])))
`, config+".duckdb", &rows)
			return rows
		})
	})

	// Somebody is forgotten: nothing of them is left in any file that the server keeps.
	const gone = "customer-17"
	if n := holding(t, server.Dir("lake")+"/out", gone); n == 0 {
		t.Fatal("nothing to erase")
	}
	forget(gone + "\n")
	do("erase", "is now")
	for _, dir := range []string{"out", "out/erasures"} {
		if n := holding(t, server.Dir("lake")+"/"+dir, gone); n > 0 {
			t.Errorf("%d files under %s still name %s", n, dir, gone)
		}
	}
	if proofs, err := os.ReadDir(server.Dir("lake") + "/out/erasures"); err != nil || len(proofs) != 1 {
		t.Errorf("%d proofs, %v", len(proofs), err)
	}
	do("erase", "none is there")
	for _, date := range []string{"2024-06-29", "2024-06-30"} {
		do("verify "+date+" --read-data", "every byte as it was written")
	}
	do("run --date 2024-06-30 --force", `"status":"published"`)
	do("gc --keep 0", "removed")
	do("gc --keep 0", "0 files")
	do("verify latest --read-data", "every byte as it was written")
	if n := holding(t, server.Dir("lake")+"/out", gone); n > 0 {
		t.Errorf("after a later run %d files name %s", n, gone)
	}
	for _, secret := range []string{s3server.SecretKey, s3server.AccessKey} {
		if strings.Contains(said, secret) || holding(t, server.Dir("lake"), secret) > 0 {
			t.Error("a key was told")
		}
	}
}

// loadedAlike loads the runs of the bucket and of the disk, which give the same rows.
func loadedAlike(t *testing.T, configs map[string]string, load func(config string) string) {
	t.Helper()
	there := load(configs["s3"])
	if here := load(configs["disk"]); there != here || strings.Contains(there, " 0") {
		t.Errorf("loaded from the bucket:\n%s\nfrom the disk:\n%s", there, here)
	}
}

// holding counts the files under a directory that hold a text, CSV and JSON by their
// bytes and Parquet by its values, which DuckDB reads.
func holding(t *testing.T, dir, text string) int {
	t.Helper()
	found := 0
	var tables []string
	err := filepath.WalkDir(dir, func(path string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() {
			return err
		}
		data, err := os.ReadFile(path)
		if bytes.Contains(data, []byte(text)) {
			found++
		}
		if strings.HasSuffix(path, ".parquet") {
			tables = append(tables, path)
		}
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	var hits int
	pyoracle.Run(t, `
import json, sys
import duckdb
job = json.load(sys.stdin)
hits = 0
for path in job["tables"] or []:
    names = [r[0] for r in duckdb.execute("DESCRIBE SELECT * FROM read_parquet(?, hive_partitioning = false)", [path]).fetchall() if r[1] == "VARCHAR"]
    if names:
        where = " OR ".join(f'contains("{n}", $text)' for n in names)
        hits += duckdb.execute(f"SELECT count(*) > 0 FROM read_parquet($path, hive_partitioning = false) WHERE {where}", {"path": path, "text": job["text"]}).fetchone()[0]
print(json.dumps(hits))
`, map[string]any{"tables": tables, "text": text}, &hits)
	return found + hits
}
