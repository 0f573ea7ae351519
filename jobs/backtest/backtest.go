// Package backtest holds the scores of earlier runs against what has happened since.
//
// A score is judged once: by the first run whose history covers the outcome window that
// the score was about. What counts as the outcome is the target as the earlier run
// meant it, by the very code that made its labels.
package backtest

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"math"
	"regexp"
	"slices"
	"strconv"
	"time"

	"github.com/apache/arrow/go/v17/arrow"
	"github.com/apache/arrow/go/v17/arrow/array"

	"github.com/shoal-data/shoal/datasets"
	"github.com/shoal-data/shoal/features"
	"github.com/shoal-data/shoal/features/timeline"
	"github.com/shoal-data/shoal/jobs/config"
	"github.com/shoal-data/shoal/jobs/config/units"
	"github.com/shoal-data/shoal/jobs/earlier"
	"github.com/shoal-data/shoal/jobs/predict"
	"github.com/shoal-data/shoal/jobs/segments/roll"
	"github.com/shoal-data/shoal/jobs/targets"
	"github.com/shoal-data/shoal/jobs/value"
)

// scoresTable is where runs publish scores.
const scoresTable = "customer_scores"

// A Claim is something that an earlier run said of customers, about a window that ends
// Span days after its date.
type Claim struct {
	Run  *earlier.Run
	AsOf timeline.AsOf
	Span int

	// One of these.
	Target *predict.Summary // a probability
	Days   int              // purchases and spend within so many days

	columns []string // of customer_scores
}

// ofValue are the columns of forecasts of value that name their horizon.
var ofValue = regexp.MustCompile(`^expected_purchases_([0-9]+)d$`)

// Claims lists what a run has said. s are the targets of its summary; horizon is that of
// the value columns without one in their name, 0 when there is no forecast.
func Claims(run *earlier.Run, s []predict.Summary, horizon int, zone *time.Location) ([]*Claim, error) {
	asOf, err := timeline.ParseAsOf(run.Manifest.Date, zone)
	if err != nil {
		return nil, err
	}
	var all []*Claim
	for i := range s {
		if t := &s[i]; t.Skipped == "" && t.Scored > 0 {
			all = append(all, &Claim{Run: run, AsOf: asOf, Span: t.Gap + t.Horizon, Target: t, columns: []string{t.Name + "_probability"}})
		}
	}
	if horizon > 0 {
		all = append(all, &Claim{Run: run, AsOf: asOf, Span: horizon, Days: horizon, columns: []string{"expected_purchases", "expected_value"}})
		if t := run.Manifest.Table(scoresTable); t != nil {
			for _, c := range t.Columns {
				if m := ofValue.FindStringSubmatch(c.Name); m != nil {
					days, err := strconv.Atoi(m[1])
					if err != nil || days == horizon {
						continue
					}
					all = append(all, &Claim{Run: run, AsOf: asOf, Span: days, Days: days, columns: []string{c.Name, fmt.Sprintf("expected_value_%dd", days)}})
				}
			}
		}
	}
	return all, nil
}

// Matured says whether the window of a claim is over by a date.
func (c *Claim) Matured(asOf timeline.AsOf) bool { return int(asOf.Today-c.AsOf.Today) >= c.Span }

// Input is what claims are held against.
type Input struct {
	Store   *timeline.Store
	Census  *timeline.Census
	AsOf    timeline.AsOf
	Zone    *time.Location
	Workers int
}

// A past is a run's customers with everything that it claimed of them.
type past struct {
	customers *roll.Roll
	claims    []*held
	met       []bool // by row: whether the customer is in tonight's history
}

// held is a claim and what came of it, by row; NaN where there is nothing to compare.
type held struct {
	*Claim
	target   targets.Target
	label    []features.Label // of the outcome
	said     [][]float64      // by column
	recency  []float64        // of a target: days since the last event that counts; nil when unknown
	happened [][]float64
}

// Run holds claims against what happened, run by run, and returns what came of each. An
// error that wraps earlier.ErrUnusable is of one run alone: skipped hears of it.
func Run(ctx context.Context, in Input, claims []*Claim, skipped func(error) error) ([]*Result, error) {
	var results []*Result
	var all []*past
	numbers := 0
	for len(claims) > 0 {
		n := 1
		for n < len(claims) && claims[n].Run == claims[0].Run {
			n++
		}
		p, err := open(ctx, in, claims[:n])
		claims = claims[n:]
		if errors.Is(err, earlier.ErrUnusable) {
			err = skipped(err)
		} else if err == nil {
			all = append(all, p)
			numbers += p.customers.Len() * (1 + 3*n)
		}
		if err != nil {
			return nil, err
		}
		if len(claims) > 0 && numbers < atOnce {
			continue
		}
		if results, err = settle(ctx, in, all, results); err != nil {
			return nil, err
		}
		all, numbers = nil, 0
	}
	return results, nil
}

// atOnce is how many numbers of earlier runs are held at once, 8 bytes each: history is
// replayed for as many runs together.
const atOnce = 16 << 20

// settle replays history for some runs and appends what came of their claims.
func settle(ctx context.Context, in Input, all []*past, results []*Result) ([]*Result, error) {
	if len(all) == 0 {
		return results, nil
	}
	if err := replay(ctx, in, all); err != nil {
		return nil, err
	}
	for _, p := range all {
		for _, h := range p.claims {
			r, err := p.result(h)
			if err != nil {
				return nil, err
			}
			results = append(results, r)
		}
	}
	return results, nil
}

