//go:build !go1.28

#include "textflag.h"

// See entry_linux_amd64.s.
TEXT _rt0_386_linux(SB),NOSPLIT|NOFRAME|DUPOK,$0
	XORL	DI, DI
	XORL	BX, BX
next:
	MOVL	$55, AX		// fcntl(2)
	MOVL	$1, CX		// F_GETFD
	INT	$0x80
	CMPL	AX, $-9		// EBADF
	JNE	open
	BTSL	BX, DI
open:
	INCL	BX
	CMPL	BX, $3
	JNE	next
	MOVL	DI, ·closed(SB)
	JMP	_rt0_386(SB)
