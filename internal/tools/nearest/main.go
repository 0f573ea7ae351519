// Nearest writes the assembly of models/internal/numeric/nearest, which says
// what each function means. Run it there with `go generate`.
package main

import (
	. "github.com/mmcloughlin/avo/build"
	. "github.com/mmcloughlin/avo/operand"
	"github.com/mmcloughlin/avo/reg"
)

// Shapes shared with the Go side: rows a tile and centres a panel.
const (
	tile  = 32
	panel = 8
)

func main() {
	ConstraintExpr("amd64,!purego")
	pack()
	norms()
	scoreAVX2()
	scoreAVX512()
	bounds()
	filterAVX2()
	filterAVX512()
	Generate()
}

func at(base reg.Register, disp int) Mem { return Mem{Base: base, Disp: disp} }

// pack transposes the 32 rows of a tile, four columns of eight rows at a time:
// halves of rows r and r+4 share a register, so that two levels of unpacking
// finish the transposition.
func pack() {
	TEXT("packAVX2", NOSPLIT, "func(t *float32, y *float32, rows *int32, ahead *int32, d int)")
	Pragma("noescape")
	Doc("packAVX2 is pack for d >= 4.")
	t := Load(Param("t"), GP64())
	rows := Load(Param("rows"), GP64())
	ahead := Load(Param("ahead"), GP64())
	group := GP64()
	MOVQ(U32(tile/8), group)
	Label("group")
	y := Load(Param("y"), GP64())
	// Rows that were skipped lie between those that were not, so the processor
	// cannot guess what comes next: it is told.
	width, line, end := GP64(), GP64(), GP64()
	Load(Param("d"), width)
	SHLQ(U8(2), width)
	for r := range 8 {
		name := "line" + string(rune('0'+r))
		MOVLQSX(at(ahead, 4*r), line)
		IMULQ(width, line)
		ADDQ(y, line)
		LEAQ(Mem{Base: line, Index: width, Scale: 1}, end)
		Label(name)
		PREFETCHT0(at(line, 0))
		ADDQ(U8(64), line)
		CMPQ(line, end)
		JCS(LabelRef(name)) // while line < end
		PREFETCHT0(at(end, -1))
	}
	var row [8]reg.GPVirtual
	for r := range row {
		row[r] = GP64()
		MOVLQSX(at(rows, 4*r), row[r])
		stride := Load(Param("d"), GP64())
		IMULQ(stride, row[r])
		LEAQ(Mem{Base: y, Index: row[r], Scale: 4}, row[r])
	}
	// Column j of the group starts at t + 128·j.
	columns := func(j reg.Register, dst reg.Register) {
		var a [4]reg.VecVirtual
		for r := range a {
			a[r] = YMM()
			VMOVUPS(Mem{Base: row[r], Index: j, Scale: 4}, a[r].AsX())
			VINSERTF128(U8(1), Mem{Base: row[r+4], Index: j, Scale: 4}, a[r], a[r])
		}
		t0, t1, t2, t3 := YMM(), YMM(), YMM(), YMM()
		VUNPCKLPS(a[1], a[0], t0)
		VUNPCKHPS(a[1], a[0], t1)
		VUNPCKLPS(a[3], a[2], t2)
		VUNPCKHPS(a[3], a[2], t3)
		out := YMM()
		VUNPCKLPD(t2, t0, out)
		VMOVUPS(out, at(dst, 0))
		out = YMM()
		VUNPCKHPD(t2, t0, out)
		VMOVUPS(out, at(dst, 4*tile))
		out = YMM()
		VUNPCKLPD(t3, t1, out)
		VMOVUPS(out, at(dst, 8*tile))
		out = YMM()
		VUNPCKHPD(t3, t1, out)
		VMOVUPS(out, at(dst, 12*tile))
	}
	j, dst := GP64(), GP64()
	XORQ(j, j)
	MOVQ(t, dst)
	Label("column")
	columns(j, dst)
	ADDQ(U8(4), j)
	ADDQ(U32(16*tile), dst)
	last := Load(Param("d"), GP64())
	SUBQ(U8(4), last)
	CMPQ(j, last)
	JLE(LabelRef("column"))
	// Up to three columns remain; the last four are done again.
	MOVQ(last, j)
	MOVQ(last, dst)
	SHLQ(U8(7), dst)
	ADDQ(t, dst)
	columns(j, dst)
	ADDQ(U8(32), t)
	ADDQ(U8(32), rows)
	ADDQ(U8(32), ahead)
	DECQ(group)
	JNZ(LabelRef("group"))
	VZEROUPPER()
	RET()
}

