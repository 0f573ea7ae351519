//go:build amd64 && !purego

#include "textflag.h"

// One column: the bin's byte, then the entry. A histogram is 2112 bytes.
#define ADD(c) \
	MOVBLZX c(R13), AX \
	ADDQ    R12, (c*2112)(BX)(AX*8)

// func histogramASM(hist *Packed, columns int, bins *byte, stride int, rows *uint32, n int, grad *int32)
//
// DI hist, SI bins, R8 stride, DX rows to come, CX how many, R9 grad.
// Within a row: R12 its gradients, R13 its bins to come, BX their histograms.
TEXT ·histogramASM(SB), NOSPLIT, $0-56
	MOVQ hist+0(FP), DI
	MOVQ bins+16(FP), SI
	MOVQ stride+24(FP), R8
	MOVQ rows+32(FP), DX
	MOVQ n+40(FP), CX
	MOVQ grad+48(FP), R9

row:
	// Fetch what the sixteenth row from here needs into the second-level cache.
	// The first level has no room: it holds histograms.
	CMPQ        CX, $16
	JLE         add
	MOVL        64(DX), R11
	PREFETCHT1  (R9)(R11*4)
	IMULQ       R8, R11
	ADDQ        SI, R11
	MOVQ        columns+8(FP), R10
	PREFETCHT1  (R11)
	PREFETCHT1  -1(R11)(R10*1)
	CMPQ        R10, $64
	JLE         add
	PREFETCHT1  64(R11)
	PREFETCHT1  -65(R11)(R10*1)

add:
	MOVL    (DX), R13
	MOVLQSX (R9)(R13*4), R12
	MOVWQZX R12, R11
	SARQ    $16, R12
	SHLQ    $32, R12
	ORQ     R11, R12
	IMULQ   R8, R13
	ADDQ    SI, R13
	MOVQ    DI, BX
	MOVQ    columns+8(FP), R10
	SUBQ    $8, R10
	JLT     last

eight:
	ADD(0)
	ADD(1)
	ADD(2)
	ADD(3)
	ADD(4)
	ADD(5)
	ADD(6)
	ADD(7)
	ADDQ $8, R13
	ADDQ $16896, BX
	SUBQ $8, R10
	JGE  eight

last:
	ADDQ $8, R10
	JEQ  next

one:
	ADD(0)
	INCQ R13
	ADDQ $2112, BX
	DECQ R10
	JNE  one

next:
	ADDQ $4, DX
	DECQ CX
	JNE  row
	RET

// Constants, four lanes each.
#define QUAD(name, value) \
	DATA name<>+0(SB)/8, value \
	DATA name<>+8(SB)/8, value \
	DATA name<>+16(SB)/8, value \
	DATA name<>+24(SB)/8, value \
	GLOBL name<>(SB), RODATA|NOPTR, $32

QUAD(limit, $700.0)
QUAD(least, $-700.0)
QUAD(log2e, $0x3ff71547652b82fe)
QUAD(magic, $0x4338000000000000)
QUAD(ln2Hi, $0x3fe62e42fefa0000)
QUAD(ln2Lo, $0x3d7cf79abc9e3b3a)
QUAD(bias, $1023)
QUAD(unity, $1.0)
QUAD(signs, $0x8000000000000000)
QUAD(low32, $0x00000000ffffffff)
QUAD(low16, $0x000000000000ffff)
QUAD(shrink, $0x3ef0000000000000) // 2^-16
DATA pick<>+0(SB)/8, $0x0000000200000000
DATA pick<>+8(SB)/8, $0x0000000600000004
DATA pick<>+16(SB)/8, $0x0000000200000000
DATA pick<>+24(SB)/8, $0x0000000600000004
GLOBL pick<>(SB), RODATA|NOPTR, $32

#define TERM(c) \
	VMULPD       Y3, Y4, Y4 \
	VBROADCASTSD ·taylor+(c*8)(SB), Y5 \
	VADDPD       Y5, Y4, Y4

// func logisticAVX2(fine *int64, coarse *int32, score, y, w *float64, n int, scaleG, scaleH float64)
//
// No fused multiplication: each step rounds as Exp, Sigmoid and quantise do.
TEXT ·logisticAVX2(SB), NOSPLIT, $0-64
	MOVQ         fine+0(FP), DI
	MOVQ         coarse+8(FP), SI
	MOVQ         score+16(FP), DX
	MOVQ         y+24(FP), R8
	MOVQ         w+32(FP), R9
	MOVQ         n+40(FP), CX
	VBROADCASTSD scaleG+48(FP), Y12
	VBROADCASTSD scaleH+56(FP), Y13
	VMULPD       shrink<>(SB), Y12, Y10 // coarse scales
	VMULPD       shrink<>(SB), Y13, Y11
	VMOVUPD      magic<>(SB), Y14
	VMOVUPD      unity<>(SB), Y9
	VMOVDQU      low32<>(SB), Y8
	XORQ         AX, AX

four:
	// e^-score
	VMOVUPD (DX)(AX*8), Y0
	VXORPD  signs<>(SB), Y0, Y0
	VMINPD  limit<>(SB), Y0, Y0
	VMAXPD  least<>(SB), Y0, Y0
	VMULPD  log2e<>(SB), Y0, Y1
	VADDPD  Y14, Y1, Y1              // k
	VSUBPD  Y14, Y1, Y2              // n
	VMULPD  ln2Hi<>(SB), Y2, Y3
	VSUBPD  Y3, Y0, Y3
	VMULPD  ln2Lo<>(SB), Y2, Y4
	VSUBPD  Y4, Y3, Y3               // r
	VBROADCASTSD ·taylor(SB), Y4
	TERM(1)
	TERM(2)
	TERM(3)
	TERM(4)
	TERM(5)
	TERM(6)
	TERM(7)
	TERM(8)
	TERM(9)
	TERM(10)
	TERM(11)
	TERM(12)
	TERM(13)
	VPADDQ  bias<>(SB), Y1, Y1
	VPSLLQ  $52, Y1, Y1
	VMULPD  Y1, Y4, Y4

	// p, then g = p-y and h = p(1-p), by the weight
	VADDPD  Y9, Y4, Y4
	VDIVPD  Y4, Y9, Y0               // p
	VSUBPD  (R8)(AX*8), Y0, Y1       // g
	VSUBPD  Y0, Y9, Y2
	VMULPD  Y2, Y0, Y2               // h
	TESTQ   R9, R9
	JEQ     unweighted
	VMULPD  (R9)(AX*8), Y1, Y1
	VMULPD  (R9)(AX*8), Y2, Y2

unweighted:
	VMULPD  Y12, Y1, Y3
	VADDPD  Y14, Y3, Y3
	VPSLLQ  $32, Y3, Y3
	VMULPD  Y13, Y2, Y4
	VADDPD  Y14, Y4, Y4
	VPAND   Y8, Y4, Y4
	VPOR    Y4, Y3, Y3
	VMOVDQU Y3, (DI)(AX*8)

	VMULPD     Y10, Y1, Y1
	VADDPD     Y14, Y1, Y1
	VPSLLQ     $16, Y1, Y1
	VMULPD     Y11, Y2, Y2
	VMAXPD     Y9, Y2, Y2
	VADDPD     Y14, Y2, Y2
	VPAND      low16<>(SB), Y2, Y2
	VPOR       Y2, Y1, Y1
	VMOVDQU    pick<>(SB), Y2
	VPERMD     Y1, Y2, Y1
	VMOVDQU    X1, (SI)(AX*4)

	ADDQ $4, AX
	CMPQ AX, CX
	JLT  four
	VZEROUPPER
	RET
