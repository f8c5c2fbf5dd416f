package conf

import (
	"cmp"
	"net/netip"
	"strings"
	"time"

	"github.com/zcp-go/zcp/cmd/exit"
	"github.com/zcp-go/zcp/cmd/text"
)

// settings are the options of one command line, read but not yet weighed against each other.
type settings struct {
	values
	options table
	given   map[*option]given // a switch is on when it is here
}

// given is how a value came: its text, and whether from the environment.
type given struct {
	word string
	env  bool
}

// put reads one value of an option. The error is a *exit.Usage that names the flag or the
// variable.
func (s *settings) put(o *option, word string, env bool) error {
	if before, again := s.given[o]; again && o.list && before.env == env {
		word = before.word + cmp.Or(o.join, ",") + word
	}
	on, err := true, error(nil)
	if o.arg == "" {
		on, err = parseSwitch(word)
	}
	if err == nil && on {
		err = o.store(&s.values, word)
	}
	if err != nil {
		return exit.Usagef("%s: %v", o.called(env), err)
	}
	s.drop(o)
	if on {
		s.given[o] = given{word, env}
		return o.store(&s.values, word)
	}
	return nil
}

// drop forgets an option: its field gets its default back.
func (s *settings) drop(o *option) {
	if _, ok := s.given[o]; !ok {
		return
	}
	delete(s.given, o)
	s.values = defaults()
	for other, g := range s.given {
		_ = other.store(&s.values, g.word) // it was accepted before
	}
}

// store writes a value to where it belongs.
func (o *option) store(v *values, word string) (err error) {
	if o.set != nil {
		return o.set(v, word)
	}
	switch p := o.to.(type) {
	case *bool:
		*p = true
	case *int64:
		*p, err = text.ParseSize(word)
	case *time.Duration:
		*p, err = text.ParseDuration(word)
	case *[]netip.Prefix:
		*p, err = parseNetworks(word)
	}
	return err
}

func (s *settings) has(name string) bool {
	_, ok := s.given[s.row(name)]
	return ok
}

// row returns the option of that name, also where it is only a letter.
func (s *settings) row(name string) *option {
	return s.options.first(func(o *option) bool { return o.name == name })
}

// called is the flag or the variable by which an option was given.
func (o *option) called(env bool) string {
	if env {
		return o.env()
	}
	return o.String()
}

// exclusive refuses two options together. Where one of them is only in the environment,
// what was typed wins.
func (s *settings) exclusive(a, b string) error {
	one, other := s.row(a), s.row(b)
	x, hasX := s.given[one]
	y, hasY := s.given[other]
	switch {
	case !hasX || !hasY:
	case x.env && !y.env:
		s.drop(one)
	case y.env && !x.env:
		s.drop(other)
	default:
		return exit.Usagef("%s and %s cannot be used together", one.called(x.env), other.called(y.env))
	}
	return nil
}

// require refuses an option that makes no sense here. One from the environment is dropped
// without a message: it was set for other transfers.
func (s *settings) require(name string, sense bool, why string) error {
	o := s.row(name)
	g, ok := s.given[o]
	switch {
	case sense || !ok:
		return nil
	case g.env:
		s.drop(o)
		return nil
	}
	return exit.Usagef("%s %s", o.called(g.env), why)
}

// option is one row of the table of flags. The argv rewriter, the parser, the
// help text and the environment all follow the table, and tests hold the man
// page and the completions against it.
type option struct {
	name   string // without the dashes; ZCP_NAME is its variable
	letter string // "" where it has none
	arg    string // what its value is called; "" for a switch
	in     command
	group  string
	usage  string
	where  map[command]string // usage in one command, where it is another
	def    string             // what holds when it is not given, where that is not obvious
	join   string             // what is between its values where it adds up; "": a comma
	list   bool               // given twice it adds up; otherwise the last one counts

	// Where the value goes: a pointer whose type says how the word is read, or a function for
	// what needs more. Neither: only whether it was given matters.
	to  any
	set func(*values, string) error
}

// A table is all options, bound to the values that they write to.
type table []option

// find returns the option of that long name, nil where there is none.
func (t table) find(name string) *option {
	return t.first(func(o *option) bool { return len(name) > 1 && o.name == name })
}

// findLetter returns the option of that letter, nil where there is none.
func (t table) findLetter(letter string) *option {
	return t.first(func(o *option) bool { return letter != "" && o.letter == letter })
}

func (t table) first(match func(*option) bool) *option {
	for _, o := range []*option{&helpOption, &versionOption} {
		if match(o) {
			return o
		}
	}
	for i := range t {
		if match(&t[i]) {
			return &t[i]
		}
	}
	return nil
}

// longNames are what a mistyped flag may have meant.
func (t table) longNames() []string {
	names := []string{helpOption.name, versionOption.name}
	for _, o := range t {
		if len(o.name) > 1 {
			names = append(names, o.name)
		}
	}
	return names
}

// String is the flag as a message names it: --rate-limit, -4.
func (o *option) String() string {
	if len(o.name) == 1 {
		return "-" + o.name
	}
	return "--" + o.name
}

// env is the variable that stands for the option where it is not given; a flag
// without a long name has none.
func (o *option) env() string {
	if len(o.name) == 1 {
		return ""
	}
	return "ZCP_" + strings.ToUpper(strings.ReplaceAll(o.name, "-", "_"))
}
