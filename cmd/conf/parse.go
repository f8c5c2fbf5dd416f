package conf

import (
	"flag"
	"io"
	"slices"
	"strings"

	"github.com/urfave/cli/v2"

	"github.com/zcp-go/zcp/cmd/exit"
	"github.com/zcp-go/zcp/cmd/text"
	"github.com/zcp-go/zcp/completions"
)

// Parse reads a command line and the environment. It returns what was asked for (a *[Send],
// *[Recv], *[Cat], *[Relay], *[Probe], [Print] or [Version]) or a *exit.Usage.
func Parse(argv []string, lookupEnv func(name string) (string, bool)) (any, error) {
	p := parser{lookupEnv: lookupEnv, settings: settings{values: defaults(), given: make(map[*option]given)}}
	p.options = newTable(&p.values)
	words, err := rewrite(argv, p.options)
	if err != nil {
		return nil, err
	}
	if len(words) > 1 {
		p.name = words[1]
	}
	switch {
	case p.name == "":
		return nil, NoCommand
	case p.name == "--version":
		return Version{}, nil
	case p.name == "--help":
		return Print{Help()}, nil
	case len(words) > 2 && words[2] == "--help":
		return Print{commandHelp(p.name)}, nil
	}
	if err := p.environment(); err != nil {
		return nil, err
	}
	if err := p.run(words[2:]); err != nil {
		return nil, err
	}
	return p.asked, nil
}

// NoCommand is what [Parse] returns for zcp alone, and its text what it says as an event.
// On a terminal [Help] says it better.
var NoCommand = &exit.Usage{Text: "no command (send, recv, cat, relay, probe, completion, help)"}

// AsksJSON looks for --json before anything else is understood, so that a mistake in the
// rest is an event too.
func AsksJSON(argv []string, lookupEnv func(name string) (string, bool)) bool {
	if end := slices.Index(argv, "--"); end >= 0 {
		argv = argv[:end]
	}
	if slices.Contains(argv, "--json") {
		return true
	}
	word, _ := lookupEnv("ZCP_JSON")
	on, err := parseSwitch(word)
	return on && err == nil
}

// UnknownVariables says of each variable that begins with ZCP_ and is not an option's what it may have meant.
func UnknownVariables(environ []string) (lines []string) {
	options := newTable(new(values))
	for _, entry := range environ {
		name, _, _ := strings.Cut(entry, "=")
		if !strings.HasPrefix(name, "ZCP_") || options.first(func(o *option) bool { return o.env() == name }) != nil {
			continue
		}
		line := text.Quote(name) + " is not a variable of zcp"
		word := strings.ToLower(strings.ReplaceAll(strings.TrimPrefix(name, "ZCP_"), "_", "-"))
		if near := nearest(word, options.longNames()); near != "" {
			line += ", did you mean " + options.find(near).env() + "?"
		}
		lines = append(lines, line)
	}
	return lines
}

// parser is one run of the library.
type parser struct {
	settings
	lookupEnv func(string) (string, bool)
	name      string // of the command that is asked for
	asked     any
	bad       error // the first mistake in a flag, before package flag flattened it to text
}

// environment reads the variables of the command's options.
func (p *parser) environment() error {
	for i := range p.options {
		o := &p.options[i]
		name := o.env()
		if name == "" || o.in&commandOf(p.name) == 0 {
			continue
		}
		if word, ok := p.lookupEnv(name); ok && word != "" {
			if err := p.put(o, word, true); err != nil {
				return err
			}
		}
	}
	return nil
}

// run reads the flags and operands of the command that is asked for. The flags are the
// library's, its App is not: App.Run leads to a help that is written with text/template, which
// calls methods by name, and so the linker keeps every exported method that there is. That
// was 1.17 MB of 7.05 (go1.26.8, cli v2.27.7). It would also print its messages to stdout.
func (p *parser) run(words []string) error {
	set := flag.NewFlagSet(p.name, flag.ContinueOnError)
	set.SetOutput(io.Discard)
	set.Usage = func() {}
	for _, f := range p.flags(words) {
		if err := f.Apply(set); err != nil {
			return err
		}
	}
	if err := set.Parse(words); err != nil {
		if p.bad != nil {
			return p.bad
		}
		return exit.Usagef("%s", err)
	}
	var err error
	p.asked, err = p.build(set.Args())
	return err
}

// flags are those that were typed, once each: what the rewriter lets through, the command has.
func (p *parser) flags(words []string) (flags []cli.Flag) {
	typed := make(map[*option]bool)
	for _, word := range words {
		if word == "--" {
			break
		}
		name, _, _ := strings.Cut(strings.TrimLeft(word, "-"), "=")
		if o := p.row(name); !typed[o] {
			typed[o] = true
			flags = append(flags, &cliFlag{option: o, parser: p})
		}
	}
	return flags
}

// build weighs flags and operands against each other.
func (p *parser) build(words []string) (any, error) {
	switch p.name {
	case "send":
		return p.send(words)
	case "recv":
		return p.recv(words)
	case "cat":
		return p.cat(words)
	case "relay":
		return p.relay(words)
	case "probe":
		return p.probe(words)
	}
	return completion(words)
}

func completion(words []string) (any, error) {
	want := strings.Join(completions.Shells, ", ")
	if len(words) != 1 {
		return nil, exit.Usagef("completion needs the name of a shell: %s", want)
	}
	file, ok := completions.For(words[0])
	if !ok {
		return nil, exit.Usagef("no completion for %s, only for %s", text.Quote(words[0]), want)
	}
	return Print{file}, nil
}

// cliFlag shows an option to the library, by its long name only: the rewriter
// has put every flag into that form.
type cliFlag struct {
	*option
	parser *parser
}

func (f *cliFlag) Names() []string { return []string{f.name} }
func (f *cliFlag) IsSet() bool     { return f.parser.has(f.name) }

// Apply leaves the option to the command line.
func (f *cliFlag) Apply(set *flag.FlagSet) error {
	put := func(word string) error {
		err := f.parser.put(f.option, word, false)
		if f.parser.bad == nil {
			f.parser.bad = err
		}
		return err
	}
	if f.arg == "" {
		set.BoolFunc(f.name, "", put)
	} else {
		set.Func(f.name, "", put)
	}
	return nil
}
