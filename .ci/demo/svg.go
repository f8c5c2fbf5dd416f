//go:build linux

package main

import (
	"fmt"
	"html"
	"strings"
)

// A cell of the picture's font, in pixels, and the room around the text.
const (
	cellWidth  = 8.4
	lineHeight = 19
	margin     = 16
	bar        = 26 // the window's bar
	font       = "ui-monospace,SFMono-Regular,Menlo,Consolas,DejaVu Sans Mono,monospace"
)

// draw makes a film of frames that needs no script: the frames stand below each other, and
// an animation in steps shows one of them at a time. A reader who asked for less motion, and one who
// draws no animation, sees the last.
func draw(frames []frame, cols, rows int) string {
	width := float64(cols)*cellWidth + 2*margin
	height := rows*lineHeight + 2*margin
	var s strings.Builder
	fmt.Fprintf(&s, `<svg xmlns="http://www.w3.org/2000/svg" xml:space="preserve" viewBox="0 0 %.0f %d" width="%.0f" height="%d" role="img" aria-label="zcp in a terminal" fill="#adbac7" font-size="14" font-family="%s">`+"\n",
		width, height+bar, width, height+bar, font)
	s.WriteString(style(frames, height))
	fmt.Fprintf(&s, `<rect width="%.0f" height="%d" rx="8" fill="#1c2128"/>`, width, height+bar)
	for i, colour := range []string{"#f47067", "#e0b450", "#6bc46d"} {
		fmt.Fprintf(&s, `<circle cx="%d" cy="%d" r="5.5" fill="%s"/>`, margin+4+i*18, bar/2+2, colour)
	}
	fmt.Fprintf(&s, "\n<svg y=\"%d\" width=\"%.0f\" height=\"%d\"><g class=\"film\" transform=\"translate(0 %d)\">\n", bar, width, height, -(len(frames)-1)*height)
	names := map[string]int{}
	for i, f := range frames {
		for y, line := range f.lines {
			if line != "" {
				drawLine(&s, names, line, i*height+margin+(y+1)*lineHeight-5)
			}
		}
	}
	s.WriteString("</g></svg></svg>\n")
	return s.String()
}

// drawLine draws a line once and refers to it afterwards.
func drawLine(s *strings.Builder, names map[string]int, line string, y int) {
	name, drawn := names[line]
	if drawn {
		fmt.Fprintf(s, "<use href=\"#l%d\" y=\"%d\"/>\n", name, y)
		return
	}
	names[line] = len(names)
	// The line's own y stays 0, so that a reference moves it to where it belongs.
	class, text := "", html.EscapeString(line)
	if strings.HasPrefix(line, "$ #") {
		class = ` class="remark"`
	} else if command, ok := strings.CutPrefix(line, "$ "); ok {
		class, text = ` class="typed"`, `<tspan class="prompt">$ </tspan>`+html.EscapeString(command)
	} else if strings.HasPrefix(line, "zcp:") {
		class = ` class="zcp"`
	}
	fmt.Fprintf(s, "<g transform=\"translate(0 %d)\"><text id=\"l%d\" x=\"%d\"%s>%s</text></g>\n", y, names[line], margin, class, text)
}

// style holds the colours and the film's timing.
func style(frames []frame, height int) string {
	var s strings.Builder
	s.WriteString(`<style>
text{white-space:pre}.typed{fill:#f0f3f6;font-weight:600}.remark{fill:#768390}.prompt{fill:#6bc46d}.zcp{fill:#96d0ff}
`)
	last := len(frames) - 1
	if last > 0 {
		total := frames[last].at + rest
		fmt.Fprintf(&s, "@media (prefers-reduced-motion:no-preference){.film{animation:film %.2fs steps(1,end) infinite}}\n@keyframes film{", total.Seconds())
		for i, f := range frames {
			fmt.Fprintf(&s, "%.3f%%{transform:translateY(-%dpx)}", f.at.Seconds()/total.Seconds()*100, i*height)
		}
		fmt.Fprintf(&s, "100%%{transform:translateY(-%dpx)}}\n", last*height)
	}
	s.WriteString("</style>\n")
	return s.String()
}
