package nearest

import (
	"fmt"
	"math"
	"math/rand/v2"
	"slices"
	"testing"
)

// brute is the answer to which a Batch is held: the float64 sum of squared
// differences, the lowest index of equals.
func brute(x []float32, centres []float64) (which int, d1, d2 float64) {
	d := len(x)
	d1, d2 = math.Inf(1), math.Inf(1)
	for c := range len(centres) / d {
		var s float64
		for j, v := range x {
			t := float64(v) - centres[c*d+j]
			s += t * t
		}
		if s < d1 {
			which, d1, d2 = c, s, d1
		} else {
			d2 = min(d2, s)
		}
	}
	return which, d1, d2
}

func onEveryPath(t *testing.T, f func(t *testing.T)) {
	for _, name := range Paths() {
		t.Run(name, func(t *testing.T) {
			defer Use(name)()
			f(t)
		})
	}
}

// Whatever is not in doubt is right, the gap never exceeds the true one, and
// little is in doubt where rows are spread out.
func TestFind(t *testing.T) {
	onEveryPath(t, func(t *testing.T) {
		for _, d := range []int{1, 2, 3, 4, 5, 7, 8, 15, 16, 32, 61} {
			for _, k := range []int{2, 3, 7, 8, 9, 16, 17, 64} {
				for _, grid := range []bool{false, true} {
					r := rand.New(rand.NewPCG(uint64(d), uint64(k)))
					n := 300
					y, centres := make([]float32, n*d), make([]float64, k*d)
					for i := range y {
						y[i] = float32(3 * r.NormFloat64())
						if grid { // exact ties abound
							y[i] = float32(r.IntN(3))
						}
					}
					for i := range centres {
						centres[i] = 3 * r.NormFloat64()
						if grid {
							centres[i] = float64(r.IntN(3))
						}
					}
					var c Centres
					c.Set(centres, k, d, false)
					var b Batch
					doubts, looseness := 0, 0.0
					for _, size := range []int{1, 31, 32, 33, Rows} {
						rows := make([]int32, size)
						for i := range rows {
							rows[i] = int32(r.IntN(n))
						}
						b.Find(&c, y, rows, nil)
						for i, row := range rows {
							which, d1, d2 := brute(y[int(row)*d:int(row)*d+d], centres)
							if b.Doubt(i) {
								doubts++
								continue
							}
							if int(b.Which[i]) != which {
								t.Fatalf("d=%d k=%d grid=%v: row %d: centre %d without doubt, want %d (%v, %v)", d, k, grid, row, b.Which[i], which, d1, d2)
							}
							gap := math.Sqrt(d2) - math.Sqrt(d1)
							if float64(b.Gap[i]) > gap {
								t.Fatalf("d=%d k=%d grid=%v: row %d: gap %v exceeds the true %v", d, k, grid, row, b.Gap[i], gap)
							}
							if d1 > .1 {
								looseness = max(looseness, gap-float64(b.Gap[i]))
							}
						}
					}
					if !grid && d >= 4 && (doubts > 2 || looseness > 1e-2) {
						t.Errorf("d=%d k=%d: %d doubts of 225 rows, gaps up to %v too small", d, k, doubts, looseness)
					}
				}
			}
		}
	})
}

// Rows as near to one centre as to another, but for differences about as large
// as float32's rounding, and far from 0 for their distances: what is without
// doubt is still right, and no gap exceeds the true one.
func TestNearTies(t *testing.T) {
	onEveryPath(t, func(t *testing.T) {
		for _, d := range []int{1, 4, 16, 40} {
			for _, offset := range []float64{0, 1, 100} {
				r := rand.New(rand.NewPCG(uint64(d), uint64(offset)))
				sure := 0
				for range 300 {
					const k = 9
					centres := make([]float64, k*d)
					for i := range centres {
						centres[i] = float64(float32(offset + r.NormFloat64()))
						if i >= 2*d {
							centres[i] += 50
						}
					}
					y := make([]float32, 32*d)
					for i := range 32 {
						// On the plane between the first two, then off it a little.
						var along, between float64
						x := make([]float64, d)
						for j := range d {
							x[j] = 2 * r.NormFloat64()
							v := centres[j] - centres[d+j]
							along += x[j] * v
							between += v * v
						}
						off := math.Ldexp(r.NormFloat64(), -r.IntN(30)) - along/between
						for j := range d {
							y[i*d+j] = float32((centres[j]+centres[d+j])/2 + x[j] + off*(centres[j]-centres[d+j]))
						}
					}
					rows := make([]int32, 32)
					for i := range rows {
						rows[i] = int32(i)
					}
					var c Centres
					c.Set(centres, k, d, false)
					var b Batch
					b.Find(&c, y, rows, nil)
					for i := range rows {
						which, d1, d2 := brute(y[i*d:i*d+d], centres)
						if b.Doubt(i) {
							continue
						}
						sure++
						if int(b.Which[i]) != which {
							t.Fatalf("d=%d offset=%v: centre %d without doubt, want %d: %v, %v", d, offset, b.Which[i], which, d1, d2)
						}
						if gap := math.Sqrt(d2) - math.Sqrt(d1); float64(b.Gap[i]) > gap {
							t.Fatalf("d=%d offset=%v: gap %v exceeds the true %v", d, offset, b.Gap[i], gap)
						}
					}
				}
				if sure < 500 {
					t.Errorf("d=%d offset=%v: only %d of 9600 rows without doubt", d, offset, sure)
				}
			}
		}
	})
}

