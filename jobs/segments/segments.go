// Package segments divides customers by what they do: it prepares the feature
// table, chooses how many segments the data support, fits them, names them in an
// analyst's words, and recognises in them the segments of the run before, whose
// ids and names they keep.
package segments

import (
	"context"
	"errors"
	"fmt"
	"math"
	"slices"
	"strings"
	"time"

	"github.com/shoal-data/shoal/datasets/spool"
	"github.com/shoal-data/shoal/jobs/config"
	"github.com/shoal-data/shoal/jobs/segments/internal/kin"
	"github.com/shoal-data/shoal/jobs/segments/passes"
	"github.com/shoal-data/shoal/models"
	"github.com/shoal-data/shoal/models/clustercount"
	"github.com/shoal-data/shoal/models/kmeans"
	"github.com/shoal-data/shoal/models/transform"
)

// Params of one segmentation.
type Params struct {
	config.Segmentation
	Column  string // of customer_scores, that holds the ids
	Date    string // as-of date, YYYY-MM-DD
	Workers int
}

// Input is what customers are divided by.
type Input struct {
	X     passes.Table // raw features, NaN where undefined, a row a customer
	Idle  []float64    // days since the customer's last event
	Prior *Prior       // the run before; nil when there was none
	// Spool is where prepared features are kept when X is not held in memory; nil keeps
	// them in memory.
	Spool *spool.Spool
}

// A Segmentation is a division of the customers.
type Segmentation struct {
	Name     string
	Segments []Segment // in the order of the centres; the inactive come last
	None     string    // why there are no segments; empty when there are
	Labels   []int     // of each row: index into Segments, -1 for none
	// Distances of each row to its segment's centre, in standard deviations of the
	// prepared features; NaN for none and for the inactive, who have no centre.
	Distances []float64
	Features  []string // the columns that remained after preparation
	Curve     []clustercount.Candidate
	Support   clustercount.Support // of the number of segments; empty when it was not chosen tonight
	Inertia   float64              // Σ squared distance of the active customers to the nearest centre
	Active    int                  // customers who are not inactive

	Trained string // as-of date of the fit
	Refit   string // why it was fitted tonight; empty when the stored model was used
	Drift   Drift  // against the stored model; NaN without one

	Map      *Map // nil without segments
	Profiles []Profile
	Likeness []Likeness // by segment
	// Standings are by segment, too. Fidelity is the share of the customers in a
	// segment for whom its rule holds and no other's does; NaN without segments.
	Standings []Standing
	Fidelity  float64

	// Beside the run before; without one, History tells only of new segments.
	History   []Episode
	Moves     []kin.Move
	Before    string  // its date
	Agreement float64 // adjusted Rand index over the customers in a segment of both
	Shared    int     // these customers
	Stayed    int     // customers who are a little nearer to another centre, and stay

	of            []int32 // segment of each row in the run before, 0 for none
	state         *State
	inactiveAfter int // days
}

// A Segment is a group of customers who behave alike.
type Segment struct {
	Named
	Now      string // the name it would be given tonight
	Size     int
	Share    float64
	Centre   []float64 // in standard deviations, by Segmentation.Features
	Mean     []float64 // in original units, by Segmentation.Features; NaN when nobody has a value
	MeanDist float64
}

// An Episode is what a run says of a segment's life: a row of segment_history.
type Episode struct {
	ID         int
	Name       string
	Since      string
	Status     string
	Size       int     // customers tonight
	Share      float64 // of tonight's customers
	Before     int     // customers in the run before; -1 when there was no such run or segment
	Similarity float64 // Jaccard with the segment of this id in the run before; NaN without one
	Parents    []int   // segments of the run before that it came from
	Successors []int   // segments tonight that a retired one went to
}

// What a run says became of a segment.
const (
	New     = kin.New
	Kept    = kin.Kept
	Split   = kin.Split
	Merged  = kin.Merged
	Retired = kin.Retired
)

