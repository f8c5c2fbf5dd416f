// Package cmd is the program zcp: what a user may type, and what comes of it.
//
// conf reads the command line, show prints, files opens SRC and DST, exit gives an error its
// words and status, text writes names and numbers. The files of this package join them to
// package transfer, one file a command. Only main.go ends the process.
package cmd
