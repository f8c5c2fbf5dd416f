// Package tree sends a directory as one POSIX pax stream, and unpacks tar streams.
//
// A stream is a sequence of segments: headers; bodies, which are ranges of files and go by the
// cheapest path the kernel has; and padding. The walker opens files ahead of the sender, gathers
// headers and small bodies, and hands them over in batches, which are written as they are. A small
// file takes five system calls here, openat, fstat, pread, fstat and close, and four where it is
// unpacked: openat, write, utimensat and close.
//
// archive/tar writes and reads the headers of all that is unusual. Those of plain files, nearly all of a
// tree, are written and read here, and tests hold the two against each other.
//
// Unpacking goes by descriptors: os.Root resolves the directory of a member, so that no link leads
// out of DST, and what is made in it is made relative to that open directory, with O_NOFOLLOW or
// O_EXCL. No path is ever joined.
package tree
