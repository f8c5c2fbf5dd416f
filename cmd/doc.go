// Package cmd holds zcp's words: flags, operands, messages, progress.
//
// It knows what a user may type and what comes back, and nothing of how bytes
// move: the bodies of the commands are plugged in as [Commands], so that all of
// this can be tested without moving a byte. It never ends the process; [Run]
// returns an error and [ExitStatus] says what it is worth.
package cmd
