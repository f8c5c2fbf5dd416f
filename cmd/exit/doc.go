// Package exit says what an error means to the user: the words, a hint and the exit status.
//
// [Classify] is the one place where an errno, a timeout or a reset becomes all three, for
// every command. The package knows errors only by errno, by Timeout() bool and by the place
// where they came up, and it never ends the process.
package exit