// Defaults is the selection of features a segmentation is made on when none is
// named: how often and how much customers buy, how they visit, how they answer.
// They are rates rather than counts, so that a segment is a kind of behaviour
// and not a length of tenure, and each behaviour counts once. What says more of how
// little is known of a customer than of the customer is left out: whoever bought once
// bought in one category. Where the data lack a behaviour, its column is constant and
// drops out.
//
// browsing says whether the data tell of visits that are no orders. Where they do
// not, a visit is an order by another name.
func Defaults(browsing bool) []string {
	names := []string{
		"days_since_last_event", "purchase_days_per_30d", "average_order_value", "unit_price_mean", "return_share", "coupons_per_order",
		"tickets_per_order",
	}
	if browsing {
		names = append(names, "sessions_per_30d", "session_events_mean", "session_conversion_share", "cart_abandonment_share")
	}
	return append(names, "message_open_rate", "message_click_rate")
}

// Browsing are the features of which somebody has some where the data tell of visits
// that are no orders.
func Browsing() []string {
	return []string{"view_count_lifetime", "search_count_lifetime", "session_count_lifetime", "cart_add_count_lifetime", "feature_use_count_lifetime"}
}

// Divide divides the customers, and continues the run before where there is one.
// That customers cannot be divided is no error: Segmentation.None says why.
func Divide(ctx context.Context, p Params, in Input) (*Segmentation, []models.Warning, error) {
	n := in.X.Rows()
	s := &Segmentation{Name: p.Name, Labels: make([]int, n), Distances: make([]float64, n), Agreement: math.NaN(), Fidelity: math.NaN(), Drift: noDrift, inactiveAfter: int(p.InactiveAfter)}
	d := &division{Params: p, Segmentation: s, x: in.X, names: in.X.Names(), prior: in.Prior, spool: in.Spool}
	if d.spool == nil {
		d.spool = spool.New(spool.Unlimited(), "")
	}
	defer d.drop(nil)
	d.setApart(in.Idle)
	if err := d.fit(ctx); err != nil {
		return nil, nil, err
	}
	if err := d.identify(ctx); err != nil {
		return nil, nil, fmt.Errorf("segments: segmentation %s: %w", p.Name, err)
	}
	var err error
	if s.Map, err = d.place(ctx); err != nil {
		return nil, nil, err
	}
	return s, d.warnings, nil
}

// division is a Segmentation being made.
type division struct {
	Params
	*Segmentation
	x        passes.Table
	names    []string // of x
	prior    *Prior
	spool    *spool.Spool
	kept     []*passes.Kept // in the spool
	warnings []models.Warning

	active   []int // rows
	inactive int   // customers
	prepared *transform.Model
	model    *kmeans.Model
	z        passes.Rows // prepared, of the active; nil without any
	nearest  []int       // by place in active
	was      []int       // likewise, of the stored centres
	spread   float64
}

func (d *division) warn(code, format string, args ...any) {
	d.warnings = append(d.warnings, models.Warning{Code: code, Message: "segmentation " + d.Name + ": " + fmt.Sprintf(format, args...)})
}

// setApart finds the inactive, who are a segment by rule: nothing they did lately
// tells them apart.
func (d *division) setApart(idle []float64) {
	limit := float64(d.InactiveAfter)
	for i := range d.Labels {
		d.Labels[i], d.Distances[i] = -1, math.NaN()
		if idle[i] > limit {
			d.inactive++
		} else {
			d.active = append(d.active, i)
		}
	}
	d.Active = len(d.active)
}

// ready are rows as a preparation makes them: in memory when they are, else in the spool.
func (d *division) ready(ctx context.Context, prepared *transform.Model, x passes.Table) (passes.Rows, error) {
	if m, ok := passes.Whole(x); ok {
		z, err := prepared.Apply(models.Matrix{}, m)
		return passes.Held{Matrix: z}, err
	}
	var z models.Matrix
	kept, err := passes.Keep(ctx, d.spool, x, prepared.Names(), func(m models.Matrix) (models.Matrix, error) {
		var err error
		z, err = prepared.Apply(z, m)
		return z, err
	})
	if err != nil {
		return nil, err
	}
	d.kept = append(d.kept, kept)
	return kept, nil
}

