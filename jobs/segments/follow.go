package segments

import (
	"cmp"
	"context"
	"fmt"
	"math"
	"slices"

	"github.com/shoal-data/shoal/jobs/segments/internal/kin"
	"github.com/shoal-data/shoal/jobs/segments/internal/words"
	"github.com/shoal-data/shoal/jobs/segments/passes"
)

// inactiveName is what customers are called who have done nothing for so long.
func inactiveName(days int) (name, description string) {
	return fmt.Sprintf("inactive for %d days", days), fmt.Sprintf("no event of any kind for more than %d days", days)
}

// identify gives the clusters the ids of the segments they continue, assigns
// the customers, and writes down what became of what.
func (d *division) identify(ctx context.Context) error {
	st := &State{Segmentation: d.Name, Column: d.Column, Settings: d.settings(), Trained: d.Trained, Spread: d.spread, NextID: 1, prepared: d.prepared, model: d.model}
	d.state = st
	k := 0
	if d.model != nil {
		k = d.model.K()
	}
	f := &kin.Fates{Heir: make([]int, k), Status: make([]string, k), Parents: make([][]int, k)}
	var then []int // ids of the run before that have centres
	var o *kin.Overlap
	for c := range k {
		f.Heir[c], f.Status[c] = -1, kin.New
	}
	if d.prior != nil {
		was := d.prior.State
		st.NextID, st.Named = was.NextID, slices.Clone(was.Named)
		then = slices.Clone(was.Living)
		if was.Inactive {
			then = then[:len(then)-1]
		}
		var err error
		o = d.compare(then, k)
		if f, err = o.Recognise(); err != nil {
			return err
		}
		if d.Refit == "" { // the same centres are the same segments, whoever is in them
			for c := range f.Heir {
				f.Heir[c], f.Status[c], f.Parents[c] = c, kin.Kept, []int{c}
			}
		}
	}
	d.Segments = make([]Segment, k, k+1)
	for c := range k {
		s := &d.Segments[c]
		if p := f.Heir[c]; p >= 0 {
			s.Named = *st.named(then[p])
		} else {
			s.Named = Named{ID: st.NextID, Since: d.Date}
			st.NextID++
		}
	}
	d.addInactive()
	for _, step := range []func(context.Context) error{d.assign, d.measure, d.profile} {
		if err := step(ctx); err != nil {
			return err
		}
	}
	d.name()
	if err := d.trust(ctx); err != nil {
		return err
	}
	d.keep()
	d.compareCentres()
	d.record(f, o, then)
	d.remember()
	return nil
}

// compare counts who was where in the run before. Where no customer is in both
// runs, or it is unknown where anyone was, the stored centres say where they would
// have been; and where a quiet night left a segment to a few, they say so of the
// customers who were in none.
func (d *division) compare(then []int, k int) *kin.Overlap {
	now := make([]int, len(d.Labels))
	for i := range now {
		now[i] = -1
	}
	for i, row := range d.active {
		if d.nearest != nil {
			now[row] = d.nearest[i]
		}
	}
	o := kin.Count(d.prior.Of, then, now, k)
	if d.was == nil {
		return o
	}
	deserted := d.deserted(then)
	if o.Shared() > 0 && !slices.Contains(deserted, true) {
		return o
	}
	of := make([]int32, len(d.Labels))
	if o.Shared() > 0 {
		copy(of, d.prior.Of)
	}
	for i, row := range d.active {
		if p := d.was[i]; o.Shared() == 0 || deserted[p] && !slices.Contains(then, int(of[row])) {
			of[row] = int32(then[p])
		}
	}
	return kin.Count(of, then, now, k)
}

// deserted says of which segments fewer than half of the customers they were fitted to
// were there in the run before.
func (d *division) deserted(then []int) []bool {
	there := make([]int, len(then))
	for _, id := range d.prior.Of {
		if p := slices.Index(then, int(id)); p >= 0 {
			there[p]++
		}
	}
	deserted := make([]bool, len(then))
	for p, fitted := range d.prior.State.model.Weights() {
		deserted[p] = float64(2*(there[p]+d.prior.Gone[then[p]])) < fitted
	}
	return deserted
}

