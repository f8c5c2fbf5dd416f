//go:build !go1.28

#include "textflag.h"

// See entry_linux_amd64.s. The last three lines are those of the runtime's.
TEXT _rt0_riscv64_linux(SB),NOSPLIT|NOFRAME|DUPOK,$0
	MOV	$0, S2
	MOV	$0, S3
	MOV	$1, S4
	MOV	$-9, S5		// EBADF
next:
	MOV	S3, A0
	MOV	$1, A1		// F_GETFD
	MOV	$25, A7		// fcntl(2)
	ECALL
	BNE	A0, S5, open
	OR	S4, S2, S2
open:
	SLL	$1, S4, S4
	ADD	$1, S3, S3
	MOV	$3, T0
	BNE	S3, T0, next
	MOVW	S2, ·closed(SB)
	MOV	0(X2), A0	// argc
	ADD	$8, X2, A1	// argv
	JMP	main(SB)
