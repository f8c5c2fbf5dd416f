//go:build !go1.28

#include "textflag.h"

// See entry_linux_amd64.s.
TEXT _rt0_arm64_linux(SB),NOSPLIT|NOFRAME|DUPOK,$0
	MOVD	$0, R10
	MOVD	$0, R9
	MOVD	$1, R11
next:
	MOVD	R9, R0
	MOVD	$1, R1		// F_GETFD
	MOVD	$25, R8		// fcntl(2)
	SVC
	CMN	$9, R0		// EBADF
	BNE	open
	ORR	R11, R10, R10
open:
	LSL	$1, R11, R11
	ADD	$1, R9, R9
	CMP	$3, R9
	BNE	next
	MOVW	R10, ·closed(SB)
	JMP	_rt0_arm64(SB)
