//go:build !amd64 || purego

package conditions

func meet(met []uint64, column []float64, threshold float64, missing bool, bit uint64) {
	meetGo(met, column, threshold, missing, bit)
}
