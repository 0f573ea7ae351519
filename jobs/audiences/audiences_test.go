package audiences

import (
	"context"
	"crypto/sha256"
	"encoding/csv"
	"encoding/hex"
	"fmt"
	"math"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/shoal-data/shoal/datasets/scan"
	"github.com/shoal-data/shoal/jobs/config"
	"github.com/shoal-data/shoal/jobs/outputs"
)

// scores has a row for each name, with columns of every type.
func scores(names ...string) outputs.Table {
	f := func(i int) float64 {
		if i == 3 {
			return math.NaN()
		}
		return float64(i) / 10
	}
	return outputs.FromColumns("customer_scores", []outputs.Column{
		outputs.Text("customer_id", "", func(i int) (string, bool) { return names[i], true }),
		outputs.Float("p", "", "", f),
		outputs.Small("segment_id", "", func(i int) (int, bool) { return i % 3, i%3 != 0 }),
		outputs.Text("band", "", func(i int) (string, bool) {
			return []string{"very high", "high", "low, or none", ""}[i%4], i%4 != 3
		}),
		outputs.Money("value", "", func(i int) float64 { return -5.5 + float64(i) }),
		outputs.Date("next", "", func(i int) (int32, bool) { return 20000 + int32(i), i != 4 }),
		outputs.Boolean("active", "", func(i int) bool { return i%2 == 0 }),
	}, len(names))
}

// build gives the files' lines by name.
func build(t *testing.T, table outputs.Table, contacts []scan.Contact, all ...config.Audience) (map[string][]string, []Result, []string) {
	t.Helper()
	files := map[string][]string{}
	results, warnings, err := Build(t.Context(), Input{
		Audiences: all, Scores: table,
		Contacts: func(_ context.Context, want func(string) bool) ([]scan.Contact, error) {
			var found []scan.Contact
			for _, c := range contacts {
				if want(c.Customer) {
					found = append(found, c)
				}
			}
			return found, nil
		},
		Write: func(name string, data []byte, rows int64) error {
			lines := strings.Split(strings.TrimSuffix(string(data), "\n"), "\n")
			if int64(len(lines)) != rows+1 {
				t.Errorf("%s: %d rows said, %d lines", name, rows, len(lines))
			}
			files[name] = lines
			return nil
		},
	})
	if err != nil {
		t.Fatal(err)
	}
	var said []string
	for _, w := range warnings {
		said = append(said, w.Code+": "+w.Message)
	}
	return files, results, said
}

func some(where ...string) config.Audience {
	var a config.Audience
	a.SetDefaults(0)
	a.Name = "some"
	for _, w := range where {
		if err := func() error { a.Where = append(a.Where, ""); return a.Where[len(a.Where)-1].UnmarshalText([]byte(w)) }(); err != nil {
			panic(err)
		}
	}
	return a
}

func TestConditions(t *testing.T) {
	table := scores("a", "b", "c", "d", "e", "f")
	for where, want := range map[string]string{
		"":                                    "a b c d e f",
		"p >= 0.2":                            "c e f",
		"p > 0.2":                             "e f",
		"p <= 0.2":                            "a b c",
		"p < 0.2":                             "a b",
		"p = 0.5":                             "f",
		"p != 0.5":                            "a b c e",
		"p in 0.1, 0.4":                       "b e",
		"p is known":                          "a b c e f",
		"p is unknown":                        "d",
		"segment_id in 1,2":                   "b c e f",
		"segment_id = 1":                      "b e",
		"segment_id != 1":                     "c f",
		"segment_id is unknown":               "a d",
		"band = very high":                    "a e",
		"band in high, very high":             "a b e f",
		"band != high":                        "a c e",
		"band = low, or none":                 "c",
		"value >= -3.5":                       "c d e f",
		"value > -3.5":                        "d e f",
		"value = -4.5":                        "b",
		"next >= 2024-10-07":                  "d f", // unknown of e
		"next = 2024-10-04":                   "a",
		"active = true":                       "a c e",
		"active = false;band in high":         "b f",
		"customer_id in b, d":                 "b d",
		"p >= 0.1;p <= 0.4;band in very high": "e",
	} {
		var conditions []string
		if where != "" {
			conditions = strings.Split(where, ";")
		}
		files, _, _ := build(t, table, nil, some(conditions...))
		if got := strings.Join(files["some.csv"][1:], " "); got != want {
			t.Errorf("%q: %s, want %s", where, got, want)
		}
	}
	for where, want := range map[string]string{
		"q > 1":            `customer_scores has no column "q"`,
		"p > much":         "p is a number",
		"p > NaN":          "p is a number",
		"band >= high":     "which only =, != and in compare",
		"next > yesterday": "write it as 2025-03-31",
		"active = 1":       "true or false",
	} {
		if err := Check([]config.Audience{some(where)}, table.Schema); err == nil || !strings.Contains(err.Error(), want) || !strings.Contains(err.Error(), "audiences[some].where") {
			t.Errorf("%q: %v, want %q", where, err, want)
		}
	}
	a := some()
	a.Columns = []string{"no_such"}
	if err := Check([]config.Audience{a}, table.Schema); err == nil || !strings.Contains(err.Error(), `audiences[some].columns: customer_scores has no column "no_such"`) {
		t.Error(err)
	}
}