// addInactive makes the inactive a segment, which is one and the same through
// all runs.
func (d *division) addInactive() {
	if d.inactive == 0 {
		return
	}
	s := Segment{Named: Named{ID: d.state.inactiveID(), Since: d.Date, Inactive: true}}
	if was := d.state.named(s.ID); was != nil {
		s.Named = *was
		s.Retired = ""
	} else {
		s.ID = d.state.NextID
		d.state.NextID++
	}
	d.Segments = append(d.Segments, s)
	d.state.Inactive = true
}

// assign puts every customer into the segment whose centre is nearest, but for
// those who were in another that is hardly farther: they stay, so that nobody
// goes back and forth every night.
func (d *division) assign(ctx context.Context) error {
	place := map[int32]int{}
	for i, s := range d.Segments {
		if !s.Inactive {
			place[int32(s.ID)] = i
		}
		if s.Inactive {
			for row := range d.Labels {
				d.Labels[row] = i // the active are overwritten below
			}
		}
	}
	if d.model == nil {
		for _, row := range d.active {
			d.Labels[row] = -1
		}
		return nil
	}
	if d.z == nil { // nobody
		return nil
	}
	centres := d.model.Centres()
	return passes.Each(ctx, d.z, func(i int, z []float64) {
		row := d.active[i]
		at := d.nearest[i]
		nearest := distance(z, centres.Row(at))
		d.Labels[row], d.Distances[row] = at, nearest
		if d.prior == nil {
			return
		}
		was, known := place[d.prior.Of[row]]
		if !known || was == at {
			return
		}
		if far := distance(z, centres.Row(was)); far <= (1+d.Hysteresis)*nearest {
			d.Labels[row], d.Distances[row] = was, far
			d.Stayed++
		}
	})
}

func distance(a, b []float64) float64 {
	sum := 0.0
	for j, v := range a {
		t := v - b[j]
		sum += float64(t * t)
	}
	return math.Sqrt(sum)
}

// measure fills the sizes and means.
func (d *division) measure(ctx context.Context) error {
	columns := make([]int, len(d.Features))
	for j, name := range d.Features {
		columns[j] = slices.Index(d.names, name)
	}
	w := len(columns)
	sums, counts, far := make([]float64, len(d.Segments)*w), make([]float64, len(d.Segments)*w), make([]float64, len(d.Segments))
	err := passes.Each(ctx, d.x, func(i int, row []float64) {
		label := d.Labels[i]
		if label < 0 {
			return
		}
		d.Segments[label].Size++
		far[label] += d.Distances[i]
		for j, c := range columns {
			if v := row[c]; !math.IsNaN(v) {
				sums[label*w+j] += v
				counts[label*w+j]++
			}
		}
	})
	if err != nil {
		return err
	}
	for i := range d.Segments {
		s := &d.Segments[i]
		s.Share = float64(s.Size) / float64(len(d.Labels))
		s.MeanDist = far[i] / float64(s.Size)
		s.Mean = make([]float64, w)
		for j := range w {
			s.Mean[j] = sums[i*w+j] / counts[i*w+j]
		}
		if !s.Inactive {
			s.Centre = d.model.Centres().Row(i)
		}
	}
	return nil
}

// name names the new segments, each unlike any there has been; the others
// keep their names.
func (d *division) name() {
	used := map[string]bool{}
	for _, n := range d.state.Named {
		used[n.Name] = true
	}
	subjects := make([]words.Subject, len(d.Segments))
	for i, s := range d.Segments {
		subjects[i] = words.Subject{ID: s.ID, Skip: s.Inactive, Centre: s.Centre, Typical: d.typical(i)}
	}
	fresh := words.Name(subjects, d.Features, nil)
	for i := range d.Segments {
		s := &d.Segments[i]
		if s.Inactive {
			s.Now, _ = inactiveName(int(d.InactiveAfter))
			if s.Name == "" {
				s.Name, s.Description = inactiveName(int(d.InactiveAfter))
			}
			continue
		}
		s.Now = fresh[i].Name
		subjects[i].Skip = s.Name != ""
	}
	unlike := words.Name(subjects, d.Features, used)
	for i := range d.Segments {
		if s := &d.Segments[i]; s.Name == "" {
			s.Name, s.Description = unlike[i].Name, unlike[i].Description
		}
	}
}

