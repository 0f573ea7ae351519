//go:build amd64 && !purego

#include "textflag.h"

// Comparisons of a value with a threshold: at most, which is false of NaN; not greater,
// which is true of it.
#define BELOW    $0x12
#define NOTABOVE $0x1A

// Four rows at a time: the comparison's all ones or zeros leave the bit or nothing of it.
#define MEET(comparison, next)             \
	MOVQ         met+0(FP), DI          \
	MOVQ         column+8(FP), SI       \
	MOVQ         n+16(FP), CX           \
	VBROADCASTSD threshold+24(FP), Y1   \
	VPBROADCASTQ bit+32(FP), Y2         \
	SHRQ         $2, CX                 \
	PCALIGN      $32                    \
next:                                       \
	VMOVUPD      (SI), Y0               \
	VCMPPD       comparison, Y1, Y0, Y3 \
	VPAND        Y2, Y3, Y3             \
	VPOR         (DI), Y3, Y3           \
	VMOVDQU      Y3, (DI)               \
	ADDQ         $32, SI                \
	ADDQ         $32, DI                \
	DECQ         CX                     \
	JNE          next                   \
	VZEROUPPER                          \
	RET

// func meetBelow(met *uint64, column *float64, n int, threshold float64, bit uint64)
TEXT ·meetBelow(SB), NOSPLIT, $0-40
	MEET(BELOW, below)

// func meetNotAbove(met *uint64, column *float64, n int, threshold float64, bit uint64)
TEXT ·meetNotAbove(SB), NOSPLIT, $0-40
	MEET(NOTABOVE, notAbove)
