package kernel

import (
	"fmt"
	"math"
	"math/big"
	"math/rand/v2"
	"slices"
	"testing"
)

// sample is n rows of some columns in a layout of that stride, and gradients
// over the whole range.
func sample(r *rand.Rand, n, stride int) (bins []byte, rows []uint32, grad []int32) {
	bins = make([]byte, n*stride)
	for i := range bins {
		bins[i] = byte(r.Uint32())
		if r.IntN(3) == 0 {
			bins[i] = 0
		}
	}
	for i := range n {
		if r.IntN(3) > 0 {
			rows = append(rows, uint32(i))
		}
	}
	grad = make([]int32, n)
	for i := range grad {
		g, h := int32(r.IntN(2*maxG+1)-maxG), int32(r.IntN(maxH)+1)
		grad[i] = g<<16 | h
	}
	return bins, rows, grad
}

// Both histograms equal the definition, for widths about the eight columns that
// the kernels take at a time and row counts about how far ahead they fetch.
func TestHistogram(t *testing.T) {
	r := rand.New(rand.NewPCG(1, 2))
	for _, columns := range []int{1, 2, 7, 8, 9, 15, 16, 17, 24, 63, 64, 65, 80, 128, 130} {
		for _, n := range []int{1, 2, 15, 16, 17, 18, 63, 64, 65, 129, 1000} {
			stride := columns + r.IntN(9)
			bins, rows, grad := sample(r, n, stride)
			want := make([][Entries]Sums, columns)
			for _, i := range rows {
				for c := range columns {
					e := &want[c][bins[int(i)*stride+c]]
					e.G += int64(grad[i] >> 16)
					e.H += int64(grad[i] & 0xffff)
				}
			}
			for name, f := range map[string]func([]Packed, []byte, int, []uint32, []int32){"Histogram": Histogram, "histogramGo": histogramGo} {
				got := make([]Packed, columns)
				f(got, bins, stride, rows, grad)
				for c := range got {
					for b, v := range got[c] {
						if Unpack(v) != want[c][b] || Pack(want[c][b]) != v {
							t.Fatalf("%s of %d columns, stride %d, %d rows: column %d, bin %d has %+v, want %+v", name, columns, stride, n, c, b, Unpack(v), want[c][b])
						}
					}
				}
			}
		}
	}
}

// Drawn columns have the histograms that they have among all.
func TestHistogramDrawn(t *testing.T) {
	r := rand.New(rand.NewPCG(1, 3))
	for _, columns := range []int{1, 2, 8, 9, 64, 65, 80, 128, 130} {
		for _, n := range []int{1, 15, 16, 17, 65, 1000} {
			stride := columns + r.IntN(9)
			bins, rows, grad := sample(r, n, stride)
			want := make([]Packed, columns)
			Histogram(want, bins, stride, rows, grad)
			for _, share := range []int{1, 2, 10} {
				var places []byte
				for c := range columns {
					if r.IntN(share) == 0 {
						places = append(places, byte(c))
					}
				}
				if len(places) == 0 {
					continue
				}
				for name, f := range map[string]func([]Packed, []byte, []byte, int, []uint32, []int32){"HistogramDrawn": HistogramDrawn, "histogramDrawnGo": histogramDrawnGo} {
					got := make([]Packed, columns)
					f(got, places, bins, stride, rows, grad)
					for k := range got {
						if k < len(places) && got[k] != want[places[k]] || k >= len(places) && got[k] != (Packed{}) {
							t.Fatalf("%s of %v of %d columns, stride %d, %d rows: the %d-th histogram is wrong", name, places, columns, stride, n, k)
						}
					}
				}
			}
		}
	}
}

// The largest gradients, MaxRows times, still leave the halves apart.
func TestHistogramHoldsMaxRows(t *testing.T) {
	for _, g := range []int32{maxG, -maxG} {
		hist, grad := make([]Packed, 1), []int32{g<<16 | maxH}
		Histogram(hist, make([]byte, 8), 1, make([]uint32, MaxRows), grad)
		if got, want := Unpack(hist[0][0]), (Sums{G: int64(g) * MaxRows, H: maxH * MaxRows}); got != want {
			t.Errorf("%d rows of %d sum to %+v, want %+v", MaxRows, g, got, want)
		}
	}
}

