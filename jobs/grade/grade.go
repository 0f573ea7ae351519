// Package grade compares a run on generated history with the truth that was
// planted in it: were the segments found, and how close do the churn scores
// come to what nobody could beat?
package grade

import (
	"context"
	"encoding/json"
	"fmt"
	"math"
	"time"

	"github.com/apache/arrow/go/v17/arrow/array"

	"github.com/shoal-data/shoal/datasets"
	"github.com/shoal-data/shoal/datasets/scan"
	"github.com/shoal-data/shoal/datasets/storage"
	"github.com/shoal-data/shoal/datasets/synth"
	"github.com/shoal-data/shoal/datasets/tables"
	"github.com/shoal-data/shoal/features/timeline"
	"github.com/shoal-data/shoal/jobs/config"
	"github.com/shoal-data/shoal/jobs/nightly"
	"github.com/shoal-data/shoal/jobs/predict"
	"github.com/shoal-data/shoal/jobs/publish"
	"github.com/shoal-data/shoal/jobs/targets"
	"github.com/shoal-data/shoal/models/metrics"
)

// Options of Grade.
type Options struct {
	FS      storage.FS
	Out     string // where the run was published
	Date    string // of the run
	Truth   string // the truth table's path
	Workers int
}

// A Report is how well a run did. Figures that are not defined are nil.
type Report struct {
	Date      string `json:"date"`
	RunID     string `json:"run_id"`
	Customers int    `json:"customers"`

	// ARI is the adjusted Rand index between the published and the planted
	// segments: 1 is the same division, 0 is chance.
	ARI             *float64 `json:"segments_ari"`
	Planted, Chosen int      `json:"-"`

	// The churn scores against what happened in the horizon after the run's
	// date, which no step of the run has seen; and beside them the probability
	// under each customer's true rates and hazard, the ceiling for any model.
	Target  string   `json:"target,omitempty"`
	Horizon int      `json:"horizon_days,omitempty"`
	Scored  int      `json:"scored,omitempty"`
	Churned int      `json:"churned,omitempty"`
	AUC     *float64 `json:"auc,omitempty"`
	TrueAUC *float64 `json:"auc_of_true_hazard,omitempty"`
	ECE     *float64 `json:"ece,omitempty"`
	TrueECE *float64 `json:"ece_of_true_hazard,omitempty"`
	NotDone string   `json:"not_graded,omitempty"` // why churn could not be graded
}

// published is what the run says of a customer.
type published struct {
	segment int     // 0 when none
	churn   float64 // NaN when not scored
}

// Grade reads a published run, the truth and what happened after the run's date.
func Grade(ctx context.Context, o Options) (*Report, error) {
	manifest, summary, err := nightly.Published(ctx, o.FS, o.Out, o.Date)
	if err != nil {
		return nil, err
	}
	truth, err := synth.ReadTruth(o.Truth)
	if err != nil {
		return nil, nightly.Usage(err)
	}
	planted := make(map[string]*synth.Customer, len(truth))
	for i := range truth {
		planted[truth[i].ID] = &truth[i]
	}
	r := &Report{Date: o.Date, RunID: summary.RunID}
	var target *predict.Summary
	for i := range summary.Targets {
		if t := &summary.Targets[i]; t.Kind == targets.Churn.String() && t.Skipped == "" && t.Where == "" && t.Ends == "" && target == nil {
			target = t
		}
	}
	scores, err := readScores(ctx, o, manifest, target)
	if err != nil {
		return nil, err
	}

	var ours, theirs []int
	seen := map[int]bool{}
	for id, p := range scores {
		if c := planted[id]; c != nil && p.segment > 0 {
			ours, theirs = append(ours, p.segment), append(theirs, c.SegmentIndex)
			seen[p.segment] = true
		}
	}
	r.Customers, r.Chosen, r.Planted = len(scores), len(seen), len(synth.SegmentNames())
	if v, ok := metrics.ARI(ours, theirs); ok {
		r.ARI = &v
	}
	if target == nil {
		r.NotDone = "the run has no churn model"
		return r, nil
	}
	return r, r.churn(ctx, o, manifest, target, scores, planted)
}

func readScores(ctx context.Context, o Options, m *publish.Manifest, target *predict.Summary) (map[string]published, error) {
	names := []string{"customer_id", "segment_id"}
	if target != nil {
		names = append(names, target.Name+"_probability")
	}
	scores := map[string]published{}
	for _, path := range m.Paths(o.Out, "customer_scores") {
		f, err := o.FS.Open(ctx, path)
		if err != nil {
			return nil, nightly.Transient(err)
		}
		defer f.Close()
		table, err := tables.Open(f, f.Size())
		if err != nil {
			return nil, nightly.BadData(fmt.Errorf("%s: %w", path, err))
		}
		for rec, err := range table.Records(ctx, names...) {
			if err != nil {
				return nil, nightly.BadData(fmt.Errorf("%s: %w", path, err))
			}
			for i := range int(rec.NumRows()) {
				p := published{churn: math.NaN()}
				if c := rec.Column(1).(*array.Int32); c.IsValid(i) {
					p.segment = int(c.Value(i))
				}
				if target != nil {
					if c := rec.Column(2).(*array.Float64); c.IsValid(i) {
						p.churn = c.Value(i)
					}
				}
				scores[rec.Column(0).ValueStr(i)] = p
			}
		}
	}
	return scores, nil
}

