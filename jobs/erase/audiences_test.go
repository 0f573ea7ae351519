package erase

import (
	"bytes"
	"os"
	"slices"
	"strings"
	"testing"

	"github.com/shoal-data/shoal/datasets/storage"
	"github.com/shoal-data/shoal/jobs/publish"
)

// The erased go from audience files, too; a file of hashed addresses alone, in which
// nobody can be found, goes whole.
func TestAudiencesAreErased(t *testing.T) {
	type reached struct {
		Customer string `parquet:"customer_id"`
		Email    string `parquet:"email"`
	}
	dir := t.TempDir()
	write(t, dir+"/events.parquet", shop(80, func(int) bool { return true }))
	var contacts []reached
	for n := range 80 {
		contacts = append(contacts, reached{person(n), person(n)})
	}
	write(t, dir+"/contacts.parquet", contacts)
	extra := "contacts: [{path: " + dir + "/contacts.parquet, columns: {email: email}}]\naudiences: [{name: named}, {name: hashed, hashed: [email]}]\n"
	before := night(t, job(t, dir, extra), first, false)
	current := func() (*publish.Manifest, map[string]string) {
		m, _, err := publish.ReadCurrent(t.Context(), storage.Local(), dir+"/out", first)
		if err != nil {
			t.Fatal(err)
		}
		files := map[string]string{}
		for _, f := range m.Audiences {
			data, err := publish.ReadAudience(t.Context(), storage.Local(), dir+"/out", f)
			if err != nil || int64(bytes.Count(data, []byte("\n"))) != f.Rows+1 {
				t.Fatalf("%s: %v, %d rows said", f.Path, err, f.Rows)
			}
			files[f.Path[strings.LastIndexByte(f.Path, '/')+1:]] = string(data)
		}
		return m, files
	}
	if _, files := current(); len(files) != 2 || !strings.Contains(files["named.csv"], person(7)+"\n") || before.Audiences[1].Rows != 80 {
		t.Fatalf("%v", files)
	}
	if err := os.WriteFile(dir+"/gone.txt", []byte(person(7)+"\n"), 0o644); err != nil {
		t.Fatal(err)
	}
	proof, err := people(t, job(t, dir, extra+"privacy: {erased: [{path: "+dir+"/gone.txt}]}\n"), nil)
	if err != nil || !proof.Clean || len(proof.Rewritten) != 1 || !slices.Equal(proof.Rewritten[0].LeftOut, []string{"hashed.csv"}) || proof.Rewritten[0].Rows["named.csv"] != 1 || proof.Rewritten[0].Rows["changes"] != 1 {
		t.Errorf("%v, %+v", err, proof)
	}
	m, files := current()
	if m.RunID == before.RunID || len(files) != 1 || strings.Contains(files["named.csv"], person(7)) || strings.Count(files["named.csv"], "\n") != 80 || !strings.HasPrefix(files["named.csv"], "customer_id\n") {
		t.Errorf("%s: %v", m.RunID, files)
	}
	if got := places(t, dir+"/out", person(7)); len(got) > 0 {
		t.Errorf("in %v", got)
	}
}
