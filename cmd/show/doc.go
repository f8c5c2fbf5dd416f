// Package show prints all that zcp says on stderr: messages, events, the progress line.
//
// A [Printer] holds the rules (prefix, -q, --json, nothing raw on a terminal). A [Progress]
// reads counters beside a transfer, a [Meter] turns them into frames, a frame into a line.
// The package knows nothing of options, operands or the way that bytes move.
package show
