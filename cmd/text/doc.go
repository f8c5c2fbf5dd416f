// Package text writes and reads what people see on a command line: names, sizes, rates,
// durations and counts. It has no state and imports nothing of zcp.
package text
