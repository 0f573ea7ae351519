package segments

import (
	"math"
	"math/rand/v2"
	"slices"
	"testing"

	"github.com/shoal-data/shoal/jobs/config"
	"github.com/shoal-data/shoal/models"
	"github.com/shoal-data/shoal/models/metrics"
)

// population is customers of planted kinds whose features have known densities,
// so that nobody can tell the kinds better than the likelier one does.
type population struct {
	x           models.Matrix
	kind, bayes []int
}

// columnsOf are features as histories have them: amounts and paces that are skewed,
// shares between 0 and 1, and something that most do not do at all.
var columnsOf = []string{"average_order_value", "purchase_days_per_30d", "sessions_per_30d", "message_open_rate", "session_conversion_share", "coupons_per_order"}

// populate draws n customers of k kinds in sizes of up to 1 to 3. Kinds lie at least
// apart standard deviations from each other.
func populate(seed uint64, n, k int, apart float64) population {
	r := rand.New(rand.NewPCG(seed, 11))
	d := len(columnsOf)
	unit := [][2]float64{{3.5, .5}, {0, .6}, {.5, .7}, {-1, .8}, {-.5, .7}, {-.5, .6}} // middle and spread of each column
	var centres [][]float64
	for len(centres) < k {
		c := make([]float64, d)
		for j := range c {
			c[j] = r.NormFloat64() * apart / 2
		}
		far := true
		for _, o := range centres {
			far = far && distance(c, o) >= apart
		}
		if far {
			centres = append(centres, c)
		}
	}
	users, size := make([]float64, k), make([]float64, k) // share who do the last thing at all
	total := 0.0
	for i := range k {
		users[i], size[i] = []float64{.05, .95}[r.IntN(2)], 1+2*r.Float64()
		total += size[i]
	}
	p := population{x: models.NewMatrix(columnsOf, n)}
	for i := range n {
		at, kind := r.Float64()*total, 0
		for ; kind < k-1 && at > size[kind]; kind++ {
			at -= size[kind]
		}
		e := make([]float64, d)
		for j := range e {
			e[j] = centres[kind][j] + r.NormFloat64()
		}
		does := r.Float64() < users[kind]
		best, most := math.Inf(-1), 0
		for c := range k {
			l := math.Log(size[c])
			for j := range d - 1 {
				l -= (e[j] - centres[c][j]) * (e[j] - centres[c][j]) / 2
			}
			if does {
				l += math.Log(users[c]) - (e[d-1]-centres[c][d-1])*(e[d-1]-centres[c][d-1])/2
			} else {
				l += math.Log(1 - users[c])
			}
			if l > best {
				best, most = l, c
			}
		}
		row := p.x.Row(i)
		for j := range row {
			v := unit[j][0] + unit[j][1]*e[j]
			if j == 3 || j == 4 {
				row[j] = 1 / (1 + math.Exp(-v))
			} else {
				row[j] = math.Exp(v)
			}
		}
		if !does {
			row[d-1] = 0
		}
		p.kind, p.bayes = append(p.kind, kind), append(p.bayes, most)
	}
	return p
}

// Where the best that anybody could do agrees with the truth at .95, the planted
// number is chosen in 18 of 20, from raw features through preparation, the choice of a
// number and k-means; and then segments agree at .9, or at .88 in two of twenty, where
// kinds spread differently: k-means with the true kinds' deviations does no better there.
func TestPlantedKinds(t *testing.T) {
	if testing.Short() {
		t.Skip("twenty divisions")
	}
	found, tried, low := 0, 0, 0
	for seed := uint64(0); tried < 20; seed++ {
		k := 2 + int(seed%6)
		p := populate(seed, 1500, k, 5)
		best, _ := metrics.ARI(p.bayes, p.kind)
		if best < .95 {
			continue
		}
		tried++
		s, _ := divide(t, quality(seed), p.x, nil)
		got, _ := metrics.ARI(s.Labels, p.kind)
		if len(s.Segments) == k {
			found++
			if got < .9 {
				low++
				t.Logf("seed %d, %d kinds: the best assignment reaches %.3f, segments %.3f", seed, k, best, got)
				if got < .88 {
					t.Errorf("seed %d: segments agree with the truth at %.3f", seed, got)
				}
			}
		} else {
			t.Logf("seed %d: %d kinds, %d segments (%s), agreement %.3f of %.3f", seed, k, len(s.Segments), s.Support, got, best)
		}
	}
	if low > 2 {
		t.Errorf("segments agree with the truth at less than .9 in %d", low)
	}
	if found < 18 {
		t.Errorf("the planted number was found in %d of 20", found)
	}
}