// typical is what a typical customer of a segment has, by Features: the median, or
// the mean where most have nothing.
func (d *division) typical(segment int) []float64 {
	values := make([]float64, len(d.Features))
	for _, p := range d.Profiles {
		if j := slices.Index(d.Features, p.Feature); p.Segment == segment && j >= 0 {
			values[j] = p.P50
			if p.P50 == 0 {
				values[j] = p.Mean
			}
		}
	}
	return values
}

// keep puts what is fixed about tonight's segments into the state.
func (d *division) keep() {
	for _, s := range d.Segments {
		named := s.Named
		if was := d.state.named(s.ID); was != nil {
			*was = named
		} else {
			d.state.Named = append(d.state.Named, named)
		}
		d.state.Living = append(d.state.Living, s.ID)
		d.state.Shares = append(d.state.Shares, s.Share)
	}
	slices.SortFunc(d.state.Named, func(a, b Named) int { return cmp.Compare(a.ID, b.ID) })
}

// record writes the history and the moves.
func (d *division) record(f *kin.Fates, o *kin.Overlap, then []int) {
	before := map[int]int{}
	if d.prior != nil {
		d.Before, d.of = d.prior.Date, d.prior.Of
		for _, id := range d.prior.Of {
			before[int(id)]++
		}
		for id, n := range d.prior.Gone {
			before[id] += n
		}
	}
	ids := func(places []int, of func(int) int) []int {
		var out []int
		for _, p := range places {
			out = append(out, of(p))
		}
		slices.Sort(out)
		return out
	}
	idThen := func(p int) int { return then[p] }
	idNow := func(c int) int { return d.Segments[c].ID }
	for c, s := range d.Segments {
		e := Episode{ID: s.ID, Name: s.Name, Since: s.Since, Status: kin.Kept, Size: s.Size, Share: s.Share, Before: -1, Similarity: math.NaN()}
		if n, ok := before[s.ID]; ok {
			e.Before = n
		}
		if s.Inactive {
			if s.Since == d.Date {
				e.Status = kin.New
			}
		} else {
			e.Status, e.Parents = f.Status[c], ids(f.Parents[c], idThen)
			if f.Heir[c] >= 0 {
				e.Similarity = o.Jaccard(f.Heir[c], c)
			}
		}
		d.History = append(d.History, e)
	}
	if d.prior == nil {
		return
	}
	for p, id := range then {
		if slices.ContainsFunc(d.Segments, func(s Segment) bool { return s.ID == id }) {
			continue
		}
		n := d.state.named(id)
		n.Retired = d.Date
		e := Episode{ID: id, Name: n.Name, Since: n.Since, Status: kin.Retired, Before: before[id], Similarity: math.NaN()}
		if f.Successors != nil {
			e.Successors = ids(f.Successors[p], idNow)
		}
		d.History = append(d.History, e)
	}
	slices.SortFunc(d.History, func(a, b Episode) int { return a.ID - b.ID })
	living := make([]int, len(d.Segments))
	for i, s := range d.Segments {
		living[i] = s.ID
	}
	d.Moves = kin.Moves(d.prior.Of, d.prior.Gone, d.Labels, living)
}

// remember compares tonight's division with the last and, when the centres
// are those of the run before, keeps what was measured at their fit.
func (d *division) remember() {
	if d.prior == nil {
		return
	}
	if d.Refit == "" {
		was := d.prior.State
		d.state.Settings = was.Settings
		for i, id := range d.state.Living {
			if j := slices.Index(was.Living, id); j >= 0 {
				d.state.Shares[i] = was.Shares[j]
			}
		}
	}
	d.Agreement, d.Shared = kin.Agreement(d.prior.Of, d.Labels)
}
