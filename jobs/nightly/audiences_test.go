package nightly

import (
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/parquet-go/parquet-go"

	"github.com/shoal-data/shoal/datasets/storage"
	"github.com/shoal-data/shoal/internal/pyoracle"
	"github.com/shoal-data/shoal/jobs/publish"
	"github.com/shoal-data/shoal/jobs/runs"
)

// contact is a row of a CRM.
type contact struct {
	Customer string `parquet:"customer_no"`
	Address  string `parquet:"address"`
}

// An audience file has who DuckDB finds in customer_scores, with the hashes of
// their addresses, and nobody else.
func TestAudiencesOfANight(t *testing.T) {
	dir, crm := t.TempDir(), filepath.Join(t.TempDir(), "contacts.parquet")
	rows := shop(5, 300)
	write(t, filepath.Join(dir, "a.parquet"), rows)
	var contacts []contact
	seen := map[string]bool{}
	for _, r := range rows {
		if r.Customer != nil && !seen[*r.Customer] && !strings.HasSuffix(*r.Customer, "3") {
			seen[*r.Customer] = true
			contacts = append(contacts, contact{*r.Customer, " " + strings.ToUpper(*r.Customer) + "@Example.com"})
		}
	}
	contacts = append(contacts, contact{"a stranger", "x@example.com"})
	if err := parquet.WriteFile(crm, contacts); err != nil {
		t.Fatal(err)
	}
	const text = fourSegments + `
contacts: [{path: CRM, columns: {customer: customer_no, email: address}}]
audiences:
  - {name: winback, where: ["churn_band in high, very high", "segment_id in 1, 2"], hashed: [email], columns: [segment_name, churn_probability]}
  - {name: all, columns: [customer_id, expected_value]}
`
	c := job(t, dir, strings.ReplaceAll(text, "CRM", crm))
	s, err := night(t, c, "2024-11-28", nil)
	if err != nil {
		t.Fatal(err)
	}
	m, _, err := publish.ReadCurrent(t.Context(), storage.Local(), c.Out, s.Date)
	if err != nil {
		t.Fatal(err)
	}
	if len(m.Audiences) != 2 || len(s.Audiences) != 2 || m.Audiences[0].Path != "audiences/ds=2024-11-28/run="+s.RunID+"/all.csv" || m.Audiences[0].Rows != s.Tables["customer_scores"] || m.Audiences[1].Rows != s.Audiences[0].Rows {
		t.Fatalf("manifest %+v, summary %+v", m.Audiences, s.Audiences)
	}
	var got struct {
		Faults []string
		Rows   int
	}
	pyoracle.Run(t, `
import csv, hashlib, json, sys, duckdb
q = json.load(sys.stdin)
c = duckdb.connect()
want = c.execute(f"""SELECT lower(trim(address)), segment_name, churn_probability FROM read_parquet('{q['out']}/customer_scores/*/*/*.parquet', hive_partitioning = false)
JOIN '{q['crm']}' ON customer_no = customer_id WHERE churn_band IN ('high', 'very high') AND segment_id IN (1, 2)""").fetchall()
rows = list(csv.reader(open(q["out"] + "/" + q["winback"])))
faults = []
if rows[0] != ["email_sha256", "segment_name", "churn_probability"]: faults.append(str(rows[0]))
have = sorted((a, b, float(x)) for a, b, x in rows[1:])
want = sorted((hashlib.sha256(a.encode()).hexdigest(), b, x) for a, b, x in want)
if have != want: faults.append(f"{len(have)} rows, want {len(want)}: {set(have) ^ set(want)}")
rows = list(csv.reader(open(q["out"] + "/" + q["all"])))
want = {r[0]: "" if r[1] is None else str(r[1]) for r in c.execute(f"SELECT customer_id, expected_value FROM read_parquet('{q['out']}/customer_scores/*/*/*.parquet', hive_partitioning = false)").fetchall()}
if dict(rows[1:]) != want: faults.append("all: not the values of customer_scores")
print(json.dumps({"Faults": faults, "Rows": len(have)}))
`, map[string]string{"out": c.Out, "crm": crm, "winback": m.Audiences[1].Path, "all": m.Audiences[0].Path}, &got)
	for _, f := range got.Faults {
		t.Error(f)
	}
	if got.Rows < 5 || s.Audiences[0].Left == 0 || !warned(s, "audience.unreachable", "winback") {
		t.Errorf("shows little: %d rows, %+v", got.Rows, s.Audiences)
	}

	// They are part of the run: verified, and the same again when nothing changed.
	problems, err := runs.Verify(t.Context(), storage.Local(), c.Out, s.Date, s.RunID, true)
	if err != nil || len(problems) > 0 {
		t.Errorf("%v %v", err, problems)
	}
	if again, err := night(t, c, s.Date, nil); err != nil || again.Status != StatusNoop {
		t.Errorf("again: %s, %v", again.Status, err)
	}
	file := filepath.Join(c.Out, m.Audiences[1].Path)
	whole, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	changed := append([]byte(nil), whole...)
	changed[len(changed)/2] ^= 1
	if err := os.WriteFile(file, changed, 0o644); err != nil {
		t.Fatal(err)
	}
	if problems, err := runs.Verify(t.Context(), storage.Local(), c.Out, s.Date, s.RunID, true); err != nil || len(problems) != 1 || !strings.Contains(problems[0].Path, "winback.csv") {
		t.Errorf("after a change: %v %v", err, problems)
	}
	if err := os.WriteFile(file, whole, 0o644); err != nil {
		t.Fatal(err)
	}
	contacts[0].Address = strings.Replace(contacts[0].Address, "@E", "@F", 1) // as long as before
	if err := parquet.WriteFile(crm, contacts); err != nil {
		t.Fatal(err)
	}
	if again, err := night(t, c, s.Date, nil); err != nil || again.Status != StatusPublished || again.RunID == s.RunID {
		t.Errorf("with another address: %s, %v", again.Status, err)
	}

	// A column that there will not be is refused before anything is read.
	bad := job(t, dir, strings.ReplaceAll(strings.Replace(text, "churn_band", "churn_bnad", 1), "CRM", crm))
	o, err := night(t, bad, "2024-11-28", nil)
	var fault *Error
	if !errors.As(err, &fault) || fault.Code != ExitUsage || !strings.Contains(err.Error(), `audiences[winback].where: customer_scores has no column "churn_bnad"`) || o.Input.RowsRead > 0 {
		t.Errorf("%v after %d rows", err, o.Input.RowsRead)
	}

	// What is known before of customer_scores is what it is.
	r, err := prepare(Options{Config: c, Date: s.Date, FS: storage.Local(), Version: "test", Now: time.Now})
	if err != nil {
		t.Fatal(err)
	}
	in, err := r.Config.ScanInput()
	if err != nil {
		t.Fatal(err)
	}
	plan, err := in.Plan(t.Context(), storage.Local())
	if err != nil {
		t.Fatal(err)
	}
	var names, want []string
	for _, f := range r.scoreSchema(plan).Fields() {
		names = append(names, f.Name)
	}
	for _, f := range m.Table("customer_scores").Columns {
		want = append(want, f.Name)
	}
	if a, b := strings.Join(names, " "), strings.Join(want, " "); a != b {
		t.Errorf("customer_scores has\n%s, known before are\n%s", b, a)
	}
}