// norms sums the squares of the columns of every row of every tile.
func norms() {
	TEXT("normsAVX2", NOSPLIT, "func(norm *float32, t *float32, d int, tiles int)")
	Pragma("noescape")
	Doc("normsAVX2 is norms.")
	norm := Load(Param("norm"), GP64())
	t := Load(Param("t"), GP64())
	d := Load(Param("d"), GP64())
	tiles := Load(Param("tiles"), GP64())
	j := GP64()
	Label("tile")
	var acc [4]reg.VecVirtual
	for v := range acc {
		acc[v] = YMM()
		VXORPS(acc[v], acc[v], acc[v])
	}
	MOVQ(d, j)
	Label("column")
	for v := range acc {
		x := YMM()
		VMOVUPS(at(t, 32*v), x)
		VFMADD231PS(x, x, acc[v])
	}
	ADDQ(U32(4*tile), t)
	DECQ(j)
	JNZ(LabelRef("column"))
	for v := range acc {
		VMOVUPS(acc[v], at(norm, 32*v))
	}
	ADDQ(U32(4*tile), norm)
	DECQ(tiles)
	JNZ(LabelRef("tile"))
	VZEROUPPER()
	RET()
}

const scoreSignature = "func(t *float32, c *float32, half *float32, first int32, least *float32, second *float32, which *int32, d int, tiles int)"

// scoreAVX2 holds 16 rows × 4 centres in eight accumulators.
func scoreAVX2() {
	TEXT("scoreAVX2", NOSPLIT, scoreSignature)
	Pragma("noescape")
	Doc("scoreAVX2 is score.")
	t := Load(Param("t"), GP64())
	c := Load(Param("c"), GP64())
	half := Load(Param("half"), GP64())
	least := Load(Param("least"), GP64())
	second := Load(Param("second"), GP64())
	which := Load(Param("which"), GP64())
	d := Load(Param("d"), GP64())
	tiles := Load(Param("tiles"), GP64())
	first := Load(Param("first"), GP64())
	Label("tile")
	j, x, p, number := GP64(), GP64(), GP64(), GP32()
	for h := range 2 {
		for q := range 2 {
			name := "column" + string(rune('0'+2*h+q))
			var acc [4][2]reg.VecVirtual
			for i := range acc {
				acc[i][0], acc[i][1] = YMM(), YMM()
				VBROADCASTSS(at(half, 4*(4*q+i)), acc[i][0])
				VMOVAPS(acc[i][0], acc[i][1])
			}
			LEAQ(at(t, 64*h), x)
			LEAQ(at(c, 16*q), p)
			MOVQ(d, j)
			Label(name)
			x0, x1 := YMM(), YMM()
			VMOVUPS(at(x, 0), x0)
			VMOVUPS(at(x, 32), x1)
			for i := range acc {
				b := YMM()
				VBROADCASTSS(at(p, 4*i), b)
				VFNMADD231PS(b, x0, acc[i][0])
				VFNMADD231PS(b, x1, acc[i][1])
			}
			ADDQ(U32(4*tile), x)
			ADDQ(U8(4*panel), p)
			DECQ(j)
			JNZ(LabelRef(name))
			for v := range 2 {
				at0 := 64*h + 32*v
				m1, m2, w := YMM(), YMM(), YMM()
				VMOVUPS(at(least, at0), m1)
				VMOVUPS(at(second, at0), m2)
				VMOVDQU(at(which, at0), w)
				for i := range acc {
					s := acc[i][v]
					lower, higher, n := YMM(), YMM(), YMM()
					VCMPPS(U8(1), m1, s, lower) // s < m1
					VMAXPS(m1, s, higher)
					VMINPS(higher, m2, m2)
					VMINPS(s, m1, m1)
					LEAL(at(first, 4*q+i), number)
					VMOVD(number, n.AsX())
					VPBROADCASTD(n.AsX(), n)
					VBLENDVPS(lower, n, w, w)
				}
				VMOVUPS(m1, at(least, at0))
				VMOVUPS(m2, at(second, at0))
				VMOVDQU(w, at(which, at0))
			}
		}
	}
	IMUL3Q(U32(4*tile), d, x)
	ADDQ(x, t)
	ADDQ(U32(4*tile), least)
	ADDQ(U32(4*tile), second)
	ADDQ(U32(4*tile), which)
	DECQ(tiles)
	JNZ(LabelRef("tile"))
	VZEROUPPER()
	RET()
}

