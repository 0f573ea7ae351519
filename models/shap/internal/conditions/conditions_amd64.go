//go:build amd64 && !purego

package conditions

import "golang.org/x/sys/cpu"

var hasAVX2 = cpu.X86.HasAVX2

func meet(met []uint64, column []float64, threshold float64, missing bool, bit uint64) {
	switch {
	case !hasAVX2:
		meetGo(met, column, threshold, missing, bit)
	case missing:
		meetNotAbove(&met[0], &column[0], len(column), threshold, bit)
	default:
		meetBelow(&met[0], &column[0], len(column), threshold, bit)
	}
}

//go:noescape
func meetBelow(met *uint64, column *float64, n int, threshold float64, bit uint64)

//go:noescape
func meetNotAbove(met *uint64, column *float64, n int, threshold float64, bit uint64)
