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

// One drawn column: its number, the bin's byte, then the entry.
#define ADDDRAWN(k) \
	MOVBLZX k(R11), AX \
	MOVBLZX (R13)(AX*1), AX \
	ADDQ    R12, (k*2112)(BX)(AX*8)

// func histogramDrawnASM(hist *Packed, drawn *byte, n int, bins *byte, stride int, rows *uint32, nrows int, grad *int32)
//
// DI hist, SI bins, R8 stride, DX rows to come, CX how many, R9 grad.
// Within a row: R12 its gradients, R13 its bins, R11 drawn columns to come, BX their histograms, R10 how many.
TEXT ·histogramDrawnASM(SB), NOSPLIT, $0-64
	MOVQ hist+0(FP), DI
	MOVQ bins+24(FP), SI
	MOVQ stride+32(FP), R8
	MOVQ rows+40(FP), DX
	MOVQ nrows+48(FP), CX
	MOVQ grad+56(FP), R9

drawnrow:
	CMPQ        CX, $16
	JLE         drawnadd
	MOVL        64(DX), R11
	PREFETCHT1  (R9)(R11*4)
	IMULQ       R8, R11
	ADDQ        SI, R11
	PREFETCHT1  (R11)
	PREFETCHT1  -1(R11)(R8*1)
	CMPQ        R8, $64
	JLE         drawnadd
	PREFETCHT1  64(R11)
	PREFETCHT1  -65(R11)(R8*1)

drawnadd:
	MOVL    (DX), R13
	MOVLQSX (R9)(R13*4), R12
	MOVWQZX R12, R11
	SARQ    $16, R12
	SHLQ    $32, R12
	ORQ     R11, R12
	IMULQ   R8, R13
	ADDQ    SI, R13
	MOVQ    DI, BX
	MOVQ    drawn+8(FP), R11
	MOVQ    n+16(FP), R10
	SUBQ    $4, R10
	JLT     drawnlast

drawnfour:
	ADDDRAWN(0)
	ADDDRAWN(1)
	ADDDRAWN(2)
	ADDDRAWN(3)
	ADDQ $4, R11
	ADDQ $8448, BX
	SUBQ $4, R10
	JGE  drawnfour

drawnlast:
	ADDQ $4, R10
	JEQ  drawnnext

drawnone:
	ADDDRAWN(0)
	INCQ R11
	ADDQ $2112, BX
	DECQ R10
	JNE  drawnone

drawnnext:
	ADDQ $4, DX
	DECQ CX
	JNE  drawnrow
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

QUAD(two52, $0x4330000000000000)
QUAD(bias31, $0x4330000080000000) // as a number 2^52 + 2^31
QUAD(nought, $0)
QUAD(fours, $4)
DATA lanes<>+0(SB)/8, $0
DATA lanes<>+8(SB)/8, $1
DATA lanes<>+16(SB)/8, $2
DATA lanes<>+24(SB)/8, $3
GLOBL lanes<>(SB), RODATA|NOPTR, $32

// Sums of the next four bins with all before: Y0 of gradients, Y1 of Hessians, as numbers.
// Y12 has all before.
#define SUMS \
	VMOVDQU    (DI), Y0 \
	VPSLLDQ    $8, Y0, Y1 \
	VPADDQ     Y1, Y0, Y0 \
	VPERM2I128 $0x08, Y0, Y0, Y1 \
	VPSHUFD    $0xee, Y1, Y1 \
	VPADDQ     Y1, Y0, Y0 \
	VPADDQ     Y12, Y0, Y1 \
	VPERMQ     $0xff, Y1, Y12 \
	VPSRLQ     $32, Y1, Y0 \
	VPXOR      bias31<>(SB), Y0, Y0 \
	VSUBPD     bias31<>(SB), Y0, Y0 \
	VPBLENDD   $0xaa, two52<>(SB), Y1, Y1 \
	VSUBPD     two52<>(SB), Y1, Y1

// The score of Y0 and Y1 on the left, kept where it is above best.
#define JUDGE(best, bin) \
	VSUBPD    Y0, Y13, Y2 \
	VMULPD    Y2, Y2, Y2 \
	VSUBPD    Y1, Y14, Y3 \
	VADDPD    Y15, Y3, Y3 \
	VDIVPD    Y3, Y2, Y2 \
	VMULPD    Y0, Y0, Y3 \
	VADDPD    Y15, Y1, Y4 \
	VDIVPD    Y4, Y3, Y3 \
	VADDPD    Y2, Y3, Y2 \
	VCMPPD    $0x1d, 96(SI), Y1, Y3 \
	VCMPPD    $0x12, 128(SI), Y1, Y4 \
	VANDPD    Y4, Y3, Y3 \
	VCMPPD    $0x1e, best, Y2, Y4 \
	VANDPD    Y4, Y3, Y3 \
	VBLENDVPD Y3, Y2, best, best \
	VBLENDVPD Y3, Y5, bin, bin

// func scanAVX2(p *Packed, n int, s *Search, missing bool)
//
// DI bins to come, CX how many, SI the search. Y5 numbers of the bins, Y6 and Y7 the best
// with missing values on the right, Y8 and Y9 on the left, Y10 and Y11 the missing
// values, Y13 to Y15 the leaf's gradients, Hessians and l2.
TEXT ·scanAVX2(SB), NOSPLIT, $0-25
	MOVQ    p+0(FP), DI
	MOVQ    n+8(FP), CX
	MOVQ    s+16(FP), SI
	MOVBLZX missing+24(FP), AX
	VMOVUPD 0(SI), Y13
	VMOVUPD 32(SI), Y14
	VMOVUPD 64(SI), Y15
	VMOVDQU lanes<>(SB), Y5
	VXORPD  Y6, Y6, Y6
	VXORPD  Y7, Y7, Y7
	VXORPD  Y8, Y8, Y8
	VXORPD  Y9, Y9, Y9
	VXORPD  Y12, Y12, Y12
	TESTL   AX, AX
	JNE     both

plain:
	SUMS
	JUDGE(Y6, Y7)
	VPADDQ fours<>(SB), Y5, Y5
	ADDQ   $32, DI
	SUBQ   $4, CX
	JGT    plain
	JMP    done

both:
	VMOVUPD 160(SI), Y10
	VMOVUPD 192(SI), Y11

more:
	SUMS
	JUDGE(Y6, Y7)
	VADDPD Y10, Y0, Y0
	VCMPPD $0x1e, nought<>(SB), Y1, Y2
	VANDPD Y11, Y2, Y2               // no missing values before the first row
	VADDPD Y2, Y1, Y1
	JUDGE(Y8, Y9)
	VPADDQ fours<>(SB), Y5, Y5
	ADDQ   $32, DI
	SUBQ   $4, CX
	JGT    more

done:
	VMOVUPD Y6, 224(SI)
	VMOVDQU Y7, 256(SI)
	VMOVUPD Y8, 288(SI)
	VMOVDQU Y9, 320(SI)
	VZEROUPPER
	RET
