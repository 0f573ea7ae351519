//go:build !amd64 || purego

package rows32

func moments([]float32, []float64, []float64, []float64, []float64, int) int { return 0 }

func add([]float64, []float32, []uint16, []float64, []float64) int { return 0 }

func move([]float64, []float32, []int32, []uint16, []uint16, []float64, []float64) int { return 0 }

func distances([]float64, []float32, []uint16, []float64, int) int { return 0 }
