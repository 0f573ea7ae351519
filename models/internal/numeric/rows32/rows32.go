// Package rows32 adds up rows held as float32, in float64, four columns side by side
// where the processor can. Every path gives the same bits: no product is fused into a
// sum, and sums are taken in the same order. Plain twins are generic, for rows that are
// held as float64.
package rows32

import "math"

// Moments adds to sum, by column, the differences of rows to the origin, to square their
// squares, and raises extent to the largest magnitude of one. Where a value is NaN, or
// infinite, so is the sum.
func Moments(x []float32, origin, sum, square, extent []float64) {
	d := len(origin)
	rows := check(x, d, len(sum), len(square), len(extent))
	if rows == 0 {
		return
	}
	PlainMoments(x, origin, sum, square, extent, moments(x, origin, sum, square, extent, rows))
}

// PlainMoments is Moments from a column on.
func PlainMoments[T float32 | float64](x []T, origin, sum, square, extent []float64, from int) {
	d := len(origin)
	if from == d {
		return
	}
	for ; len(x) >= d; x = x[d:] {
		for j := from; j < d; j++ {
			t := float64(x[j]) - origin[j]
			sum[j] += t
			square[j] += float64(t * t)
			if a := math.Abs(t); a > extent[j] {
				extent[j] = a
			}
		}
	}
}

// Add adds each row's differences to the origin, rounded by magic (see
// numeric.Grid.Magic), to the row of total that its label names.
func Add(total []float64, x []float32, labels []uint16, origin, magic []float64) {
	d := len(origin)
	check(x, d, len(magic))
	within(labels, len(x), len(total), d)
	if len(labels) > 0 {
		PlainAdd(total, x, labels, origin, magic, add(total, x, labels, origin, magic))
	}
}

// PlainAdd is Add from a column on.
func PlainAdd[T float32 | float64](total []float64, x []T, labels []uint16, origin, magic []float64, from int) {
	d := len(origin)
	if from == d {
		return
	}
	for i, l := range labels {
		row, to := x[i*d:i*d+d], total[int(l)*d:int(l)*d+d]
		for j := from; j < d; j++ {
			m := magic[j]
			to[j] += (float64(row[j]) - origin[j] + m) - m
		}
	}
}

// Move takes some rows from the rows of total that from names, as many as rows, and adds
// them as Add does to those that labels, of all rows, name.
func Move(total []float64, x []float32, rows []int32, from, labels []uint16, origin, magic []float64) {
	d := len(origin)
	check(x, d, len(magic))
	if len(from) != len(rows) || len(labels)*d != len(x) {
		panic("rows32: another number of labels than of rows")
	}
	for i, row := range rows { // the assembly trusts them
		if max(int(labels[row]), int(from[i])) >= len(total)/d {
			panic("rows32: a label is out of range")
		}
	}
	if len(rows) > 0 {
		PlainMove(total, x, rows, from, labels, origin, magic, move(total, x, rows, from, labels, origin, magic))
	}
}

// PlainMove is Move from a column on.
func PlainMove[T float32 | float64](total []float64, x []T, rows []int32, from, labels []uint16, origin, magic []float64, first int) {
	d := len(origin)
	if first == d {
		return
	}
	for i, r := range rows {
		row := x[int(r)*d : int(r)*d+d]
		to, off := total[int(labels[r])*d:int(labels[r])*d+d], total[int(from[i])*d:int(from[i])*d+d]
		for j := first; j < d; j++ {
			m := magic[j]
			v := (float64(row[j]) - origin[j] + m) - m
			off[j] -= v
			to[j] += v
		}
	}
}

// Distances sets out to the squared distance of each row to the centre that its label
// names.
func Distances(out []float64, x []float32, labels []uint16, centres []float64, d int) {
	check(x, d)
	within(labels, len(x), len(centres), d)
	if len(out) < len(labels) {
		panic("rows32: out is shorter than labels")
	}
	if len(labels) > 0 {
		PlainDistances(out, x, labels, centres, d, distances(out, x, labels, centres, d))
	}
}

// PlainDistances is Distances from a column on, a multiple of 4; out has the sums of the
// columns before it.
func PlainDistances[T float32 | float64](out []float64, x []T, labels []uint16, centres []float64, d, from int) {
	if from == d {
		return
	}
	for i, l := range labels {
		row, c := x[i*d:i*d+d], centres[int(l)*d:int(l)*d+d]
		sum, j := 0.0, 0
		if from == 0 {
			var s0, s1, s2, s3 float64
			for ; j+4 <= d; j += 4 {
				r, c := row[j:j+4:j+4], c[j:j+4:j+4]
				t0, t1, t2, t3 := float64(r[0])-c[0], float64(r[1])-c[1], float64(r[2])-c[2], float64(r[3])-c[3]
				s0 += float64(t0 * t0)
				s1 += float64(t1 * t1)
				s2 += float64(t2 * t2)
				s3 += float64(t3 * t3)
			}
			sum = (s0 + s2) + (s1 + s3)
		} else {
			sum, j = out[i], from
		}
		for ; j < d; j++ {
			t := float64(row[j]) - c[j]
			sum += float64(t * t)
		}
		out[i] = sum
	}
}

// check says how many rows of d columns x has; the assembly trusts lengths.
func check(x []float32, d int, others ...int) int {
	if d == 0 || len(x)%d != 0 {
		panic("rows32: ragged rows")
	}
	for _, n := range others {
		if n != d {
			panic("rows32: another number of columns")
		}
	}
	return len(x) / d
}

func within(labels []uint16, values, to, d int) {
	if len(labels)*d != values {
		panic("rows32: another number of labels than of rows")
	}
	most := uint16(0)
	for _, l := range labels {
		most = max(most, l)
	}
	if len(labels) > 0 && (int(most)+1)*d > to {
		panic("rows32: a label is out of range")
	}
}