// drop gives up the prepared rows, but for those given.
func (d *division) drop(but passes.Rows) {
	for _, k := range d.kept {
		if k != but {
			k.Drop()
		}
	}
}

// columnsAtOnce is how many columns may be worked on at a time: where the features are
// larger than memory, a few columns of them are large, too.
func (d *division) columnsAtOnce() int {
	if _, ok := passes.Whole(d.x); ok {
		return max(1, d.Workers)
	}
	return max(1, min(2, d.Workers))
}

// cluster fits centres to prepared rows.
func cluster(ctx context.Context, p kmeans.Params, z passes.Rows, o kmeans.Options) (*kmeans.Model, kmeans.Result, []models.Warning, error) {
	if m, ok := passes.Whole(z); ok {
		return kmeans.FitWith(ctx, p, m, o)
	}
	return kmeans.FitSource(ctx, p, z, o)
}

// settings are those that shape a fit: another of them asks for another fit.
func (d *division) settings() string {
	return fmt.Sprintf("k=%v k_min=%d k_max=%d min_share=%v restarts=%d seed=%d inactive_after=%d features=%s",
		d.K, d.KMin, d.KMax, d.MinShare, d.Restarts, d.Seed, int(d.InactiveAfter), strings.Join(d.names, ","))
}

// stored says whether the run before left a model that can be applied tonight.
func (d *division) stored() bool {
	if d.prior == nil || d.prior.State.model == nil {
		return false
	}
	for _, name := range d.prior.State.prepared.Names() {
		if !slices.Contains(d.names, name) {
			return false
		}
	}
	return true
}

// fit decides between the stored model and a new one, and applies it.
func (d *division) fit(ctx context.Context) error {
	if len(d.active) == 0 {
		d.nobody()
		return nil
	}
	x := passes.Some(d.x, d.active)
	if d.stored() {
		if err := d.apply(ctx, x); err != nil {
			if fatal := fatal(ctx, err); fatal != nil {
				return fatal
			}
			d.warn("segments.not_applied", "the stored model cannot be applied: %v", err)
			d.forget()
		} else {
			d.was = d.nearest
			d.Drift = d.drift()
		}
	}
	d.Refit = d.reason()
	if d.Refit == "" {
		d.Trained, d.spread = d.prior.State.Trained, d.prior.State.Spread
		return nil
	}
	err := d.learn(ctx, x)
	switch {
	case err == nil:
		d.Trained = d.Date
	case fatal(ctx, err) != nil:
		return fatal(ctx, err)
	case d.model != nil:
		// A night of too few or too equal customers is no reason to lose the segments.
		d.warn("segments.not_fitted", "%v; the segments of %s are kept", err, d.prior.State.Trained)
		d.Refit, d.Trained, d.spread, d.None = "", d.prior.State.Trained, d.prior.State.Spread, ""
		d.Curve, d.Support = nil, "" // of a number that was not chosen
	default:
		d.None = err.Error()
		d.Trained = d.Date
	}
	if d.None != "" {
		d.warn("segments.none", "%s; its columns are null", d.None)
	}
	if d.Support == clustercount.Stable {
		d.warn("segments.no_gaps", "no gaps separate the segments: the division comes out again of resamples, but customers near its borders are alike")
	}
	return nil
}

// fatal is the error that ends the run: anything but that the customers cannot be divided.
func fatal(ctx context.Context, err error) error {
	var unread *passes.Unreadable
	switch {
	case ctx.Err() != nil:
		return context.Cause(ctx)
	case errors.As(err, &unread):
		return fmt.Errorf("segments: %w", err)
	}
	return nil
}

// nobody is the outcome of a night without an active customer: the stored segments stay,
// empty, so that their ids are there when customers come back.
func (d *division) nobody() {
	why := fmt.Sprintf("none of the %d customers was active within inactive_after (%d days)", len(d.Labels), int(d.InactiveAfter))
	if !d.stored() {
		d.None = why
		d.warn("segments.none", "%s", why)
		return
	}
	was := d.prior.State
	d.prepared, d.model, d.Features = was.prepared, was.model, was.prepared.Names()
	d.Trained, d.spread = was.Trained, was.Spread
	d.warn("segments.nobody_active", "%s; the segments of %s are kept, with nobody in them", why, d.Trained)
}

