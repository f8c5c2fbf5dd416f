//go:build !go1.28

#include "textflag.h"

// See entry_linux_amd64.s. The last four lines are those of the runtime's.
TEXT _rt0_arm_linux(SB),NOSPLIT|NOFRAME|DUPOK,$0
	MOVW	$0, R4
	MOVW	$0, R5
	MOVW	$1, R6
next:
	MOVW	R5, R0
	MOVW	$1, R1		// F_GETFD
	MOVW	$55, R7		// fcntl(2)
	SWI	$0
	CMN	$9, R0		// EBADF
	ORR.EQ	R6, R4
	MOVW	R6<<1, R6
	ADD	$1, R5
	CMP	$3, R5
	BNE	next
	MOVW	$·closed(SB), R8
	MOVW	R4, (R8)
	MOVW	(R13), R0	// argc
	MOVW	$4(R13), R1	// argv
	MOVW	$_rt0_arm_linux1(SB), R4
	B	(R4)
