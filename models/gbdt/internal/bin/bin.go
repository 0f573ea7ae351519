// Package bin turns columns of float64 into bytes: for boosted trees, where a
// value lies among at most 255 intervals is all that matters.
package bin

import (
	"cmp"
	"math"
	"slices"
	"sync"
)

// MaxBins is the most bins for values; one more is kept for missing ones.
const MaxBins = 255

// A Mapper says which bin each value of a column falls into.
type Mapper struct {
	// Uppers are the numeric bins' inclusive upper ends but the last bin's, which
	// has none; strictly rising. Bin b holds Uppers[b-1] < v <= Uppers[b].
	Uppers []float64
	// Categories are those that have a bin, in the order of their bins; nil for a
	// numeric column. All other categories share the bin of missing values.
	Categories []int32
	// Missing says that some value was NaN, or of a category without a bin.
	Missing bool
	// Empty says that all values were missing.
	Empty bool

	look lookup
	bins map[int32]uint8 // by category
}

// Values is the number of bins for values.
func (m *Mapper) Values() int {
	if m.Categories != nil {
		return len(m.Categories)
	}
	return len(m.Uppers) + 1
}

// MissingBin is the bin of missing values, the one after those of values.
func (m *Mapper) MissingBin() int { return m.Values() }

// Constant says that all values, missing ones included, share a bin.
func (m *Mapper) Constant() bool {
	return m.Empty || m.Values() == 1 && !m.Missing
}

// Numeric divides the values, NaN for missing ones, into at most most bins. Each
// distinct value has its own when there are few enough; otherwise bins weigh
// about the same, save that a heavy value has one to itself. weights nil is all 1.
// The order of the values does not matter. values and weights are overwritten.
func Numeric(values, weights []float64, most int) *Mapper {
	m := &Mapper{}
	distinct, mass := tally(values, weights, &m.Missing)
	m.Empty = len(distinct) == 0
	if len(distinct) <= most {
		for i := 1; i < len(distinct); i++ {
			m.Uppers = append(m.Uppers, between(distinct[i-1], distinct[i]))
		}
	} else {
		m.Uppers = greedy(distinct, mass, most)
	}
	m.look = newLookup(m.Uppers, distinct, mass)
	return m
}

// tally sorts values, drops NaN, joins equal ones, and says what each weighs.
func tally(values, weights []float64, missing *bool) (distinct, mass []float64) {
	kept := 0
	for i, v := range values {
		if math.IsNaN(v) {
			*missing = true
			continue
		}
		values[kept] = v + 0 // −0 becomes 0
		if weights != nil {
			weights[kept] = weights[i]
		}
		kept++
	}
	values = values[:kept]
	if weights == nil {
		if distinct, mass, ok := few(values); ok {
			return distinct, mass
		}
		radix(values)
	} else {
		weights = weights[:kept]
		byValue := make([]int32, kept)
		for i := range byValue {
			byValue[i] = int32(i)
		}
		// Equal values by weight, so that their sum depends on no order.
		slices.SortFunc(byValue, func(a, b int32) int {
			return cmp.Or(cmp.Compare(values[a], values[b]), cmp.Compare(weights[a], weights[b]))
		})
		v, w := make([]float64, kept), make([]float64, kept)
		for i, k := range byValue {
			v[i], w[i] = values[k], weights[k]
		}
		values, weights = v, w
	}
	distinct, mass = values[:0], make([]float64, 0, kept)
	for i, v := range values {
		w := 1.0
		if weights != nil {
			w = weights[i]
		}
		if n := len(distinct); n > 0 && distinct[n-1] == v {
			mass[n-1] += w
			continue
		}
		distinct, mass = append(distinct, v), append(mass, w)
	}
	return distinct, mass
}

