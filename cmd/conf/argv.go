package conf

import (
	"slices"
	"strings"
	"unicode/utf8"

	"github.com/urfave/cli/v2"

	"github.com/zcp-go/zcp/cmd/exit"
	"github.com/zcp-go/zcp/cmd/text"
)

// commandNames are the words that may stand where a command is expected; those
// that have flags come first, in the order of their bits.
var commandNames = []string{"send", "recv", "cat", "relay", "probe", "completion", "help"}

// commandOf returns the bit of a command that has flags, 0 for the others.
func commandOf(name string) command {
	i := slices.Index(commandNames, name)
	if i < 0 {
		return 0
	}
	return all & (1 << i)
}

// rewrite puts argv into the one order that package flag, and so urfave/cli
// v2, understands: the command, the flags by their long names each joined to
// its value, "--", the operands. Left alone the library stops at the first
// operand, takes every flag behind it for an operand too and says nothing; it
// does not know -qL5M either, and refuses `-q --quiet`.
//
// What cannot be understood is an *exit.Usage in the user's words. Where help or
// the version is asked for, that is all that remains, whatever else was typed.
// Rewriting a result again changes nothing.
func rewrite(argv []string, options table) ([]string, error) {
	if len(argv) == 0 {
		return []string{"zcp"}, nil
	}
	w := rewriter{rest: argv[1:], options: options}
	words, err := w.rewrite()
	if err != nil {
		return nil, err
	}
	return append(argv[:1:1], words...), nil
}

type rewriter struct {
	options  table
	rest     []string // what was not looked at yet
	named    bool     // a command was named; it may be the empty word
	command  string
	flags    []string // in their long form
	used     []use
	operands []string

	help, version bool
	ended         bool        // "--" was seen
	bad           *exit.Usage // the first mistake; the search for -h goes on behind it
	strange       string      // the name of the flag that it is about, if no command has that
}

// use is an option and how it was typed.
type use struct {
	option *option
	typed  string
}

func (w *rewriter) rewrite() ([]string, error) {
	for len(w.rest) > 0 {
		word := w.rest[0]
		w.rest = w.rest[1:]
		switch {
		case w.ended || len(word) < 2 || word[0] != '-':
			w.operand(word)
		case word == "--":
			w.ended = true
		case strings.HasPrefix(word, "--"):
			w.long(word)
		default:
			w.letters(word)
		}
	}
	if w.asksVersion() && !w.help {
		return []string{"--version"}, nil
	}
	if w.named && !slices.Contains(commandNames, w.command) {
		return nil, unknownCommand(w.command, w.operands)
	}
	if w.help {
		return slices.DeleteFunc([]string{w.command, "--help"}, func(s string) bool { return s == "" }), nil
	}
	if w.checkForeign(); w.bad != nil {
		if w.strange != "" {
			w.bad.Hint = meant(foreigners, w.strange, commandOf(w.command))
		}
		return nil, w.bad
	}
	return w.result(), nil
}

// asksVersion is true for --version, and for what other programs call it.
func (w *rewriter) asksVersion() bool {
	alone := len(w.operands) == 0 && w.bad == nil
	verbose := func(u use) bool { return u.typed == "-v" }
	return w.version || alone && w.command == "version" ||
		alone && !w.named && len(w.used) == 1 && verbose(w.used[0])
}

func (w *rewriter) result() []string {
	if !w.named {
		return nil
	}
	words := append([]string{w.command}, w.flags...)
	if len(w.operands) == 0 {
		return words
	}
	return append(append(words, "--"), w.operands...)
}

// operand takes a word that is not a flag: the first is the command. `help send`
// is `send --help`.
func (w *rewriter) operand(word string) {
	switch {
	case !w.named && word == "help":
		w.help = true
	case !w.named:
		w.command, w.named = word, true
	default:
		w.operands = append(w.operands, word)
	}
}

// long takes a flag that starts with two dashes.
func (w *rewriter) long(word string) {
	name, value, joined := strings.Cut(word[2:], "=")
	o := w.options.find(name)
	switch {
	case o == nil:
		w.unknown("--"+name, name)
	case joined:
		w.add(o, "--"+name, "="+value)
	case o.arg == "":
		w.add(o, "--"+name, "")
	default:
		w.addNext(o, "--"+name)
	}
}

// letters takes a cluster of short flags: -q, -qL5M, -qL 5M, -L=5M.
func (w *rewriter) letters(word string) {
	for i := 1; i < len(word); {
		_, size := utf8.DecodeRuneInString(word[i:])
		letter, tail := word[i:i+size], word[i+size:]
		i += size
		o := w.options.findLetter(letter)
		switch {
		case o == nil && w.options.find(word[1:]) != nil: // -quiet
			w.unknown(word, word[1:])
			return
		case o == nil:
			w.unknown("-"+letter, letter)
			return
		case strings.HasPrefix(tail, "="):
			w.add(o, "-"+letter, tail)
			return
		case o.arg == "":
			w.add(o, "-"+letter, "")
		case tail != "":
			w.add(o, "-"+letter, "="+tail)
			return
		default:
			w.addNext(o, "-"+letter)
		}
	}
}

// add notes a flag; value is "" or starts with "=".
func (w *rewriter) add(o *option, typed, value string) {
	switch o {
	case &helpOption:
		w.help = true
	case &versionOption:
		w.version = true
	default:
		w.flags = append(w.flags, o.String()+value)
		w.used = append(w.used, use{o, typed})
	}
}

// addNext notes a flag whose value is the next word, whatever that looks like.
func (w *rewriter) addNext(o *option, typed string) {
	if len(w.rest) == 0 {
		w.wrong(exit.Usagef("%s needs a value: %s", typed, o.arg))
		return
	}
	w.add(o, typed, "="+w.rest[0])
	w.rest = w.rest[1:]
}

func (w *rewriter) wrong(e *exit.Usage) {
	if w.bad == nil {
		w.bad = e
	}
}

// unknown notes a flag that no command has, and the one it is close to.
func (w *rewriter) unknown(typed, name string) {
	if w.bad != nil {
		return
	}
	e := exit.Usagef("unknown flag %s", text.Quote(typed))
	near := flagsByMeaning()[name]
	if near == "" && meant(foreigners, name, every) == "" {
		near = nearest(name, w.options.longNames())
	}
	if near != "" {
		e.Text += ", did you mean --" + near + "?"
	}
	w.bad, w.strange = e, name
}

// checkForeign finds a flag that some other command has.
func (w *rewriter) checkForeign() {
	for _, u := range w.used {
		if w.named && u.option.in&commandOf(w.command) == 0 {
			e := exit.Usagef("%s has no %s (only %s)", w.command, u.typed, u.option.in.does())
			e.Hint = meant(misplaced, u.option.name, commandOf(w.command))
			w.wrong(e)
			return
		}
	}
}

// nearest returns the name that a mistyped word is likely to mean. The library
// always has an idea; it is believed where the first letter and more or less
// the length agree, or where the word was only cut short.
func nearest(word string, names []string) string {
	var flags []cli.Flag
	for _, name := range names {
		flags = append(flags, &cli.BoolFlag{Name: name})
	}
	near := strings.TrimLeft(cli.SuggestFlag(flags, word, true), "-")
	if len(word) < 2 || !strings.HasPrefix(near, word[:1]) {
		return ""
	}
	if off := len(near) - len(word); (off < -2 || off > 2) && !strings.HasPrefix(near, word) {
		return ""
	}
	return near
}
