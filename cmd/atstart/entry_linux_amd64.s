//go:build !go1.28

#include "textflag.h"

// The entry point of the program, in the place of the runtime's (rt0_linux_amd64.s), to which it goes on.
// The runtime opens /dev/null for the standard descriptors that are closed (checkfds in runtime/fds_unix.go),
// before any Go code of ours can look. The linker takes the larger one of two
// definitions of which one is DUPOK (cmd/link/internal/loader, addSym). That, and what the
// runtime's entry point does, was read for Go 1.26 and 1.27: look again before the line above is
// changed. Without this file Closed is false, and nothing else changes.
TEXT _rt0_amd64_linux(SB),NOSPLIT|NOFRAME|DUPOK,$0
	XORL	R8, R8
	XORL	DI, DI
next:
	MOVL	$72, AX		// fcntl(2)
	MOVL	$1, SI		// F_GETFD
	SYSCALL
	CMPQ	AX, $-9		// EBADF
	JNE	open
	BTSL	DI, R8
open:
	INCL	DI
	CMPL	DI, $3
	JNE	next
	MOVL	R8, ·closed(SB)
	JMP	_rt0_amd64(SB)
