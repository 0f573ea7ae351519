//go:build amd64 && !purego

package masks

import "golang.org/x/sys/cpu"

var available = cpu.X86.HasAVX2

// strike takes away the leaves that a block of rows, so many bytes each, cannot come to;
// there is at least one column.
//
//go:noescape
func strike(columns *column, n int, rows *float64, stride int, left *uint32)
