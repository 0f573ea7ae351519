package targets

import (
	"context"
	"fmt"
	"strings"

	"github.com/shoal-data/shoal/datasets"
	"github.com/shoal-data/shoal/features"
	"github.com/shoal-data/shoal/features/timeline"
	"github.com/shoal-data/shoal/jobs/config"
)

// A Resolver turns configured targets into questions to one history.
type Resolver struct {
	Store   *timeline.Store
	Census  *timeline.Census
	First   int32 // local day of the earliest event
	AsOf    timeline.AsOf
	Workers int

	horizons map[Behaviour]Horizon
}

// Resolve settles what a target leaves to the data: its role, its horizon and
// who is eligible. The horizon's evidence is nil when the target names its own.
//
// Without purchases, churn is silence of any kind. A propensity to purchase is
// not a propensity to anything else, so it keeps its role, of which there are
// no events.
func (r *Resolver) Resolve(ctx context.Context, c config.Target) (Target, *Horizon, error) {
	t := Target{Name: c.Name, Gap: int(c.Gap), Horizon: int(c.Horizon.Days)}
	if c.Kind == config.KindPropensity {
		t.Kind = Propensity
	}
	switch c.Role {
	case config.RoleAuto:
		t.Role, t.Any = datasets.Purchase, t.Kind == Churn && r.Census.Roles[datasets.Purchase] == 0
	case config.RoleAny:
		t.Any = true
	default:
		role, err := datasets.ParseRole(c.Role)
		if err != nil {
			return t, nil, fmt.Errorf("target %s: %w", c.Name, err)
		}
		t.Role = role
	}
	switch c.Ends {
	case config.EndsCancel:
		t.Ends = Cancel
	case config.EndsEither:
		t.Ends = Either
	}
	if f := c.Where.Features(); len(f.Values) > 0 {
		t.Where = features.NewMatcher(f, r.Store.Values)
		if !t.Any {
			f.Roles = []datasets.Role{t.Role}
		}
		// "purchase events with category shoes" → "purchase event with category shoes"
		t.Condition = strings.Replace(f.Words(), "events", "event", 1)
	}
	var evidence *Horizon
	if c.Horizon.Auto && (t.Any || r.Census.Roles[t.Role] > 0) {
		h, err := r.horizon(ctx, Behaviour{Any: t.Any, Role: t.Role})
		if err != nil {
			return t, nil, err
		}
		t.Horizon, evidence = h.Days, &h
	}
	switch {
	case c.ActiveWithin.Mode == config.WithinDays:
		t.ActiveWithin = int(c.ActiveWithin.Days)
	case c.ActiveWithin.Mode == config.WithinAuto && t.Kind == Churn:
		t.ActiveWithin = t.Horizon
	}
	return t, evidence, nil
}

// horizon derives the horizon of a behaviour, once.
func (r *Resolver) horizon(ctx context.Context, b Behaviour) (Horizon, error) {
	if b.Any {
		b.Role = datasets.Other
	}
	if h, known := r.horizons[b]; known {
		return h, nil
	}
	gaps, err := CollectGaps(ctx, r.Store, r.AsOf, r.Workers, []Behaviour{b})
	if err != nil {
		return Horizon{}, err
	}
	h, err := SuggestHorizon(gaps[0], int(r.AsOf.Today-r.First)+1)
	if err != nil {
		return Horizon{}, err
	}
	if r.horizons == nil {
		r.horizons = map[Behaviour]Horizon{}
	}
	r.horizons[b] = h
	return h, nil
}