// What float32 cannot tell apart, or cannot hold, is in doubt.
func TestDoubt(t *testing.T) {
	onEveryPath(t, func(t *testing.T) {
		const d = 5
		for what, change := range map[string]func(y []float32, c []float64){
			"equal centres":        func(y []float32, c []float64) { copy(c[d:2*d], c[:d]) },
			"nearly equal centres": func(y []float32, c []float64) { copy(c[d:2*d], c[:d]); c[d] += 1e-9 },
			"centres all zero":     func(y []float32, c []float64) { clear(c) },
			"a row far away":       func(y []float32, c []float64) { y[0] = 1e25 },
			"an infinite row":      func(y []float32, c []float64) { y[0] = float32(math.Inf(1)) },
			"a NaN":                func(y []float32, c []float64) { y[0] = float32(math.NaN()) },
			"tiny centres": func(y []float32, c []float64) {
				for i := range c {
					c[i] *= 1e-17
				}
			},
		} {
			y, centres := make([]float32, d), make([]float64, 2*d)
			for j := range d {
				y[j], centres[j], centres[d+j] = float32(j+1), float64(j), float64(j*j)
			}
			change(y, centres)
			var c Centres
			c.Set(centres, 2, d, true)
			var b Batch
			b.Find(&c, y, []int32{0}, nil)
			if !b.Doubt(0) {
				t.Errorf("%s: centre %d without doubt", what, b.Which[0])
			}
		}
	})
}

func TestFilter(t *testing.T) {
	onEveryPath(t, func(t *testing.T) {
		r := rand.New(rand.NewPCG(1, 2))
		for n := range 100 {
			gap, label, limit := make([]float32, n), make([]uint16, n), make([]float32, 40)
			for i := range limit {
				limit[i] = r.Float32()
			}
			var want []int32
			for i := range gap {
				gap[i], label[i] = r.Float32(), uint16(r.IntN(40))
				switch r.IntN(10) {
				case 0:
					gap[i] = limit[label[i]] // equal does not exceed
				case 1:
					gap[i] = float32(math.Inf(-1))
				case 2:
					gap[i] = float32(math.NaN())
				}
				if !(gap[i] > limit[label[i]]) {
					want = append(want, int32(i))
				}
			}
			out := make([]int32, n+Slack)
			if got := out[:Filter(out, gap, label, limit)]; !slices.Equal(got, want) {
				t.Fatalf("n=%d: %v, want %v", n, got, want)
			}
		}
	})
}

func BenchmarkFind(b *testing.B) {
	for _, name := range Paths() {
		for _, shape := range [][2]int{{16, 8}, {32, 8}, {32, 16}, {32, 64}, {32, 256}} {
			d, k := shape[0], shape[1]
			b.Run(fmt.Sprintf("path=%s/d=%d/k=%d", name, d, k), func(b *testing.B) {
				defer Use(name)()
				r := rand.New(rand.NewPCG(1, 1))
				y, centres := make([]float32, Rows*d), make([]float64, k*d)
				for i := range y {
					y[i] = float32(r.NormFloat64())
				}
				for i := range centres {
					centres[i] = r.NormFloat64()
				}
				var c Centres
				c.Set(centres, k, d, false)
				var batch Batch
				rows := make([]int32, Rows)
				for i := range rows {
					rows[i] = int32(i)
				}
				for b.Loop() {
					batch.Find(&c, y, rows, nil)
				}
				perRow := b.Elapsed().Seconds() / float64(b.N) / Rows
				b.ReportMetric(perRow*1e9, "ns/row")
				b.ReportMetric(2*float64(k*d)/perRow/1e9, "Gflop/s")
			})
		}
	}
}