// scoreAVX512 holds 32 rows × 8 centres in sixteen accumulators.
func scoreAVX512() {
	TEXT("scoreAVX512", NOSPLIT, scoreSignature)
	Pragma("noescape")
	Doc("scoreAVX512 is score.")
	t := Load(Param("t"), GP64())
	c := Load(Param("c"), GP64())
	half := Load(Param("half"), GP64())
	least := Load(Param("least"), GP64())
	second := Load(Param("second"), GP64())
	which := Load(Param("which"), GP64())
	d := Load(Param("d"), GP64())
	tiles := Load(Param("tiles"), GP64())
	first := Load(Param("first"), GP64())
	Label("tile")
	j, x, p, number := GP64(), GP64(), GP64(), GP32()
	var acc [panel][2]reg.VecVirtual
	for i := range acc {
		acc[i][0], acc[i][1] = ZMM(), ZMM()
		VBROADCASTSS(at(half, 4*i), acc[i][0])
		VMOVAPS(acc[i][0], acc[i][1])
	}
	MOVQ(t, x)
	MOVQ(c, p)
	MOVQ(d, j)
	Label("column")
	x0, x1 := ZMM(), ZMM()
	VMOVUPS(at(x, 0), x0)
	VMOVUPS(at(x, 64), x1)
	for i := range acc {
		b := ZMM()
		VBROADCASTSS(at(p, 4*i), b)
		VFNMADD231PS(b, x0, acc[i][0])
		VFNMADD231PS(b, x1, acc[i][1])
	}
	ADDQ(U32(4*tile), x)
	ADDQ(U8(4*panel), p)
	DECQ(j)
	JNZ(LabelRef("column"))
	MOVQ(x, t)
	var m1, m2, w [2]reg.VecVirtual
	for v := range 2 {
		m1[v], m2[v], w[v] = ZMM(), ZMM(), ZMM()
		VMOVUPS(at(least, 64*v), m1[v])
		VMOVUPS(at(second, 64*v), m2[v])
		VMOVDQU32(at(which, 64*v), w[v])
	}
	for i := range acc {
		LEAL(at(first, i), number)
		for v := range 2 {
			s := acc[i][v]
			lower, higher := K(), ZMM()
			VCMPPS(U8(1), m1[v], s, lower) // s < m1
			VMAXPS(m1[v], s, higher)
			VMINPS(higher, m2[v], m2[v])
			VMINPS(s, m1[v], m1[v])
			VPBROADCASTD(number, lower, w[v])
		}
	}
	for v := range 2 {
		VMOVUPS(m1[v], at(least, 64*v))
		VMOVUPS(m2[v], at(second, 64*v))
		VMOVDQU32(w[v], at(which, 64*v))
	}
	ADDQ(U32(4*tile), least)
	ADDQ(U32(4*tile), second)
	ADDQ(U32(4*tile), which)
	DECQ(tiles)
	JNZ(LabelRef("tile"))
	VZEROUPPER()
	RET()
}