func TestPartition(t *testing.T) {
	r := rand.New(rand.NewPCG(3, 2))
	column := make([]byte, 500)
	for i := range column {
		column[i] = byte(r.Uint32())
	}
	var right [256]uint8
	for b := range right {
		right[b] = uint8(r.IntN(2))
	}
	for _, n := range []int{0, 1, 2, 100, 500} {
		var rows, left, gone []uint32
		for range n {
			rows = append(rows, uint32(r.IntN(500)))
		}
		for _, v := range rows {
			if right[column[v]] == 1 {
				gone = append(gone, v)
			} else {
				left = append(left, v)
			}
		}
		spare := make([]uint32, n)
		l := Partition(rows, spare, column, &right)
		if l != len(left) || !slices.Equal(rows[:l], left) || !slices.Equal(spare[:n-l], gone) {
			t.Errorf("%d rows: %v and %v, want %v and %v", n, rows[:l], spare[:n-l], left, gone)
		}
	}
}

// Exp against arbitrary precision: e^x by repeated squaring of Taylor's series.
func TestExp(t *testing.T) {
	exact := func(x float64) *big.Float {
		const prec = 200
		r := new(big.Float).SetPrec(prec).SetFloat64(x / 1024)
		sum, term := big.NewFloat(1).SetPrec(prec), big.NewFloat(1).SetPrec(prec)
		for k := 1; k < 60; k++ {
			term.Mul(term, r).Quo(term, new(big.Float).SetPrec(prec).SetInt64(int64(k)))
			sum.Add(sum, term)
		}
		for range 10 {
			sum.Mul(sum, sum)
		}
		return sum
	}
	r := rand.New(rand.NewPCG(5, 2))
	for range 3000 {
		x := r.NormFloat64() * []float64{1e-8, .3, 3, 30, 200}[r.IntN(5)]
		x = max(-690, min(x, 690))
		want, _ := exact(x).Float64()
		if got := Exp(x); math.Abs(got-want) > 2*(math.Nextafter(want, math.Inf(1))-want) {
			t.Fatalf("Exp(%v) = %v, want %v", x, got, want)
		}
	}
	if Exp(0) != 1 || Sigmoid(0) != .5 || Sigmoid(40) != 1 || !(Sigmoid(-700) > 0) || Exp(1e9) != Exp(700) || Exp(-1e9) != Exp(-700) {
		t.Error("Exp or Sigmoid is wrong at 0 or at its limits")
	}
}

// Assembly and Go give the same bits, and both are the gradients of the log-loss.
func TestLogistic(t *testing.T) {
	r := rand.New(rand.NewPCG(7, 2))
	for _, n := range []int{0, 1, 3, 4, 5, 8, 1003} {
		score, y, w := make([]float64, n), make([]float64, n), make([]float64, n)
		for i := range n {
			score[i], y[i], w[i] = r.NormFloat64()*[]float64{.1, 3, 40, 1000}[r.IntN(4)], float64(r.IntN(2)), 5*r.Float64()
		}
		for _, weights := range [][]float64{nil, w} {
			top := 1.
			if weights != nil {
				top = 5
			}
			s := NewScale(top, top/4)
			fine, coarse := make([]int64, n), make([]int32, n)
			fineGo, coarseGo := make([]int64, n), make([]int32, n)
			Logistic(fine, coarse, score, y, weights, s)
			logisticGo(fineGo, coarseGo, score, y, weights, s)
			if !slices.Equal(fine, fineGo) || !slices.Equal(coarse, coarseGo) {
				t.Fatalf("%d rows: the kernels differ", n)
			}
			for i := range n {
				wi := 1.
				if weights != nil {
					wi = w[i]
				}
				p := 1 / (1 + math.Exp(-score[i]))
				g, h := s.Fine(Unpack(fine[i]))
				if math.Abs(g-wi*(p-y[i])) > 1e-9*top || math.Abs(h-wi*p*(1-p)) > 1e-9*top {
					t.Fatalf("score %v, label %v, weight %v: gradients %v, %v", score[i], y[i], wi, g, h)
				}
				g, h = s.Coarse(Sums{int64(coarse[i] >> 16), int64(coarse[i] & 0xffff)})
				if math.Abs(g-wi*(p-y[i])) > 1e-4*top || math.Abs(h-wi*p*(1-p)) > 2e-5*top || coarse[i]&0xffff == 0 {
					t.Fatalf("score %v, label %v, weight %v: coarse gradients %v, %v", score[i], y[i], wi, g, h)
				}
			}
		}
	}
}

