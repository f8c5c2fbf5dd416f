package conf

import (
	"strings"
)

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
