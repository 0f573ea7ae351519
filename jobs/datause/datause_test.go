package datause

import (
	"os"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/shoal-data/shoal/datasets"
	"github.com/shoal-data/shoal/datasets/scan"
	"github.com/shoal-data/shoal/features"
	"github.com/shoal-data/shoal/jobs/config"
	"github.com/shoal-data/shoal/jobs/publish"
)

func TestRecord(t *testing.T) {
	c, err := config.Parse("test", []byte(`
sources:
  - path: a/*.parquet
    columns: {customer_id: who, event_time: at, event_type: what, amount: paid, product_id: sku, rating: stars, channel: via, consent: agreed}
    roles: {purchase: [order]}
  - {name: web, path: b/*.parquet, columns: {customer_id: mail, event_time: ts}, role: view, id_kind: email}
identity: [{path: i.parquet, kind: email}]
features: {families: [recency, money]}
targets: [{name: shoes, kind: propensity, role: purchase, where: {product_id: shoe}}]
privacy:
  erased: [{path: gone.txt}]
  consents: [{path: asked.parquet, columns: {time: said_at}}]
  smallest_segment: 25
  purpose: campaigns
  retention: 90d
out: out
`), os.LookupEnv)
	if err != nil {
		t.Fatal(err)
	}
	families, err := features.Select(c.FeatureParams(), c.Features.Families)
	if err != nil {
		t.Fatal(err)
	}
	in, err := c.ScanInput()
	if err != nil {
		t.Fatal(err)
	}
	in.Pseudonyms = scan.PseudonymKey("a key of sixteen")
	for _, f := range []datasets.Field{datasets.Rating, datasets.Channel} { // as a run does
		delete(in.Sources[0].Columns, f)
	}
	use := Of(c, in, families, "2024-12-31")
	if use.Purpose != "campaigns" || use.KeepUntil != "2025-03-31" || use.ConsentColumns != 1 || use.ConsentTables != 1 || use.ErasureLists != 1 ||
		use.Unlisted != "withheld" || use.SmallestSegment != 25 || use.Pseudonyms != "HMAC-SHA-256, key "+in.Pseudonyms.Fingerprint() {
		t.Errorf("record %+v", use)
	}
	var lines []string
	for _, u := range use.Columns {
		lines = append(lines, u.Source+" "+u.Column+" "+u.Field+": "+strings.Join(u.For, ", "))
	}
	want := []string{
		"events who customer_id: to tell customers apart",
		"events at event_time: to know when each event happened",
		"events what event_type: to know what each event is",
		"events paid amount: features: money",
		"events sku product_id: target: shoes",
		"events agreed consent: to leave out events that may not be used",
		"web mail customer_id: to tell customers apart",
		"web ts event_time: to know when each event happened",
		"identity[0] alias alias: to know a customer's ids as one",
		"identity[0] customer customer: to know a customer's ids as one",
		"privacy.erased[0] customer_id customer: to leave out whom it names",
		"privacy.consents[0] customer_id customer: to leave out who has not agreed",
		"privacy.consents[0] consent given: to leave out who has not agreed",
		"privacy.consents[0] said_at time: to leave out who has not agreed",
	}
	if d := cmp.Diff(want, lines); d != "" {
		t.Errorf("columns (-want +got):\n%s", d)
	}
	if d := cmp.Diff([]publish.UsedColumn{{Source: "events", Column: "via", Field: "channel", For: []string{}}, {Source: "events", Column: "stars", Field: "rating", For: []string{}}}, use.NotRead); d != "" {
		t.Errorf("not read (-want +got):\n%s", d)
	}
}
