//go:build amd64 && !purego

package rows32

import "golang.org/x/sys/cpu"

//go:generate go -C ../../../../internal/tools run ./rows32 -out ../../models/internal/numeric/rows32/rows32_amd64.s -stubs ../../models/internal/numeric/rows32/rows32_amd64.go -pkg rows32

var assembled = cpu.X86.HasAVX2

// Each of these works on the first columns, and says how many.

func moments(x []float32, origin, sum, square, extent []float64, rows int) int {
	fours := len(origin) / 4
	if !assembled || fours == 0 {
		return 0
	}
	momentsAVX2(&x[0], &origin[0], &sum[0], &square[0], &extent[0], rows, len(origin), fours)
	return 4 * fours
}

func add(total []float64, x []float32, labels []uint16, origin, magic []float64) int {
	fours := len(origin) / 4
	if !assembled || fours == 0 {
		return 0
	}
	addAVX2(&total[0], &x[0], &labels[0], &origin[0], &magic[0], len(labels), len(origin), fours)
	return 4 * fours
}

func move(total []float64, x []float32, rows []int32, from, labels []uint16, origin, magic []float64) int {
	fours := len(origin) / 4
	if !assembled || fours == 0 {
		return 0
	}
	moveAVX2(&total[0], &x[0], &rows[0], &from[0], &labels[0], &origin[0], &magic[0], len(rows), len(origin), fours)
	return 4 * fours
}

func distances(out []float64, x []float32, labels []uint16, centres []float64, d int) int {
	fours := d / 4
	if !assembled || fours == 0 {
		return 0
	}
	distancesAVX2(&out[0], &x[0], &labels[0], &centres[0], len(labels), d, fours)
	return 4 * fours
}
