// Package gram adds up zᵀz, the Gram matrix of the columns of z, which is nearly all the
// work of a Newton step on many columns.
//
// Every element of the sum is a chain of fused multiplications and additions, a row of
// z after the other, so each way of computing it gives the same bits.
package gram

import "math"

// wide is how many columns of the sum are kept in registers at once.
const wide = 12

// Stride is the least stride of matrices of k columns: Add reads and writes whole
// registers.
func Stride(k int) int { return ceil4(k) + wide - 4 }

func ceil4(k int) int { return (k + 3) &^ 3 }

// Len is the length of the sum for k columns.
func Len(k int) int { return ceil4(k) * Stride(k) }

// Add adds zᵀz to the upper triangle of h, where z has so many rows of k columns. A row
// of either takes Stride(k), and those of z are 0 behind the k-th column. What else is in
// h, it may change.
func Add(h, z []float64, k, rows int) {
	if k == 0 || rows == 0 {
		return
	}
	_, _ = h[Len(k)-1], z[rows*Stride(k)-1]
	if !addAssembled(h, z, k, rows) {
		addPlain(h, z, k, rows)
	}
}

func addPlain(h, z []float64, k, rows int) {
	stride := Stride(k)
	for a := range k {
		sum := h[a*stride+a:][:k-a]
		i := 0
		for ; i+4 <= rows; i += 4 {
			y0, y1, y2, y3 := z[i*stride+a:], z[(i+1)*stride+a:], z[(i+2)*stride+a:], z[(i+3)*stride+a:]
			y0, y1, y2, y3 = y0[:len(sum)], y1[:len(sum)], y2[:len(sum)], y3[:len(sum)]
			x0, x1, x2, x3 := y0[0], y1[0], y2[0], y3[0]
			for b, s := range sum {
				sum[b] = math.FMA(x3, y3[b], math.FMA(x2, y2[b], math.FMA(x1, y1[b], math.FMA(x0, y0[b], s))))
			}
		}
		for ; i < rows; i++ {
			y := z[i*stride+a:][:len(sum)]
			for b, s := range sum {
				sum[b] = math.FMA(y[0], y[b], s)
			}
		}
	}
}
