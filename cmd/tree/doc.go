// Package tree sends a directory as one POSIX pax stream, and unpacks tar streams.
//
// A stream is a sequence of segments: headers, which archive/tar writes; bodies, which are ranges
// of files and go by the cheapest path the kernel has; and padding. Headers and small bodies are
// gathered into one write. Opening, fstat(2) and the reading of small files run ahead of the sender.
//
// Unpacking goes by descriptors: os.Root resolves the directory of a member, so that no link leads
// out of DST, and what is made in it is made relative to that open directory, with O_NOFOLLOW or
// O_EXCL. No path is ever joined.
package tree
