package completions

import (
	"strings"
	"testing"
)

func TestForEachShell(t *testing.T) {
	for _, shell := range Shells {
		file, ok := For(shell)
		if !ok || !strings.Contains(file, "zcp") || !strings.HasSuffix(file, "\n") {
			t.Errorf("For(%q) = %d bytes, %v", shell, len(file), ok)
		}
	}
	if file, ok := For("tcsh"); ok || file != "" {
		t.Errorf("For(tcsh) = %q, %v", file, ok)
	}
}