// open reads what a run said of its customers.
func open(ctx context.Context, in Input, claims []*Claim) (*past, error) {
	p := &past{}
	run := claims[0].Run
	columns := []string{"customer_id"}
	for _, c := range claims {
		h := &held{Claim: c, said: make([][]float64, len(c.columns))}
		if err := h.define(ctx, in); err != nil {
			return nil, err
		}
		columns = append(columns, c.columns...)
		p.claims = append(p.claims, h)
	}
	for rec, err := range run.Records(ctx, scoresTable, columns...) {
		if err != nil {
			return nil, err
		}
		if p.customers == nil {
			p.customers = roll.New(rec.Column(0).DataType(), 0)
		}
		if err := p.customers.Add(rec.Column(0)); err != nil {
			return nil, err
		}
		at := 1
		for _, h := range p.claims {
			for k := range h.said {
				if h.said[k], err = numbers(h.said[k], rec.Column(at)); err != nil {
					return nil, fmt.Errorf("the run of %s %w: column %s: %w", run.Manifest.Date, earlier.ErrUnusable, columns[at], err)
				}
				at++
			}
		}
	}
	if p.customers == nil {
		p.customers = roll.New(arrow.PrimitiveTypes.Int64, 0)
	}
	for _, h := range p.claims {
		if err := h.remember(ctx); err != nil {
			return nil, err
		}
		for range h.label {
			nothing := make([]float64, p.customers.Len())
			for i := range nothing {
				nothing[i] = math.NaN()
			}
			h.happened = append(h.happened, nothing)
		}
	}
	p.met = make([]bool, p.customers.Len())
	p.customers.Sort()
	return p, nil
}

// define settles what the outcome of a claim is.
func (h *held) define(ctx context.Context, in Input) error {
	if h.Target == nil {
		all := value.Labels(h.AsOf.Add(h.Days, in.Zone), h.Days)
		h.label = []features.Label{all[0], all[1]}
		if all[0].Name != value.HoldoutColumn || all[1].Name != value.SpendColumn {
			return errors.New("backtest: the first labels of value are not what happened")
		}
		return nil
	}
	i := slices.IndexFunc(h.Run.Config.Targets, func(t config.Target) bool { return t.Name == h.Target.Name })
	if i < 0 {
		return fmt.Errorf("the run of %s %w: it has scored a target %s that its configuration lacks", h.Run.Manifest.Date, earlier.ErrUnusable, h.Target.Name)
	}
	// The target as it was meant on that day, with what it left to the data.
	t := h.Run.Config.Targets[i]
	t.Role = h.Target.Role
	t.Horizon = config.AutoDays{Days: config.Days(h.Target.Horizon)}
	t.ActiveWithin = config.Within{Mode: units.WithinEver}
	if h.Target.ActiveWithin > 0 {
		t.ActiveWithin = config.Within{Mode: units.WithinDays, Days: config.Days(h.Target.ActiveWithin)}
	}
	resolver := targets.Resolver{Store: in.Store, Census: in.Census, AsOf: h.AsOf, Workers: in.Workers}
	var err error
	if h.target, _, err = resolver.Resolve(ctx, t); err != nil {
		return err
	}
	h.label = []features.Label{h.target.Label(in.Zone)}
	return nil
}

// remember reads what the recency rule went by on that day, where the run published it.
func (h *held) remember(ctx context.Context) error {
	if h.Target == nil {
		return nil
	}
	column := h.target.Recency()
	if !h.Run.Has("features", column) {
		return nil
	}
	for rec, err := range h.Run.Records(ctx, "features", column) {
		if err == nil {
			h.recency, err = numbers(h.recency, rec.Column(0))
		}
		if err != nil {
			return err
		}
	}
	if len(h.recency) != len(h.said[0]) { // customers are in the same order
		h.recency = nil
	}
	return nil
}

// numbers appends a column, NaN for null.
func numbers(dst []float64, column arrow.Array) ([]float64, error) {
	for i := range column.Len() {
		switch {
		case column.IsNull(i):
			dst = append(dst, math.NaN())
		default:
			switch c := column.(type) {
			case *array.Float64:
				dst = append(dst, c.Value(i))
			case *array.Decimal128:
				dst = append(dst, datasets.Money(c.Value(i).LowBits()).Float())
			default:
				return nil, fmt.Errorf("it is %v", column.DataType())
			}
		}
	}
	return dst, nil
}

// replay sees what every customer has done since.
func replay(ctx context.Context, in Input, all []*past) error {
	return in.Store.Replay(ctx, in.Workers, func(_, _ int, t *timeline.Timeline) error {
		id := hash(in.Store.IDType(), t.ID)
		for _, p := range all {
			if row, ok := p.customers.Find(id); ok {
				p.see(row, t)
			}
		}
		return nil
	}, nil)
}

// hash is what roll.Hash makes of the same id in a published table.
func hash(kind datasets.IDType, id string) uint64 {
	if kind.Kind == datasets.IDInt32 || kind.Kind == datasets.IDInt64 {
		var b [8]byte
		binary.LittleEndian.PutUint64(b[:], uint64(datasets.IntID(id)))
		return datasets.HashID(b[:])
	}
	return datasets.HashID([]byte(id))
}

// see notes what a customer has done. Every row is one customer's, so no other worker
// writes to it.
func (p *past) see(row int, t *timeline.Timeline) {
	p.met[row] = true
	for _, h := range p.claims {
		history, ok := t.Before(h.AsOf)
		if !ok {
			continue
		}
		for k, l := range h.label {
			h.happened[k][row] = l.Value(t, &history)
		}
	}
}
