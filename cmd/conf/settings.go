package conf

import (
	"cmp"
	"net/netip"
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
