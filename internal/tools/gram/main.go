// Gram writes the assembly of models/logit/internal/gram, which says what the
// function means. Run it there with `go generate`.
package main

import (
	. "github.com/mmcloughlin/avo/build"
	. "github.com/mmcloughlin/avo/operand"
	"github.com/mmcloughlin/avo/reg"
)

// Shape of what stays in registers, shared with the Go side: so many rows of h by so
// many columns.
const (
	tall = 4
	wide = 12
)

func main() {
	ConstraintExpr("amd64,!purego")
	TEXT("addAVX2", NOSPLIT, "func(h *float64, z *float64, stride int, k int, rows int)")
	Pragma("noescape")
	Doc("addAVX2 is Add; k is a multiple of 4.")
	h := Load(Param("h"), GP64())
	z := Load(Param("z"), GP64())
	stride := Load(Param("stride"), GP64())
	k := Load(Param("k"), GP64())
	SHLQ(U8(3), stride) // all in bytes from here
	SHLQ(U8(3), k)
	a, b, row, left, out := GP64(), GP64(), GP64(), GP64(), GP64()
	XORQ(a, a)
	Label("strip") // rows a to a+3 of h
	MOVQ(a, b)
	Label("tile") // its columns b to b+11
	LEAQ(Mem{Base: h, Index: b, Scale: 1}, out)
	var sum [tall][wide / 4]reg.VecVirtual
	next := GP64()
	MOVQ(out, next)
	for i := range sum {
		for v := range sum[i] {
			sum[i][v] = YMM()
			VMOVUPD(Mem{Base: next, Disp: 32 * v}, sum[i][v])
		}
		ADDQ(stride, next)
	}
	MOVQ(z, row)
	Load(Param("rows"), left)
	Label("row")
	var y [wide / 4]reg.VecVirtual
	for v := range y {
		y[v] = YMM()
		VMOVUPD(Mem{Base: row, Index: b, Scale: 1, Disp: 32 * v}, y[v])
	}
	for i := range sum {
		x := YMM()
		VBROADCASTSD(Mem{Base: row, Index: a, Scale: 1, Disp: 8 * i}, x)
		for v := range y {
			VFMADD231PD(x, y[v], sum[i][v])
		}
	}
	ADDQ(stride, row)
	DECQ(left)
	JNZ(LabelRef("row"))
	for i := range sum {
		for v := range sum[i] {
			VMOVUPD(sum[i][v], Mem{Base: out, Disp: 32 * v})
		}
		ADDQ(stride, out)
	}
	ADDQ(U8(8*wide), b)
	CMPQ(b, k)
	JCS(LabelRef("tile")) // while b < k
	LEAQ(Mem{Base: h, Index: stride, Scale: tall}, h)
	ADDQ(U8(8*tall), a)
	CMPQ(a, k)
	JCS(LabelRef("strip")) // while a < k
	VZEROUPPER()
	RET()
	Generate()
}
