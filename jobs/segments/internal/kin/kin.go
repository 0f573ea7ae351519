// Package kin recognises the segments of one run in those of the next by the
// customers they share: which are the same, which have split or merged, and who
// went from one to another.
package kin

import (
	"math"
	"slices"

	"github.com/shoal-data/shoal/models/matching"
	"github.com/shoal-data/shoal/models/metrics"
)

// What a run says became of a segment.
const (
	New     = "new"     // there was none like it
	Kept    = "kept"    // the segment of the run before
	Split   = "split"   // a part of a segment of the run before
	Merged  = "merged"  // several segments of the run before
	Retired = "retired" // no longer there; its id is not given again
)

// How segments of two runs are recognised, on the customers that both runs have.
const (
	// sameJaccard is the least Jaccard similarity, customers in both to customers
	// in either, of a segment that keeps its id.
	sameJaccard = 0.5
	// A segment splits when at least two tonight each take childShare of its
	// customers and consist of them for the most part.
	childShare = 0.2
	// Segments merge when at least two give most of their customers to one
	// tonight, and each makes up parentShare of it.
	parentShare = 0.1
)

// A Move is a pair of segments between two runs: a row of segment_migrations.
// ID 0 stands for none: not in the table, or in no segment.
type Move struct {
	From, To           int
	Customers          int
	FromShare, ToShare float64 // of the customers of either segment; NaN for none
}

// An Overlap counts the customers of both runs by segment then and now.
type Overlap struct {
	both          [][]int // by segment of the run before, then by cluster
	inThen, inNow []int
}

// Count counts the customers that were in one of the segments then and are in
// one of k clusters now; label -1 is in none.
func Count(of []int32, then []int, labels []int, k int) *Overlap {
	o := &Overlap{both: make([][]int, len(then)), inThen: make([]int, len(then)), inNow: make([]int, k)}
	place := map[int32]int{}
	for p, id := range then {
		place[int32(id)] = p
		o.both[p] = make([]int, k)
	}
	for i, id := range of {
		p, ok := place[id]
		if c := labels[i]; ok && c >= 0 && c < k {
			o.both[p][c]++
			o.inThen[p]++
			o.inNow[c]++
		}
	}
	return o
}

// Jaccard is the similarity of a segment then and a cluster now: customers in both
// to customers in either.
func (o *Overlap) Jaccard(p, c int) float64 {
	union := o.inThen[p] + o.inNow[c] - o.both[p][c]
	if union == 0 {
		return 0
	}
	return float64(o.both[p][c]) / float64(union)
}

// Fates says what became of the segments: for every cluster the segment whose
// place it takes, -1 for none, its status and its parents; for every segment of
// the run before its successors.
type Fates struct {
	Heir       []int // by cluster: place of the segment then whose id it keeps, or -1
	Status     []string
	Parents    [][]int // by cluster: places then
	Successors [][]int // by segment then: clusters
}

// Recognise matches clusters with the segments of the run before so that their
// similarities add up to the most, and names what happened.
func (o *Overlap) Recognise() (*Fates, error) {
	then, now := len(o.both), len(o.inNow)
	weights := make([]float64, 0, then*now)
	for p := range then {
		for c := range now {
			weights = append(weights, o.Jaccard(p, c))
		}
	}
	pairs, err := matching.Maximise(then, now, weights)
	if err != nil {
		return nil, err
	}
	f := &Fates{Heir: make([]int, now), Status: make([]string, now), Parents: make([][]int, now), Successors: make([][]int, then)}
	for c := range now {
		f.Heir[c], f.Status[c] = -1, New
	}
	for p, c := range pairs {
		if c >= 0 && o.Jaccard(p, c) >= sameJaccard {
			f.Heir[c], f.Status[c], f.Parents[c] = p, Kept, []int{p}
		}
	}
	for p := range then {
		var children []int
		for c := range now {
			n := float64(o.both[p][c])
			if n > 0 && n >= childShare*float64(o.inThen[p]) {
				f.Successors[p] = append(f.Successors[p], c)
				if n > 0.5*float64(o.inNow[c]) {
					children = append(children, c)
				}
			}
		}
		if len(children) < 2 {
			continue
		}
		for _, c := range children {
			f.Status[c], f.Parents[c] = Split, []int{p}
		}
	}
	for c := range now {
		var parents []int
		for p := range then {
			n := float64(o.both[p][c])
			if n > 0 && n > 0.5*float64(o.inThen[p]) && n >= parentShare*float64(o.inNow[c]) {
				parents = append(parents, p)
			}
		}
		if len(parents) > 1 {
			f.Status[c], f.Parents[c] = Merged, parents
		}
	}
	return f, nil
}

// Moves are the pairs of segments between two runs, by id.
func Moves(of []int32, gone map[int]int, labels []int, ids []int) []Move {
	type pair struct{ from, to int }
	count := map[pair]int{}
	for i, from := range of {
		to := 0
		if labels[i] >= 0 {
			to = ids[labels[i]]
		}
		count[pair{int(from), to}]++
	}
	for from, n := range gone {
		count[pair{from, 0}] += n
	}
	from, to := map[int]int{}, map[int]int{}
	var all []Move
	for p, n := range count {
		if p.from == 0 && p.to == 0 {
			continue
		}
		from[p.from] += n
		to[p.to] += n
		all = append(all, Move{From: p.from, To: p.to, Customers: n})
	}
	for i := range all {
		m := &all[i]
		m.FromShare, m.ToShare = math.NaN(), math.NaN()
		if m.From != 0 {
			m.FromShare = float64(m.Customers) / float64(from[m.From])
		}
		if m.To != 0 {
			m.ToShare = float64(m.Customers) / float64(to[m.To])
		}
	}
	slices.SortFunc(all, func(a, b Move) int {
		if a.From != b.From {
			return a.From - b.From
		}
		return a.To - b.To
	})
	return all
}

// Agreement is the adjusted Rand index of the two divisions over the customers
// that are in a segment of both.
func Agreement(of []int32, labels []int) (value float64, customers int) {
	var a, b []int
	for i, id := range of {
		if id != 0 && labels[i] >= 0 {
			a, b = append(a, int(id)), append(b, labels[i])
		}
	}
	value, ok := metrics.ARI(a, b)
	if !ok {
		value = math.NaN()
	}
	return value, len(a)
}

// Shared is how many customers are in a segment of both runs.
func (o *Overlap) Shared() int {
	n := 0
	for _, m := range o.inThen {
		n += m
	}
	return n
}
