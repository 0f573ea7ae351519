//go:build amd64 && !purego

#include "textflag.h"

// Comparisons of a value with a threshold: greater, which is false of NaN; not less or
// equal, which is true of it.
#define GREATER  $0x1E
#define NOTBELOW $0x06

// Four rows' values of a column: BX is where the first one's lies.
#define GATHER(x, y) \
	VMOVSD      (BX), x              \
	VMOVHPD     (BX)(R11*1), x, x    \
	VMOVSD      (BX)(R11*2), X2      \
	VMOVHPD     (BX)(R12*1), X2, X2  \
	VINSERTF128 $1, X2, y, y

// The nodes from DI on whose threshold is below the limit X15: where the condition holds
// for a row, the leaves on their left are taken from its bits of their tree.
#define NODES(condition, next, done) \
	VUCOMISD     (DI), X15             \
	JLS          done                  \
	PCALIGN      $32                   \
next:                                      \
	VBROADCASTSD (DI), Y2              \
	VPBROADCASTD 8(DI), Y6             \
	MOVL         12(DI), AX            \
	VCMPPD       condition, Y2, Y0, Y3 \
	VCMPPD       condition, Y2, Y1, Y4 \
	ADDQ         $16, DI               \
	VSHUFPS      $0x88, Y4, Y3, Y5     \
	VPAND        Y6, Y5, Y5            \
	VPANDN       (SI)(AX*1), Y5, Y5    \
	VMOVDQU      Y5, (SI)(AX*1)        \
	VUCOMISD     (DI), X15             \
	JHI          next                  \
done:

// func strike(columns *column, n int, rows *float64, stride int, left *uint32)
//
// R8 columns to come, R9 how many, R10 rows, R11 stride, R12 three of it, SI bits.
// Y0 and Y1 the rows' values, X15 the limit, Y14 -Inf, X13 +Inf.
TEXT ·strike(SB), NOSPLIT, $0-40
	MOVQ         columns+0(FP), R8
	MOVQ         n+8(FP), R9
	MOVQ         rows+16(FP), R10
	MOVQ         stride+24(FP), R11
	MOVQ         left+32(FP), SI
	LEAQ         (R11)(R11*2), R12
	MOVQ         $0xFFF0000000000000, AX
	VMOVQ        AX, X14
	VBROADCASTSD X14, Y14
	MOVQ         $0x7FF0000000000000, AX
	VMOVQ        AX, X13

column:
	MOVQ (R8), BX
	ADDQ R10, BX
	GATHER(X0, Y0)
	LEAQ (BX)(R11*4), BX
	GATHER(X1, Y1)

	// The greatest of them, NaN counting for nothing: of two operands one of which is
	// NaN, the instruction returns the second.
	VMAXPD       Y14, Y0, Y7
	VMAXPD       Y14, Y1, Y8
	VMAXPD       Y7, Y8, Y7
	VEXTRACTF128 $1, Y7, X8
	VMAXPD       X7, X8, X7
	VPERMILPD    $1, X7, X8
	VMAXSD       X7, X8, X15
	MOVQ         8(R8), DI
	NODES(GREATER, nextleft, left)

	// NaN is beyond every threshold here.
	VCMPPD    $3, Y0, Y0, Y7
	VCMPPD    $3, Y1, Y1, Y8
	VORPD     Y7, Y8, Y7
	VMOVMSKPD Y7, AX
	TESTL     AX, AX
	JEQ       known
	VMOVAPD   X13, X15

known:
	MOVQ 16(R8), DI
	NODES(NOTBELOW, nextright, right)
	ADDQ $24, R8
	DECQ R9
	JNE  column
	VZEROUPPER
	RET
