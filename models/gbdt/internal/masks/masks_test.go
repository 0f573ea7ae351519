package masks

import (
	"math"
	"math/rand/v2"
	"slices"
	"testing"
)

// grow makes a tree of so many leaves, of any shape.
func grow(r *rand.Rand, leaves, columns int) Tree {
	t := Tree{}
	var leaf int32
	var build func(n int) int32
	build = func(n int) int32 {
		if n == 1 {
			t.Value = append(t.Value, r.NormFloat64())
			leaf++
			return ^(leaf - 1)
		}
		at := len(t.Column)
		t.Column = append(t.Column, int32(r.IntN(columns)))
		t.Threshold = append(t.Threshold, float64(r.IntN(5))-2)
		t.MissingLeft = append(t.MissingLeft, r.IntN(2) == 0)
		t.Left, t.Right = append(t.Left, 0), append(t.Right, 0)
		left := 1 + r.IntN(n-1)
		if r.IntN(3) == 0 {
			left = 1 + (n-2)*r.IntN(2) // a chain
		}
		t.Left[at] = build(left)
		t.Right[at] = build(n - left)
		return int32(at)
	}
	build(leaves)
	return t
}

// down is the value that a row comes to, step by step.
func (t *Tree) down(row []float64) float64 {
	if len(t.Column) == 0 {
		return t.Value[0]
	}
	for at := int32(0); ; {
		v := row[t.Column[at]]
		if v <= t.Threshold[at] || v != v && t.MissingLeft[at] {
			at = t.Left[at]
		} else {
			at = t.Right[at]
		}
		if at < 0 {
			return t.Value[^at]
		}
	}
}

// A row's score is that of going down every tree, to the bit, wherever values are missing,
// endless or at a threshold.
func TestAdd(t *testing.T) {
	if !available {
		t.Skip("the processor lacks the instructions")
	}
	r := rand.New(rand.NewPCG(1, 1))
	special := []float64{math.NaN(), math.Inf(1), math.Inf(-1), 0, math.Copysign(0, -1), -2, -1, 1, 2, math.Nextafter(1, 2), math.Nextafter(1, 0)}
	for round := range 600 {
		columns := 1 + r.IntN(6)
		trees := make([]Tree, r.IntN(12))
		for k := range trees {
			trees[k] = grow(r, 1+r.IntN(MaxLeaves), columns)
		}
		rows, missing := r.IntN(40), r.IntN(3)
		data := make([]float64, rows*columns)
		for i := range data {
			if data[i] = r.NormFloat64(); r.IntN(3) == 0 {
				data[i] = special[r.IntN(len(special))]
			}
			if missing == 0 && data[i] != data[i] {
				data[i] = 0
			}
		}
		want, got := make([]float64, rows), make([]float64, rows)
		for i := range want {
			want[i] = .1 * float64(i)
			got[i] = want[i]
			for k := range trees {
				want[i] += trees[k].down(data[i*columns : (i+1)*columns])
			}
		}
		n := New(trees).Add(got, data, columns)
		if n != rows/Rows*Rows {
			t.Fatalf("round %d: %d of %d rows", round, n, rows)
		}
		if !slices.Equal(got[:n], want[:n]) {
			t.Fatalf("round %d: %v\nwant %v", round, got[:n], want[:n])
		}
	}
}

// What there are no bits for is left to others.
func TestNotForMasks(t *testing.T) {
	r := rand.New(rand.NewPCG(2, 2))
	infinite, nan := grow(r, 4, 2), grow(r, 4, 2)
	infinite.Threshold[1], nan.Threshold[2] = math.Inf(1), math.NaN()
	for name, tree := range map[string]Tree{"33 leaves": grow(r, MaxLeaves+1, 2), "an infinite threshold": infinite, "a threshold that is not a number": nan} {
		f := New([]Tree{grow(r, 3, 2), tree})
		dst := make([]float64, Rows)
		if n := f.Add(dst, make([]float64, 2*Rows), 2); f != nil || n != 0 || dst[0] != 0 {
			t.Errorf("%s: %d rows were scored", name, n)
		}
	}
}

func BenchmarkAdd(b *testing.B) {
	r := rand.New(rand.NewPCG(3, 3))
	const columns, rows = 80, 4096
	trees := make([]Tree, 100)
	for k := range trees {
		trees[k] = grow(r, 31, columns)
		for i := range trees[k].Threshold {
			trees[k].Threshold[i] = r.NormFloat64()
		}
	}
	data := make([]float64, rows*columns)
	for i := range data {
		data[i] = r.NormFloat64()
	}
	f, dst := New(trees), make([]float64, rows)
	for b.Loop() {
		f.Add(dst, data, columns)
	}
	b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(b.N*rows), "ns/row")
}