// Nothing that a spreadsheet would run gets into a file, and numbers stay numbers.
func TestDisarmed(t *testing.T) {
	names := []string{`=cmd|' /C calc'!A0`, "+49", "-x", "@SUM(A1)", "\t=1", " =1", "\r\n=1", "＝1", `a,"b"`, "plain", "", "x=1", "\u00a0-1"}
	a := some()
	a.Columns = []string{"customer_id", "value", "next", "p"}
	table := scores(names...)
	var data string
	_, warnings, err := Build(t.Context(), Input{Audiences: []config.Audience{a}, Scores: table, Write: func(_ string, b []byte, _ int64) error { data = string(b); return nil }})
	if err != nil {
		t.Fatal(err)
	}
	got, err := csv.NewReader(strings.NewReader(data)).ReadAll()
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff([]string{"customer_id", "value", "next", "p"}, got[0]); diff != "" {
		t.Error(diff)
	}
	for i, name := range names {
		want := name
		if i < 8 || i == 12 {
			want = "'" + name
		}
		if want = strings.ReplaceAll(want, "\r\n", "\n"); got[i+1][0] != want { // as CSV reads line ends
			t.Errorf("%q is %q in the file, want %q", name, got[i+1][0], want)
		}
	}
	if got[1][1] != "-5.5000" || got[1][2] != "2024-10-04" || got[5][2] != "" || got[4][3] != "" || got[3][3] != "0.2" {
		t.Errorf("numbers and dates: %q %q", got[1], got[5])
	}
	if len(warnings) != 1 || warnings[0].Code != "audience.disarmed" || !strings.Contains(warnings[0].Message, " 9 texts") {
		t.Errorf("%+v", warnings)
	}
}

func hash(s string) string {
	if s == "" {
		return ""
	}
	sum := sha256.Sum256([]byte(s))
	return hex.EncodeToString(sum[:])
}

func TestHashedKeys(t *testing.T) {
	contacts := []scan.Contact{
		{Customer: "a", Email: " Ada@Example.COM ", Phone: "0151 123-456 78"},
		{Customer: "a", Email: "ada@example.com", Phone: "+49 (0)151 12345678"}, // the same, written otherwise
		{Customer: "b", Email: "second@example.com"},
		{Customer: "b", Email: "first@example.com"},
		{Customer: "c", Email: "no address", Phone: "call after six"},
		{Customer: "f", Phone: "0044 20 7946 0000"},
		{Customer: "zz", Email: "nobody@example.com"},
	}
	a := some()
	a.Hashed, a.Columns, a.PhoneCountry = []string{"email", "phone"}, []string{"segment_id"}, "49"
	files, results, warnings := build(t, scores("a", "b", "c", "d", "e", "f"), contacts, a)
	b := []string{hash("first@example.com"), hash("second@example.com")}
	if b[0] > b[1] {
		b[0], b[1] = b[1], b[0]
	}
	want := []string{"email_sha256,phone_sha256,segment_id", hash("ada@example.com") + "," + hash("+4915112345678") + ",", b[0] + ",,1", b[1] + ",,1", "," + hash("+442079460000") + ",2"}
	if diff := cmp.Diff(want, files["some.csv"]); diff != "" {
		t.Error(diff)
	}
	if len(results) != 1 || results[0] != (Result{Name: "some", Customers: 6, Left: 3, Rows: 4}) {
		t.Errorf("%+v", results)
	}
	if len(warnings) != 1 || !strings.Contains(warnings[0], "3 of 6 customers are left out") {
		t.Error(warnings)
	}
	// The digests that platforms publish as examples of theirs.
	if got := hash(normalEmail("Test@Example.com ")); got != "973dfe463ec85785f5f95af5ba3906eedb2d931c24e69824a89ea65dba4e813b" {
		t.Error(got)
	}
	a.Hashed, a.PhoneFormat = []string{"phone"}, config.PhoneDigits
	a.Columns = nil
	files, _, _ = build(t, scores("a"), contacts, a)
	if diff := cmp.Diff([]string{"phone_sha256", hash("4915112345678") + ""}, files["some.csv"]); diff != "" {
		t.Error(diff)
	}
}

func TestNormalised(t *testing.T) {
	for in, want := range map[string]string{
		"+49 151 12345678": "+4915112345678", "0049151/12345678": "+4915112345678", "0151-123 456 78": "+4915112345678", "015112345678": "+4915112345678", "15112345678": "+4915112345678",
		"+1 (202) 555-0123": "+12025550123", "": "", "12": "", "+1234567890123456": "", "0151 12 ext. 5": "", "+0151": "", "++49151123456": "", "tel": "",
	} {
		if got := normalPhone(in, "49"); got != want {
			t.Errorf("%q: %q, want %q", in, got, want)
		}
	}
	if got := normalPhone("0151 12345678", ""); got != "" {
		t.Errorf("a number of no known country: %q", got)
	}
	for in, want := range map[string]string{"A.B+c@X.org": "a.b+c@x.org", "a@b": "", "@x.org": "", "a b@x.org": "", "a@x@y.org": "", "": "", "a@.": ""} {
		if got := normalEmail(in); got != want {
			t.Errorf("%q: %q, want %q", in, got, want)
		}
	}
}

// A file that grows too large goes on in another, with a header of its own.
func TestParts(t *testing.T) {
	rows := partSize/1000 + 500
	long := strings.Repeat("x", 1000)
	names := make([]string, rows)
	for i := range names {
		names[i] = fmt.Sprint(long, i)
	}
	files, results, _ := build(t, scores(names...), nil, some())
	if len(files) != 2 || files["some.csv"] == nil || files["some-00002.csv"] == nil || results[0].Rows != int64(rows) {
		t.Fatalf("%d files, %+v", len(files), results)
	}
	if first, second := files["some.csv"], files["some-00002.csv"]; first[0] != "customer_id" || second[0] != "customer_id" || len(first)+len(second) != rows+2 || second[1] != names[len(first)-1] {
		t.Errorf("%d and %d lines", len(first), len(second))
	}
}
