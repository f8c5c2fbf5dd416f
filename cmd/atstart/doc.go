// Package atstart knows what the process was given before the Go runtime changed it: which of
// the standard descriptors were closed, and whether there is room for the runtime's own. Where there is
// no room for its threads or its memory it says so in place of the runtime.
package atstart