// One kind of customer is not divided, in 18 of 20.
func TestOneKind(t *testing.T) {
	if testing.Short() {
		t.Skip("twenty divisions")
	}
	none := 0
	for seed := range uint64(20) {
		s, _ := divide(t, quality(seed), populate(seed, 1500, 1, 0).x, nil)
		if len(s.Segments) == 0 {
			none++
		} else {
			t.Logf("seed %d: one kind, %d segments (%s)", seed, len(s.Segments), s.Support)
		}
	}
	if none < 18 {
		t.Errorf("one kind was left whole in %d of 20", none)
	}
}

// A column in which the customers of a segment are alike counts for more than one
// that tells nobody apart, tomorrow as much as tonight. Where a number is given, and
// where there are no segments, columns count the same.
func TestColumnsCountByWhatTheyTell(t *testing.T) {
	r := rand.New(rand.NewPCG(4, 12))
	x := models.NewMatrix(columnsOf[:5], 1200)
	kind := make([]int, x.Rows())
	for i := range kind {
		kind[i] = r.IntN(3)
		for j := range x.Cols() {
			x.Row(i)[j] = 20 + r.NormFloat64() // normal, so that no column is reshaped
			if j < 2 {
				x.Row(i)[j] += []float64{0, 5, 10}[(kind[i]+j)%3]
			}
		}
	}
	// units are how many standard deviations one of the raw unit makes, by column.
	units := func(s *Segmentation) []float64 {
		z, err := s.state.prepared.Apply(models.Matrix{}, models.Matrix{Names: x.Names, Data: []float64{21, 21, 21, 21, 21, 20, 20, 20, 20, 20}})
		if err != nil {
			t.Fatal(err)
		}
		u := make([]float64, x.Cols())
		for j := range u {
			u[j] = z.Row(0)[j] - z.Row(1)[j]
		}
		return u
	}
	first, _ := divide(t, quality(1), x, nil)
	if agree, _ := metrics.ARI(first.Labels, kind); len(first.Segments) != 3 || agree < .98 {
		t.Fatalf("%d segments, which agree with the kinds at %v", len(first.Segments), agree)
	}
	// Within the kinds all columns spread the same, so that they count the same in raw units.
	u := units(first)
	for j, v := range u {
		if v < .85*u[4] || v > 1.15*u[4] {
			t.Errorf("%s: a unit is %.3f standard deviations, of %s %.3f: want them the same", x.Names[j], v, x.Names[4], u[4])
		}
	}
	second, _ := divide(t, quality(1), x, after(t, first, nil))
	if !slices.Equal(second.Labels, first.Labels) || !slices.Equal(units(second), u) {
		t.Errorf("the same customers are divided otherwise the next night (agreement %v), by %v, were by %v", second.Agreement, units(second), u)
	}
	fixed := quality(1)
	fixed.K = config.AutoInt{N: 3}
	plain, _ := divide(t, fixed, x, nil)
	if u := units(plain); u[0] > .4*u[4] {
		t.Errorf("with a number given, a unit of %s is %.3f standard deviations, of %s %.3f", x.Names[0], u[0], x.Names[4], u[4])
	}
}

func quality(seed uint64) Params {
	p := params()
	p.Segmentation = config.DefaultSegmentation("behaviour")
	p.Seed = seed
	return p
}