// few is tally of values without NaN and weights where no more of them are distinct than have a
// bin each: to count these takes less time than to sort all. ok is false for others.
func few(values []float64) (distinct, mass []float64, ok bool) {
	const slots = 4 * (MaxBins + 1)
	var seen [slots]struct {
		value float64
		count int
	}
	for _, v := range values {
		at := math.Float64bits(v) * 0x9e3779b97f4a7c15 >> 54 // 2^10 slots
		for seen[at].count > 0 && seen[at].value != v {
			at = (at + 1) % slots
		}
		if seen[at].count == 0 {
			if len(distinct) == MaxBins {
				return nil, nil, false
			}
			distinct = append(distinct, v)
			seen[at].value = v
		}
		seen[at].count++
	}
	slices.Sort(distinct)
	for _, v := range distinct {
		at := math.Float64bits(v) * 0x9e3779b97f4a7c15 >> 54
		for seen[at].value != v || seen[at].count == 0 {
			at = (at + 1) % slots
		}
		mass = append(mass, float64(seen[at].count))
	}
	return distinct, mass, true
}

// greedy closes a bin once it weighs its share of what was left when it opened.
// Values that weigh a share by themselves are set aside first.
func greedy(distinct, mass []float64, most int) []float64 {
	var total float64
	for _, w := range mass {
		total += w
	}
	share := total / float64(most)
	heavy := make([]bool, len(mass))
	rest, bins := total, most
	for i, w := range mass {
		if w >= share {
			heavy[i] = true
			rest -= w
			bins--
		}
	}
	share = rest / float64(max(bins, 1))
	var uppers []float64
	var weight float64
	for i := range len(distinct) - 1 {
		weight += mass[i]
		if !heavy[i] {
			rest -= mass[i]
		}
		if !heavy[i] && weight < share && !(heavy[i+1] && weight >= share/2) {
			continue
		}
		uppers = append(uppers, between(distinct[i], distinct[i+1]))
		if len(uppers) == most-1 {
			break
		}
		if !heavy[i] {
			bins--
			share = rest / float64(max(bins, 1))
		}
		weight = 0
	}
	return uppers
}

// between is a threshold t with a < t < b, in the middle and a float32 where
// there is one, so that programs which compare float32s, or with < for <=, go the same
// way; failing all that, a.
func between(a, b float64) float64 {
	mid := a + (b-a)/2
	if math.IsInf(mid, 0) || math.IsNaN(mid) {
		mid = a/2 + b/2
	}
	if t := float64(float32(mid)); a < t && t < b && float32(a) < float32(t) && float32(t) < float32(b) {
		return t
	}
	if a < mid && mid < b {
		return mid
	}
	return a
}

// Categorical gives a bin to each of the heaviest categories, at most most of
// them, equally heavy ones by number. Categories are whole numbers ≥ 0; NaN is missing.
func Categorical(values, weights []float64, most int) *Mapper {
	m := &Mapper{Categories: []int32{}}
	distinct, mass := tally(values, weights, &m.Missing)
	m.Empty = len(distinct) == 0
	order := make([]int, len(distinct))
	for i := range order {
		order[i] = i
	}
	slices.SortFunc(order, func(a, b int) int { return cmp.Or(cmp.Compare(mass[b], mass[a]), cmp.Compare(a, b)) })
	if len(order) > most {
		order = order[:most]
		m.Missing = true
	}
	m.bins = make(map[int32]uint8, len(order))
	for b, i := range order {
		m.Categories = append(m.Categories, int32(distinct[i]))
		m.bins[int32(distinct[i])] = uint8(b)
	}
	return m
}

// Bin is the bin of v.
func (m *Mapper) Bin(v float64) uint8 {
	if math.IsNaN(v) {
		return uint8(m.MissingBin())
	}
	if m.Categories != nil {
		if b, ok := m.bins[int32(v)]; ok {
			return b
		}
		return uint8(m.MissingBin())
	}
	b := m.look.start(v)
	for b < len(m.Uppers) && v > m.Uppers[b] {
		b++
	}
	return uint8(b)
}

// Bins writes the bins of every step-th value, from the first, to dst.
func (m *Mapper) Bins(dst []byte, values []float64, step int) {
	if m.Categories != nil || len(m.Uppers) == 0 {
		for i := range dst {
			dst[i] = m.Bin(values[i*step])
		}
		return
	}
	missing, look := uint8(m.MissingBin()), &m.look
	// A last upper end that nothing exceeds ends every search.
	var uppers [256]float64
	copy(uppers[:], m.Uppers)
	uppers[len(m.Uppers)] = math.Inf(1)
	for i := range dst {
		v := values[i*step]
		if v != v {
			dst[i] = missing
			continue
		}
		b := look.first[look.cell(v)]
		for v > uppers[b] {
			b++
		}
		dst[i] = b
	}
}