// NewScale is a power of two that fills, and does not overflow, the fields.
func TestNewScale(t *testing.T) {
	for _, m := range []float64{1e-200, 1e-9, .25, .3, 1, 1.5, 2, 7, 1e6, 1e200} {
		s := NewScale(m, m)
		var fine int64
		var coarse int32
		for _, g := range []float64{m, -m} {
			Quantise(&fine, &coarse, g, m, s)
			gotG, gotH := s.Fine(Unpack(fine))
			if math.Abs(gotG-g) > m/(1<<29) || math.Abs(gotH-m) > m/(1<<29) {
				t.Errorf("%v became %v and %v", g, gotG, gotH)
			}
			gotG, gotH = s.Coarse(Sums{int64(coarse >> 16), int64(coarse & 0xffff)})
			if math.Abs(gotG-g) > m/(1<<13) || math.Abs(gotH-m) > m/(1<<13) {
				t.Errorf("%v became, coarsely, %v and %v", g, gotG, gotH)
			}
		}
	}
}

// Derivatives of the Tweedie deviance by differences.
func TestTweedie(t *testing.T) {
	loss := func(s, y, p float64) float64 {
		return -y*math.Exp((1-p)*s)/(1-p) + math.Exp((2-p)*s)/(2-p)
	}
	for _, p := range []float64{1.1, 1.5, 1.9} {
		for _, y := range []float64{0, .5, 30} {
			for _, s := range []float64{-2, 0, 3} {
				const d = 1e-4
				g, h := Tweedie(s, y, p)
				if want := (loss(s+d, y, p) - loss(s-d, y, p)) / (2 * d); math.Abs(g-want) > 1e-6*(1+math.Abs(want)) {
					t.Errorf("gradient at %v, %v, %v is %v, want %v", s, y, p, g, want)
				}
				if want := (loss(s+d, y, p) - 2*loss(s, y, p) + loss(s-d, y, p)) / (d * d); math.Abs(h-want) > 1e-5*(1+math.Abs(want)) {
					t.Errorf("Hessian at %v, %v, %v is %v, want %v", s, y, p, h, want)
				}
			}
		}
	}
}

func BenchmarkHistogram(b *testing.B) {
	const n, columns = 1_000_000, 40
	r := rand.New(rand.NewPCG(9, 2))
	bins, _, grad := sample(r, n, columns)
	for _, every := range []int{1, 4, 31} {
		var rows []uint32
		for i := range n {
			if r.IntN(every) == 0 {
				rows = append(rows, uint32(i))
			}
		}
		hist := make([]Packed, columns)
		for _, k := range []struct {
			name string
			f    func([]Packed, []byte, int, []uint32, []int32)
		}{{"best", Histogram}, {"go", histogramGo}} {
			b.Run(fmt.Sprintf("rows=1of%d/kernel=%s", every, k.name), func(b *testing.B) {
				for b.Loop() {
					clear(hist)
					k.f(hist, bins, columns, rows, grad)
				}
				b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(b.N)/float64(len(rows)*columns), "ns/update")
			})
		}
	}
}

func BenchmarkLogistic(b *testing.B) {
	const n = 1 << 16
	r := rand.New(rand.NewPCG(9, 2))
	score, y := make([]float64, n), make([]float64, n)
	for i := range score {
		score[i], y[i] = r.NormFloat64(), float64(r.IntN(2))
	}
	fine, coarse := make([]int64, n), make([]int32, n)
	for _, k := range []struct {
		name string
		f    func([]int64, []int32, []float64, []float64, []float64, Scale)
	}{{"best", Logistic}, {"go", logisticGo}} {
		b.Run("kernel="+k.name, func(b *testing.B) {
			for b.Loop() {
				k.f(fine, coarse, score, y, nil, NewScale(1, .25))
			}
			b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(b.N)/n, "ns/row")
		})
	}
}
