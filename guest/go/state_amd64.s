#include "textflag.h"

// func currentG() uintptr
TEXT ·currentG(SB), NOSPLIT, $0-8
	MOVQ (TLS), AX
	MOVQ AX, ret+0(FP)
	RET

// func variables() (pointers, pointersEnd, others, othersEnd uintptr)
TEXT ·variables(SB), NOSPLIT, $0-32
	LEAQ runtime·data(SB), AX
	MOVQ AX, pointers+0(FP)
	LEAQ runtime·ebss(SB), AX
	MOVQ AX, pointersEnd+8(FP)
	LEAQ runtime·noptrbss(SB), AX
	MOVQ AX, others+16(FP)
	LEAQ runtime·enoptrbss(SB), AX
	MOVQ AX, othersEnd+24(FP)
	RET
