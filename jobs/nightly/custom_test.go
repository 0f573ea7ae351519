package nightly

import (
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/rs/zerolog"

	"github.com/shoal-data/shoal/datasets/storage"
	"github.com/shoal-data/shoal/datasets/synth"
	"github.com/shoal-data/shoal/jobs/config"
)

const ownFeatures = `
features:
  families: [-timing]
  custom:
    - {name: morning_star, aggregate: count, where: {role: view, product_id: [p1, p2, "no such"]}, windows: [60d, lifetime]}
    - {name: looked, aggregate: distinct, column: product_id, where: {role: view}}
    - {name: per_look, ratio: {of: spend, to: looked}}
    - {name: big, aggregate: max, column: amount, where: {event_type: order}, windows: [365d]}
occasions:
  - {name: payday, days_of_month: [last], before: 0, after: 4d}
`

// A job's own features are published and described like the catalogue's, models
// and segments may use them, a misspelt value is told, and the families left
// out are gone.
func TestOwnFeaturesRunThrough(t *testing.T) {
	dir := t.TempDir()
	write(t, filepath.Join(dir, "in", "a.parquet"), shop(3, 400))
	c := job(t, filepath.Join(dir, "in"), ownFeatures+`
segmentations:
  - {name: behaviour, k: 3, features: [morning_star_lifetime, per_look_lifetime, payday_purchase_day_share]}
`)
	r, err := prepare(Options{Config: c, Date: shopDate, FS: storage.Local(), Log: zerolog.Nop(), Now: time.Now})
	if err != nil {
		t.Fatal(err)
	}
	in, err := r.find(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	h, err := r.read(t.Context(), in, r.asOf.Instant)
	if err != nil {
		t.Fatal(err)
	}
	q, err := r.ask(t.Context(), &input{}, h)
	if err != nil {
		t.Fatal(err)
	}
	table, err := r.engineer(t.Context(), h, q)
	if err != nil {
		t.Fatal(err)
	}
	for _, name := range []string{"morning_star_60d", "looked_7d", "per_look_lifetime", "big_365d"} {
		if !slices.Contains(table.linear, name) {
			t.Errorf("models do not learn from %s", name)
		}
		if at, err := table.score.Column(name); err != nil || table.score.Schema.Field(at).Metadata.FindKey("meaning") < 0 {
			t.Errorf("the feature table has no %s that says what it means: %v", name, err)
		}
	}
	if _, err := table.score.Column("payday_spend_share"); err != nil {
		t.Error(err)
	}
	for _, gone := range []string{"purchase_weekend_share", "christmas_spend_share"} {
		if slices.Contains(table.features, gone) {
			t.Errorf("%s is still there", gone)
		}
	}
	said := 0
	for _, w := range r.summary.Warnings {
		if w.Code == "features.value_unseen" && strings.Contains(w.Message, `product_id "no such"`) {
			said++
		}
	}
	if said != 1 {
		t.Errorf("%d warnings of the product that nobody looked at: %v", said, r.summary.Warnings)
	}

	s, err := Run(t.Context(), Options{Config: c, Date: shopDate, FS: storage.Local(), Log: zerolog.Nop(), Now: time.Now})
	if err != nil {
		t.Fatal(err)
	}
	if len(s.Segments) != 3 {
		t.Errorf("segments %+v", s.Segments)
	}
}

// Custom features equal their SQL over the Parquet files themselves.
func TestOwnFeaturesEqualTheirSQL(t *testing.T) {
	p := synth.DefaultParams()
	p.Customers, p.Seed = 800, 6
	p.Start, p.End = time.Date(2024, 1, 1, 0, 0, 0, 0, time.UTC), time.Date(2025, 1, 1, 0, 0, 0, 0, time.UTC)
	_, c := generated(t, p)
	c.TimeZone = "America/New_York"
	own := mustOwn(t, `
features:
  families: [recency, occasions]
  custom:
    - {name: own_spend, aggregate: sum, column: amount, where: {role: purchase}}
    - {name: by_mail, aggregate: share, where: {channel: [email, mail]}, among: {role: [message_sent, message_open, message_click]}}
    - {name: mix, aggregate: entropy, column: category, where: {role: [view, purchase]}}
    - {name: visits, aggregate: distinct, column: session_id}
    - {name: pace, aggregate: gap_mean, where: {role: purchase}}
    - {name: turn, aggregate: trend, column: amount, where: {role: purchase}}
    - {name: worth, ratio: {of: own_spend, to: visits}}
    - {name: apart, ratio: {of: pace_lifetime, to: purchase_gap_mean}}
occasions:
  - {name: cyber_monday, before: 3d}
  - {name: payday, days_of_month: [15, last], before: 0, after: 2d}
  - {name: summer, dates: [06-21..07-20]}
`)
	c.Features, c.Occasions = own.Features, own.Occasions
	compare(t, c, []string{"2024-03-10", "2024-07-01", "2024-12-31"})
}

func mustOwn(t *testing.T, text string) *config.Config {
	t.Helper()
	c, err := config.Parse("own", []byte(`
sources:
  - path: a
    columns: {customer_id: c, event_time: t, event_type: e, amount: a, category: k, channel: h, session_id: s}
    roles: {purchase: [p], view: [v], message_sent: [s], message_open: [o], message_click: [m]}
out: o
`+text), nil)
	if err != nil {
		t.Fatal(err)
	}
	return c
}
