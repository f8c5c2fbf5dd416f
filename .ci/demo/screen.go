//go:build linux

package main

import (
	"bytes"
	"strconv"
	"strings"
	"unicode/utf8"
)

// A screen is as much of a terminal as zcp, a shell and a pager need: characters, the
// cursor, erasing. Colours are not kept.
type screen struct {
	cols, rows, x, y int
	cells            [][]rune
	pending          []byte // of an escape sequence or a character that is not complete
}

func newScreen(cols, rows int) *screen {
	s := &screen{cols: cols, rows: rows, cells: make([][]rune, rows)}
	for y := range s.cells {
		s.cells[y] = blank(cols)
	}
	return s
}

func blank(n int) []rune { return []rune(strings.Repeat(" ", n)) }

// lines returns what the screen shows, without the blanks at the ends of lines.
func (s *screen) lines() []string {
	var lines []string
	for _, row := range s.cells {
		lines = append(lines, strings.TrimRight(string(row), " "))
	}
	return lines
}

func (s *screen) write(text []byte) {
	s.pending = append(s.pending, text...)
	for len(s.pending) > 0 {
		n := s.next(s.pending)
		if n == 0 {
			return // not complete
		}
		s.pending = s.pending[n:]
	}
}

// next handles what text begins with and returns its length, 0 where more is needed.
func (s *screen) next(text []byte) int {
	switch c := text[0]; c {
	case '\r':
		s.x = 0
	case '\n':
		s.down()
	case '\b':
		s.x = max(s.x-1, 0)
	case '\t':
		s.x = min(s.x/8*8+8, s.cols-1)
	case 0x1b:
		return s.escape(text)
	default:
		if c < ' ' {
			return 1 // a bell and the like
		}
		if !utf8.FullRune(text) {
			return 0
		}
		r, n := utf8.DecodeRune(text)
		s.put(r)
		return n
	}
	return 1
}

func (s *screen) put(r rune) {
	if s.x == s.cols {
		s.x = 0
		s.down()
	}
	s.cells[s.y][s.x] = r
	s.x++
}

func (s *screen) down() {
	if s.y++; s.y == s.rows {
		s.y--
		s.cells = append(s.cells[1:], blank(s.cols))
	}
}

// escape handles one escape sequence: CSI and OSC; others are two bytes and ignored.
func (s *screen) escape(text []byte) int {
	if len(text) < 2 {
		return 0
	}
	switch text[1] {
	case ']':
		return bytes.IndexByte(text, 0x07) + 1
	case '[':
		for i := 2; i < len(text); i++ {
			if text[i] >= 0x40 && text[i] <= 0x7e {
				s.control(string(text[2:i]), text[i])
				return i + 1
			}
		}
		return 0
	case '(', ')':
		return min(len(text), 3)
	}
	return 2
}

// control does what a CSI sequence says.
func (s *screen) control(params string, final byte) {
	var n [2]int
	for i, p := range strings.SplitN(params, ";", 2) {
		n[i], _ = strconv.Atoi(p) // nothing is 0
	}
	switch final {
	case 'K':
		switch n[0] {
		case 0:
			copy(s.cells[s.y][min(s.x, s.cols):], blank(s.cols))
		case 2:
			s.cells[s.y] = blank(s.cols)
		}
	case 'J':
		for y := range s.cells {
			if n[0] >= 2 || y > s.y {
				s.cells[y] = blank(s.cols)
			}
		}
		if n[0] == 0 {
			copy(s.cells[s.y][min(s.x, s.cols):], blank(s.cols))
		}
	case 'H':
		s.y, s.x = min(max(n[0], 1), s.rows)-1, min(max(n[1], 1), s.cols)-1
	case 'A':
		s.y = max(s.y-max(n[0], 1), 0)
	case 'C':
		s.x = min(s.x+max(n[0], 1), s.cols-1)
	case 'D':
		s.x = max(s.x-max(n[0], 1), 0)
	}
}