// bounds works on eight rows at a time.
func bounds() {
	TEXT("boundsAVX2", NOSPLIT, "func(gap *float32, doubt *uint8, norm *float32, least *float32, second *float32, e *float32, eights int)")
	Pragma("noescape")
	Doc("boundsAVX2 is bounds.")
	gap := Load(Param("gap"), GP64())
	doubt := Load(Param("doubt"), GP64())
	norm := Load(Param("norm"), GP64())
	least := Load(Param("least"), GP64())
	second := Load(Param("second"), GP64())
	e := Load(Param("e"), GP64())
	eights := Load(Param("eights"), GP64())
	var k [5]reg.VecVirtual // root, constant, norm, reach, rounding
	for i := range k {
		k[i] = YMM()
		VBROADCASTSS(at(e, 4*i), k[i])
	}
	zero := YMM()
	VXORPS(zero, zero, zero)
	Label("eight")
	n, m1, m2 := YMM(), YMM(), YMM()
	VMOVUPS(at(norm, 0), n)
	VMOVUPS(at(least, 0), m1)
	VMOVUPS(at(second, 0), m2)
	err := YMM()
	VSQRTPS(n, err)
	VFMADD213PS(k[1], k[0], err)  // root·√n + constant
	VFMADD231PS(k[2], n, err)     // + norm·n
	apart, unsure := YMM(), YMM() // unsure unless m2-m1 > err
	VSUBPS(m1, m2, apart)
	VCMPPS(U8(0x1a), err, apart, unsure)
	mask := GP32()
	VMOVMSKPS(unsure, mask)
	MOVB(mask.As8(), at(doubt, 0))
	VFMADD231PS(k[3], n, err) // + reach·n
	lo, hi := YMM(), YMM()
	VADDPS(m2, m2, lo)
	VADDPS(n, lo, lo)
	VSUBPS(err, lo, lo)
	VMAXPS(zero, lo, lo)
	VSQRTPS(lo, lo)
	VADDPS(m1, m1, hi)
	VADDPS(n, hi, hi)
	VMAXPS(zero, hi, hi)
	VADDPS(err, hi, hi)
	VSQRTPS(hi, hi)
	sum := YMM()
	VADDPS(lo, hi, sum)
	VSUBPS(hi, lo, lo)
	VFNMADD231PS(sum, k[4], lo)
	VMOVUPS(lo, at(gap, 0))
	for _, p := range []reg.GPVirtual{gap.(reg.GPVirtual), norm.(reg.GPVirtual), least.(reg.GPVirtual), second.(reg.GPVirtual)} {
		ADDQ(U8(32), p)
	}
	INCQ(doubt)
	DECQ(eights)
	JNZ(LabelRef("eight"))
	VZEROUPPER()
	RET()
}

const filterSignature = "func(out *int32, gap *float32, label *uint16, limit *float32, blocks int) int"

