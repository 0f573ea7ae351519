// Rows32 writes the assembly of models/internal/numeric/rows32, which says what each
// function means. Run it there with `go generate`.
package main

import (
	. "github.com/mmcloughlin/avo/build"
	. "github.com/mmcloughlin/avo/operand"
	"github.com/mmcloughlin/avo/reg"
)

func main() {
	ConstraintExpr("amd64,!purego")
	moments()
	add()
	distances()
	Generate()
}

func at(base reg.Register, disp int) Mem { return Mem{Base: base, Disp: disp} }

// moments goes down four columns at a time, whose sums stay in registers. Nothing is
// fused: each operation rounds as it does in Go.
func moments() {
	TEXT("momentsAVX2", NOSPLIT, "func(x *float32, origin *float64, sum *float64, square *float64, extent *float64, rows int, d int, fours int)")
	Pragma("noescape")
	Doc("momentsAVX2 is Moments of the first 4·fours columns.")
	x := Load(Param("x"), GP64())
	origin := Load(Param("origin"), GP64())
	sum := Load(Param("sum"), GP64())
	square := Load(Param("square"), GP64())
	extent := Load(Param("extent"), GP64())
	stride := Load(Param("d"), GP64())
	SHLQ(U8(2), stride)
	fours := Load(Param("fours"), GP64())
	sign := YMM()
	VPCMPEQD(sign, sign, sign)
	VPSRLQ(U8(1), sign, sign) // all bits but the sign's
	row, left := GP64(), GP64()
	Label("four")
	o, s, q, e := YMM(), YMM(), YMM(), YMM()
	VMOVUPD(at(origin, 0), o)
	VMOVUPD(at(sum, 0), s)
	VMOVUPD(at(square, 0), q)
	VMOVUPD(at(extent, 0), e)
	MOVQ(x, row)
	Load(Param("rows"), left)
	Label("row")
	t, t2 := YMM(), YMM()
	VCVTPS2PD(at(row, 0), t)
	VSUBPD(o, t, t)
	VADDPD(t, s, s)
	VMULPD(t, t, t2)
	VADDPD(t2, q, q)
	VANDPD(sign, t, t)
	VMAXPD(e, t, e) // e where t is NaN
	ADDQ(stride, row)
	DECQ(left)
	JNZ(LabelRef("row"))
	VMOVUPD(s, at(sum, 0))
	VMOVUPD(q, at(square, 0))
	VMOVUPD(e, at(extent, 0))
	ADDQ(U8(16), x)
	for _, p := range []reg.Register{origin, sum, square, extent} {
		ADDQ(U8(32), p)
	}
	DECQ(fours)
	JNZ(LabelRef("four"))
	VZEROUPPER()
	RET()
}

// add goes row by row; the totals of a few clusters stay in the cache.
func add() {
	TEXT("addAVX2", NOSPLIT, "func(total *float64, x *float32, labels *uint16, origin *float64, magic *float64, rows int, d int, fours int)")
	Pragma("noescape")
	Doc("addAVX2 is Add of the first 4·fours columns.")
	total := Load(Param("total"), GP64())
	x := Load(Param("x"), GP64())
	labels := Load(Param("labels"), GP64())
	origin := Load(Param("origin"), GP64())
	magic := Load(Param("magic"), GP64())
	rows := Load(Param("rows"), GP64())
	d := Load(Param("d"), GP64())
	fours := Load(Param("fours"), GP64())
	to, j := GP64(), GP64()
	Label("row")
	MOVWLZX(at(labels, 0), to.As32())
	IMULQ(d, to)
	LEAQ(Mem{Base: total, Index: to, Scale: 8}, to)
	XORQ(j, j)
	Label("four")
	t, m := YMM(), YMM()
	VCVTPS2PD(Mem{Base: x, Index: j, Scale: 4}, t)
	VSUBPD(Mem{Base: origin, Index: j, Scale: 8}, t, t)
	VMOVUPD(Mem{Base: magic, Index: j, Scale: 8}, m)
	VADDPD(m, t, t)
	VSUBPD(m, t, t)
	VADDPD(Mem{Base: to, Index: j, Scale: 8}, t, t)
	VMOVUPD(t, Mem{Base: to, Index: j, Scale: 8})
	ADDQ(U8(4), j)
	end := GP64()
	LEAQ(Mem{Base: fours, Index: fours, Scale: 1}, end)
	ADDQ(end, end)
	CMPQ(j, end)
	JLT(LabelRef("four"))
	LEAQ(Mem{Base: x, Index: d, Scale: 4}, x)
	ADDQ(U8(2), labels)
	DECQ(rows)
	JNZ(LabelRef("row"))
	VZEROUPPER()
	RET()
}

// distances adds up four columns side by side, and then the four sums.
func distances() {
	TEXT("distancesAVX2", NOSPLIT, "func(out *float64, x *float32, labels *uint16, centres *float64, rows int, d int, fours int)")
	Pragma("noescape")
	Doc("distancesAVX2 is Distances over the first 4·fours columns.")
	out := Load(Param("out"), GP64())
	x := Load(Param("x"), GP64())
	labels := Load(Param("labels"), GP64())
	centres := Load(Param("centres"), GP64())
	rows := Load(Param("rows"), GP64())
	d := Load(Param("d"), GP64())
	end := Load(Param("fours"), GP64())
	SHLQ(U8(2), end)
	c, j := GP64(), GP64()
	Label("row")
	MOVWLZX(at(labels, 0), c.As32())
	IMULQ(d, c)
	LEAQ(Mem{Base: centres, Index: c, Scale: 8}, c)
	s := YMM()
	VXORPD(s, s, s)
	XORQ(j, j)
	Label("four")
	t := YMM()
	VCVTPS2PD(Mem{Base: x, Index: j, Scale: 4}, t)
	VSUBPD(Mem{Base: c, Index: j, Scale: 8}, t, t)
	VMULPD(t, t, t)
	VADDPD(t, s, s)
	ADDQ(U8(4), j)
	CMPQ(j, end)
	JLT(LabelRef("four"))
	high, swapped := XMM(), XMM()
	VEXTRACTF128(U8(1), s, high)
	VADDPD(high, s.AsX(), high) // 0+2, 1+3
	VPERMILPD(U8(1), high, swapped)
	VADDSD(swapped, high, high)
	VMOVSD(high, at(out, 0))
	ADDQ(U8(8), out)
	LEAQ(Mem{Base: x, Index: d, Scale: 4}, x)
	ADDQ(U8(2), labels)
	DECQ(rows)
	JNZ(LabelRef("row"))
	VZEROUPPER()
	RET()
}
