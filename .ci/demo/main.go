//go:build linux

// Command demo plays a script in a real shell on a pseudo terminal and draws what the
// terminal showed as an animated SVG:
//
//	TMPDIR=/dev/shm go run ./.ci/demo -o .ci/demo/demo.svg .ci/demo/script
//
// The script's lines are typed one after the other, each when the shell asks for it. A
// line that begins with "!" is run unseen before, "@ 1.5" waits so many seconds.
package main

import (
	"flag"
	"fmt"
	"os"
	"strings"
	"time"
)

func main() {
	out := flag.String("o", "demo.svg", "the picture")
	cols := flag.Int("cols", 80, "columns of the terminal")
	rows := flag.Int("rows", 16, "rows of the terminal")
	still := flag.Bool("still", false, "draw only the last frame")
	flag.Parse()
	if flag.NArg() != 1 {
		fmt.Fprintln(os.Stderr, "usage: demo [-o FILE] [-cols N] [-rows N] [-still] SCRIPT")
		os.Exit(2)
	}
	if err := run(flag.Arg(0), *out, *cols, *rows, *still); err != nil {
		fmt.Fprintln(os.Stderr, "demo:", err)
		os.Exit(1)
	}
}

func run(script, out string, cols, rows int, still bool) error {
	text, err := os.ReadFile(script)
	if err != nil {
		return err
	}
	cast, err := record(strings.Split(strings.TrimSpace(string(text)), "\n"), cols, rows)
	if err != nil {
		return err
	}
	frames := cast.frames(cols, rows)
	if still {
		frames = frames[len(frames)-1:]
	}
	return os.WriteFile(out, []byte(draw(frames, cols, rows)), 0o644)
}

// A cast is what a terminal got, and when.
type cast []chunk

type chunk struct {
	at   time.Duration // since the beginning
	text []byte
}

// A frame is what the screen showed from a time on.
type frame struct {
	at    time.Duration
	lines []string
}

// pace is the shortest time between two frames; more cannot be seen.
const pace = 60 * time.Millisecond

// rest is how long the last frame stays before the film begins again.
const rest = 4 * time.Second

// frames plays the cast on a screen and keeps what it shows, at most once a pace.
func (c cast) frames(cols, rows int) []frame {
	scr := newScreen(cols, rows)
	var film []frame
	for i, ch := range c {
		scr.write(ch.text)
		if i+1 < len(c) && c[i+1].at-ch.at < pace && (len(film) == 0 || ch.at-film[len(film)-1].at < pace) {
			continue // the next one comes before this one could be seen
		}
		lines := scr.lines()
		if len(film) > 0 && strings.Join(lines, "\n") == strings.Join(film[len(film)-1].lines, "\n") {
			continue
		}
		film = append(film, frame{ch.at, lines})
	}
	return film
}