func filterAVX2() {
	// The bytes of entry m name the lanes that are set in m.
	table := GLOBL("front", RODATA|NOPTR)
	for m := range 256 {
		var order uint64
		n := 0
		for lane := range 8 {
			if m>>lane&1 == 1 {
				order |= uint64(lane) << (8 * n)
				n++
			}
		}
		DATA(8*m, U64(order))
	}
	TEXT("filterAVX2", NOSPLIT, filterSignature)
	Pragma("noescape")
	Doc("filterAVX2 is filter over blocks of 8 rows.")
	out := Load(Param("out"), GP64())
	gap := Load(Param("gap"), GP64())
	label := Load(Param("label"), GP64())
	limit := Load(Param("limit"), GP64())
	blocks := Load(Param("blocks"), GP64())
	front, start := GP64(), GP64()
	LEAQ(table, front)
	MOVQ(out, start)
	row, step := YMM(), YMM()
	iota8(row)
	broadcast(8, step)
	Label("eight")
	l, q, all, g := YMM(), YMM(), YMM(), YMM()
	VPMOVZXWD(at(label, 0), l)
	VPCMPEQD(all, all, all)
	VXORPS(q, q, q)
	VGATHERDPS(all, Mem{Base: limit, Index: l, Scale: 4}, q)
	VMOVUPS(at(gap, 0), g)
	fails := YMM()
	VCMPPS(U8(0x1a), q, g, fails) // not gap > limit
	mask := GP64()
	VMOVMSKPS(fails, mask.As32())
	lanes := YMM()
	VPMOVZXBD(Mem{Base: front, Index: mask, Scale: 8}, lanes)
	VPERMD(row, lanes, lanes)
	VMOVDQU(lanes, at(out, 0))
	POPCNTQ(mask, mask)
	LEAQ(Mem{Base: out, Index: mask, Scale: 4}, out)
	VPADDD(step, row, row)
	ADDQ(U8(32), gap)
	ADDQ(U8(16), label)
	DECQ(blocks)
	JNZ(LabelRef("eight"))
	SUBQ(start, out)
	SHRQ(U8(2), out)
	Store(out, ReturnIndex(0))
	VZEROUPPER()
	RET()
}

func iota8(v reg.VecVirtual) {
	data := GLOBL("lanes", RODATA|NOPTR)
	for i := range 16 {
		DATA(4*i, U32(i))
	}
	VMOVDQU(data, v)
}

func broadcast(n int, v reg.VecVirtual) {
	r := GP32()
	MOVL(U32(n), r)
	VMOVD(r, v.AsX())
	VPBROADCASTD(v.AsX(), v)
}

func filterAVX512() {
	TEXT("filterAVX512", NOSPLIT, filterSignature)
	Pragma("noescape")
	Doc("filterAVX512 is filter over blocks of 16 rows.")
	out := Load(Param("out"), GP64())
	gap := Load(Param("gap"), GP64())
	label := Load(Param("label"), GP64())
	limit := Load(Param("limit"), GP64())
	blocks := Load(Param("blocks"), GP64())
	start := GP64()
	MOVQ(out, start)
	row, step := ZMM(), ZMM()
	data := NewDataAddr(Symbol{Name: "lanes", Static: true}, 0)
	VMOVDQU32(data, row)
	n := GP32()
	MOVL(U32(16), n)
	VPBROADCASTD(n, step)
	Label("sixteen")
	l, q, g, all, fails := ZMM(), ZMM(), ZMM(), K(), K()
	VPMOVZXWD(at(label, 0), l)
	KXNORW(all, all, all)
	VXORPS(q.AsY(), q.AsY(), q.AsY())
	VGATHERDPS(Mem{Base: limit, Index: l, Scale: 4}, all, q)
	VMOVUPS(at(gap, 0), g)
	VCMPPS(U8(0x1a), q, g, fails) // not gap > limit
	some := ZMM()
	VPCOMPRESSD_Z(row, fails, some)
	VMOVDQU32(some, at(out, 0))
	mask := GP64()
	KMOVW(fails, mask.As32())
	POPCNTQ(mask, mask)
	LEAQ(Mem{Base: out, Index: mask, Scale: 4}, out)
	VPADDD(step, row, row)
	ADDQ(U8(64), gap)
	ADDQ(U8(32), label)
	DECQ(blocks)
	JNZ(LabelRef("sixteen"))
	SUBQ(start, out)
	SHRQ(U8(2), out)
	Store(out, ReturnIndex(0))
	VZEROUPPER()
	RET()
}