// alive are the roles that only a customer who has not churned can play.
// Returns, reviews and tickets may follow an order after it.
var alive = map[datasets.Role]bool{
	datasets.Other: true, datasets.Purchase: true, datasets.CartAdd: true, datasets.CartRemove: true, datasets.Checkout: true,
	datasets.View: true, datasets.Search: true, datasets.Session: true, datasets.FeatureUse: true, datasets.MessageOpen: true,
	datasets.MessageClick: true, datasets.SocialEngage: true, datasets.Referral: true, datasets.Subscribe: true, datasets.Renew: true, datasets.Coupon: true,
}

// churn grades the published probabilities on what came after.
func (r *Report) churn(ctx context.Context, o Options, m *publish.Manifest, t *predict.Summary, scores map[string]published, planted map[string]*synth.Customer) error {
	effective, err := json.Marshal(map[string]any{"manifest_version": m.ManifestVersion, "config": m.Config})
	if err != nil {
		return err
	}
	cfg, err := config.Parse("manifest.json", effective, func(string) (string, bool) { return "", false })
	if err != nil {
		return nightly.BadData(err)
	}
	zone, err := cfg.Location()
	if err != nil {
		return nightly.Usage(err)
	}
	asOf, err := timeline.ParseAsOf(o.Date, zone)
	if err != nil {
		return nightly.Usage(err)
	}
	target := targets.Target{Name: t.Name, Kind: targets.Churn, Any: t.Role == "any", Gap: t.Gap, Horizon: t.Horizon, ActiveWithin: t.ActiveWithin}
	if !target.Any {
		if target.Role, err = datasets.ParseRole(t.Role); err != nil {
			return err
		}
	}
	source, err := cfg.ScanInput()
	if err != nil {
		return err
	}
	plan, err := source.Plan(ctx, o.FS)
	if err != nil {
		return nightly.Classify(err)
	}
	dicts := datasets.NewDicts()
	log := timeline.NewLog(dicts, o.Workers)
	opts := scan.DefaultOptions()
	opts.Workers = o.Workers
	report, err := plan.Read(ctx, dicts, opts, log.Append)
	if err != nil {
		return nightly.Classify(err)
	}
	r.Target, r.Horizon = t.Name, t.Horizon
	end := asOf.Add(t.Gap+t.Horizon, zone)
	if report.MaxTime < end.Add(-1, zone).Instant {
		r.NotDone = fmt.Sprintf("the history ends %s, before the outcome window of %d days does", time.UnixMicro(report.MaxTime).UTC().Format(time.DateOnly), t.Horizon)
		return nil
	}
	store := log.Freeze(timeline.Options{Zone: zone, Dedupe: timeline.DedupeEventID, IDType: report.IDType})
	label := target.Label(zone)
	var y, model, oracle []float64
	err = store.Replay(ctx, 1, func(_, _ int, tl *timeline.Timeline) error {
		id := report.IDType.Format(tl.ID)
		p, scored := scores[id]
		c := planted[id]
		if !scored || c == nil || math.IsNaN(p.churn) {
			return nil
		}
		h, ok := tl.Before(asOf)
		if !ok {
			return nil
		}
		outcome := label.Value(tl, &h)
		if math.IsNaN(outcome) {
			return nil
		}
		last, cancelled := int32(0), false
		for i, role := range h.Role {
			if alive[role] {
				last = h.Day[i]
			}
			cancelled = cancelled || role == datasets.Cancel
		}
		day := func(d int32) time.Time { return time.Unix(int64(d)*86400, 0).UTC() }
		best, err := synth.ChurnProbabilityActive(*c, day(last), day(asOf.Today+1), cancelled, t.Gap, t.Horizon)
		if err != nil {
			return err
		}
		y, model, oracle = append(y, outcome), append(model, p.churn), append(oracle, best)
		return nil
	}, nil)
	if err != nil {
		return err
	}
	r.Scored = len(y)
	if r.AUC, r.ECE, r.Churned, err = judge(y, model); err != nil {
		return err
	}
	r.TrueAUC, r.TrueECE, _, err = judge(y, oracle)
	return err
}

func judge(y, p []float64) (auc, ece *float64, positives int, err error) {
	if len(y) == 0 {
		return nil, nil, 0, nil
	}
	b, err := metrics.NewBinary(y, p)
	if err != nil {
		return nil, nil, 0, err
	}
	if v, ok := b.AUC(); ok {
		auc = &v
	}
	if v, ok := b.ExpectedCalibrationError(10, metrics.EqualCount); ok {
		ece = &v
	}
	return auc, ece, b.Positives(), nil
}
