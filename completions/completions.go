// Package completions embeds zcp's completion files. `zcp completion bash` prints
// them for users who have installed only the binary.
package completions

import _ "embed" // for the files below

//go:embed zcp.bash
var bash string

//go:embed _zcp
var zsh string

//go:embed zcp.fish
var fish string

// Shells are the names that [For] knows.
var Shells = []string{"bash", "zsh", "fish"}

// For returns the completion file of a shell; ok is false if there is none.
func For(shell string) (file string, ok bool) {
	switch shell {
	case "bash":
		return bash, true
	case "zsh":
		return zsh, true
	case "fish":
		return fish, true
	}
	return "", false
}