// cells is the length of a lookup table.
const cells = 1 << 13

// A lookup divides the line into cells and knows the first bin that reaches into
// each. The cells are equally wide, or equally wide on the scale of floating-point
// numbers, which is nearly a logarithm: whichever tells more values' bins at once.
type lookup struct {
	first    [cells]uint8
	bitwise  bool
	low      float64 // equally wide: cell = (v - low) * perCell
	perCell  float64
	lowKey   uint64 // bitwise: cell = (key(v) - lowKey) >> shift
	shift    uint8
	distance float64 // how many bins a search passes, on average
}

func newLookup(uppers, distinct, mass []float64) lookup {
	if len(uppers) == 0 {
		return lookup{}
	}
	even, bits := fill(uppers, distinct, mass, false), fill(uppers, distinct, mass, true)
	if bits.distance < even.distance {
		return bits
	}
	return even
}

func fill(uppers, distinct, mass []float64, bitwise bool) lookup {
	l := lookup{bitwise: bitwise}
	lo, hi := uppers[0], uppers[len(uppers)-1]
	if bitwise {
		l.lowKey = key(lo)
		for (key(hi)-l.lowKey)>>l.shift >= cells {
			l.shift++
		}
	} else {
		l.low = lo
		if width := hi - lo; width > 0 && !math.IsInf(width, 0) {
			l.perCell = (cells - 1) / width
		}
		if math.IsInf(l.perCell, 0) {
			l.perCell = 0
		}
	}
	// cell never falls as v rises, so a cell's first bin is at most the bin of the
	// first upper end in it or beyond, which holds what lies before that end.
	b := 0
	for c := range l.first {
		for b < len(uppers) && l.cell(uppers[b]) < c {
			b++
		}
		l.first[c] = uint8(b)
	}
	var total float64
	b = 0
	for i, v := range distinct {
		for b < len(uppers) && v > uppers[b] {
			b++
		}
		total += mass[i]
		l.distance += mass[i] * float64(b-int(l.first[l.cell(v)]))
	}
	l.distance /= total
	return l
}

func (l *lookup) start(v float64) int { return int(l.first[l.cell(v)]) }

// cell never falls as v rises.
func (l *lookup) cell(v float64) int {
	if l.bitwise {
		k := key(v)
		if k <= l.lowKey {
			return 0
		}
		return int(min((k-l.lowKey)>>l.shift, cells-1))
	}
	if c := (v - l.low) * l.perCell; c > 0 { // not when it is NaN, as 0·∞ is
		return int(min(c, cells-1))
	}
	return 0
}

// key is an integer that rises with v.
func key(v float64) uint64 {
	b := math.Float64bits(v)
	return b ^ (uint64(int64(b)>>63) | 1<<63)
}

// value is the inverse of key.
func value(k uint64) float64 {
	return math.Float64frombits(k ^ (uint64(^int64(k)>>63) | 1<<63))
}

// rooms are what radix sorts in, kept from one column to the next.
var rooms = sync.Pool{New: func() any { return new([]uint64) }}

// radix sorts finite values, eleven bits at a time.
func radix(values []float64) {
	const digit, size = 11, 1 << 11
	if len(values) < 256 {
		slices.Sort(values)
		return
	}
	room := rooms.Get().(*[]uint64)
	defer rooms.Put(room)
	if cap(*room) < 2*len(values) {
		*room = make([]uint64, 2*len(values))
	}
	from, to := (*room)[:len(values)], (*room)[len(values):2*len(values)]
	var counts [6][size]int32
	for i, v := range values {
		k := key(v)
		from[i] = k
		for d := range counts {
			counts[d][k>>(d*digit)&(size-1)]++
		}
	}
	for d := range counts {
		count := &counts[d]
		if count[from[0]>>(d*digit)&(size-1)] == int32(len(from)) {
			continue // all alike
		}
		var at int32
		for i, c := range count {
			count[i] = at
			at += c
		}
		for _, k := range from {
			i := k >> (d * digit) & (size - 1)
			to[count[i]] = k
			count[i]++
		}
		from, to = to, from
	}
	for i, k := range from {
		values[i] = value(k)
	}
}
