package completions_test

import (
	"strings"
	"testing"

	"github.com/zcp-go/zcp/completions"
)

func TestForEachShell(t *testing.T) {
	for _, shell := range completions.Shells {
		file, ok := completions.For(shell)
		if !ok || !strings.Contains(file, "zcp") || !strings.HasSuffix(file, "\n") {
			t.Errorf("completions.For(%q) = %d bytes, %v", shell, len(file), ok)
		}
	}
	if file, ok := completions.For("tcsh"); ok || file != "" {
		t.Errorf("completions.For(tcsh) = %q, %v", file, ok)
	}
}
