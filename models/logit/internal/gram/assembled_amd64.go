//go:build amd64 && !purego

package gram

import "golang.org/x/sys/cpu"

//go:generate go -C ../../../../internal/tools run ./gram -out ../../models/logit/internal/gram/gram_amd64.s -stubs ../../models/logit/internal/gram/gram_amd64.go -pkg gram

var hasAVX2 = cpu.X86.HasAVX2 && cpu.X86.HasFMA

func addAssembled(h, z []float64, k, rows int) bool {
	if hasAVX2 {
		addAVX2(&h[0], &z[0], Stride(k), ceil4(k), rows)
	}
	return hasAVX2
}