// apply assigns the active to the centres of the stored model.
func (d *division) apply(ctx context.Context, x passes.Table) error {
	s := d.prior.State
	z, err := d.ready(ctx, s.prepared, x)
	if err == nil {
		err = d.use(ctx, s.prepared, s.model, z)
	}
	return err
}

// forget gives up the stored model: there are no segments tonight.
func (d *division) forget() {
	d.prepared, d.model, d.nearest, d.Features = nil, nil, nil, nil
	d.Inertia, d.spread = 0, 0
}

func (d *division) use(ctx context.Context, prepared *transform.Model, model *kmeans.Model, z passes.Rows) error {
	d.prepared, d.model, d.z = prepared, model, z
	d.Features = prepared.Names()
	d.nearest = make([]int, z.Rows())
	d.Inertia = 0
	at := 0
	var distances []float64
	for m, err := range z.Batches(ctx) {
		if err != nil {
			return err
		}
		n := m.Rows()
		distances = slices.Grow(distances[:0], n)[:n]
		if err := model.Predict(d.nearest[at:at+n], distances, m); err != nil {
			return err
		}
		for _, v := range distances {
			d.Inertia += float64(v * v)
		}
		at += n
	}
	d.spread = d.Inertia / float64(z.Rows())
	d.drop(z)
	return ctx.Err()
}

// Drift is how far customers have moved since a model was fitted.
type Drift struct {
	Spread float64 // mean squared distance to the nearest centre, as a multiple of that at the fit
	Shares float64 // population stability index of the shares of the segments
}

var noDrift = Drift{math.NaN(), math.NaN()}

// A model has drifted when customers lie a tenth farther from its centres, or the
// shares of its segments have a stability index that is commonly called a change.
const (
	driftSpread = 1.1
	driftShares = 0.1
)

func (d *division) drift() Drift {
	s := d.prior.State
	now := make([]float64, len(s.Living))
	for _, l := range d.nearest {
		now[l]++
	}
	if s.Inactive {
		now[len(now)-1] = float64(d.inactive)
	}
	g := Drift{Spread: d.spread / s.Spread}
	for i, then := range s.Shares {
		// Half a customer keeps the logarithm finite.
		a, b := max(now[i], 0.5)/float64(len(d.Labels)), max(then, 0.5/float64(len(d.Labels)))
		g.Shares += (a - b) * math.Log(a/b)
	}
	return g
}

// reason is why the segments must be fitted tonight; empty when the stored model
// is to be used.
func (d *division) reason() string {
	switch {
	case d.prior == nil:
		return "there is no run to continue"
	case d.prior.State.Settings != d.settings():
		return "its settings or features are other than those of the stored model"
	case d.model == nil:
		return "the run before has no segments"
	case d.Retrain == config.RetrainEveryRun:
		return "retrain is every_run"
	case d.Retrain == config.RetrainWeekly:
		if days := daysBetween(d.prior.State.Trained, d.Date); days >= 7 {
			return fmt.Sprintf("the stored model is %d days old", days)
		}
		return ""
	case d.Drift.Spread > driftSpread:
		return fmt.Sprintf("customers lie %.2f times as far from the centres as at the fit", math.Sqrt(d.Drift.Spread))
	case d.Drift.Shares > driftShares:
		return fmt.Sprintf("the shares of the segments have moved (stability index %.2f)", d.Drift.Shares)
	}
	return ""
}

// daysBetween counts days from one date to another; both are valid.
func daysBetween(from, to string) int {
	a, errA := time.Parse(time.DateOnly, from)
	b, errB := time.Parse(time.DateOnly, to)
	if errA != nil || errB != nil {
		return math.MaxInt
	}
	return int(b.Sub(a).Hours() / 24)
}
