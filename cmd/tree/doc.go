// Package tree sends a directory as one POSIX pax stream.
//
// A stream is a sequence of segments: headers, which archive/tar writes; bodies, which are ranges
// of files and go by the cheapest path the kernel has; and padding. Headers and small bodies are
// gathered into one write. Opening, fstat(2) and the reading of small files run ahead of the sender.
package tree
