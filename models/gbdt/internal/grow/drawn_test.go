package grow

import (
	"math/rand/v2"
	"reflect"
	"testing"

	"github.com/shoal-data/shoal/models/gbdt/internal/kernel"
)

// A tree that may look at some of the columns is the one that is grown where there are no others,
// whatever trees were grown before it and however many columns are drawn: histograms are used
// again, and may hold what other columns left.
func TestDrawnColumns(t *testing.T) {
	const width = 40
	r := rand.New(rand.NewPCG(5, 9))
	for _, c := range []struct{ workers, rows, trees int }{{1, 3000, 30}, {2, 3000, 30}, {1, kernel.MaxRows + 5000, 3}} {
		workers, rows := c.workers, c.rows
		p := Settings{Leaves: 12, MaxDepth: 20, MinLeafRows: 5, MinLeafHessian: 1e-3, L2: 1, MaxBins: 255, BinRows: rows, MaxCategories: 32, CategoryRows: 5, Workers: workers}
		names, values := make([]string, width), make([][]float64, width)
		for j := range values {
			names[j] = string(rune('a'+j%26)) + string(rune('a'+j/26))
			distinct := []int{2, 3, 17, 254, 255, 100_000}[r.IntN(6)]
			for range rows {
				values[j] = append(values[j], float64(r.IntN(distinct)))
			}
		}
		p.Categorical = names[7:9]
		table, err := NewTableOf(t.Context(), p, names, rows, rows, func(v []float64, j int) error { copy(v, values[j]); return nil })
		if err != nil {
			t.Fatal(err)
		}
		grower := New(p, table, rows, nil)
		scale := kernel.NewScale(1, .25)
		fine, coarse := make([]int64, rows), make([]int32, rows)
		all := func() []uint32 {
			v := make([]uint32, rows)
			for i := range v {
				v[i] = uint32(i)
			}
			return v
		}
		for range c.trees {
			share := r.Float64()
			drawn, places := make([]bool, width), []int(nil)
			for j := range drawn {
				if r.Float64() < share || j == 8 {
					drawn[j] = true
					places = append(places, j)
				}
			}
			for i := range coarse {
				g := float64(r.IntN(3)-1) * .4
				for _, j := range places[:min(3, len(places))] {
					g += (values[j][i]/100 - float64(int(values[j][i]/100))) * .2
				}
				kernel.Quantise(&fine[i], &coarse[i], g, .25*r.Float64(), scale)
			}
			got, _, err := grower.Grow(t.Context(), all(), coarse, scale, drawn)
			if err != nil {
				t.Fatal(err)
			}
			alone, err := table.Select(t.Context(), p, rows, places)
			if err != nil {
				t.Fatal(err)
			}
			want, _, err := New(p, alone, rows, nil).Grow(t.Context(), all(), coarse, scale, nil)
			if err != nil {
				t.Fatal(err)
			}
			for i, c := range want.Column {
				want.Column[i] = int32(places[c])
			}
			if len(want.Column) == 0 {
				t.Fatal("nothing was split")
			}
			if !reflect.DeepEqual(got, want) {
				t.Fatalf("%d workers, %d of %d columns: another tree than of these columns alone:\n%+v\n%+v", workers, len(places), width, got, want)
			}
		}
	}
}
