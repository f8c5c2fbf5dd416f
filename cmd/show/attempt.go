package show

import (
	"fmt"
	"strings"
	"time"
)

// An Attempt is a connection that is being made.
type Attempt struct {
	Target string    // the operand
	Tries  int       // that have failed
	Reason string    // of the last of them: "refused"
	Until  time.Time // when it is given up; zero: the kernel says
}

// String is the attempt in words.
func (a Attempt) String(now time.Time) string { return strings.Join(a.parts(now), ", ") }

// Render writes it for a terminal of that many columns, as much as fits.
func (a Attempt) Render(columns int, now time.Time) string {
	for parts := a.parts(now); len(parts) > 0; parts = parts[:len(parts)-1] {
		if line := strings.Join(parts, ", "); len(line) < columns {
			return line
		}
	}
	return ""
}

func (a Attempt) parts(now time.Time) []string {
	parts := []string{"connecting to " + a.Target}
	if a.Tries > 0 {
		parts = append(parts, a.Reason+" "+times(a.Tries))
	}
	if !a.Until.IsZero() {
		parts = append(parts, seconds(max(0, a.Until.Sub(now)+time.Second-1))+" left")
	}
	return parts
}

// times writes how often something was so.
func times(n int) string {
	if n == 1 {
		return "once"
	}
	return fmt.Sprintf("%d times", n)
}
