package cmd

import (
	"context"
	"errors"
	"flag"
	"io"
	"slices"
	"strings"
	"time"

	"github.com/urfave/cli/v2"
	"golang.org/x/sys/unix"

	"github.com/zcp-go/zcp/completions"
)

// Commands are the bodies of the commands: what is done when the command line
// makes sense. Each gets a config that was checked and returns what its command
// ends with.
type Commands struct {
	Send  func(context.Context, *SendConfig) error
	Recv  func(context.Context, *RecvConfig) error
	Cat   func(context.Context, *CatConfig) error
	Relay func(context.Context, *RelayConfig) error
}

// Streams is what the words need of the process around them.
type Streams struct {
	Stdout    io.Writer // help, version and completions; never anything else
	Printer   *Printer  // everything for people
	LookupEnv func(name string) (value string, ok bool)
	Build     Build
}

// Run reads the command line and calls the body it asks for. It sets up
// env.Printer by the flags before it does so; what Run returns is for the
// caller to print with [Printer.Error] and to end with ([ExitStatus]).
func Run(ctx context.Context, argv []string, env Streams, cmds Commands) error {
	env.Printer.JSON = env.Printer.JSON || asksJSON(argv, env.LookupEnv)
	words, err := rewrite(argv)
	if err != nil {
		return err
	}
	if slices.Equal(words[1:], []string{"--version"}) {
		return toStdout(env.Build.print(env.Stdout))
	}
	a := app{env: env, cmds: cmds, out: &firstErrorWriter{w: env.Stdout}}
	if len(words) > 1 {
		a.name = words[1]
	}
	a.helping = slices.Equal(words[max(len(words)-1, 1):], []string{"--help"})
	if err := a.cli().RunContext(ctx, words); err != nil {
		return err
	}
	return toStdout(a.out.err)
}

// toStdout is what an error of writing help to standard output means.
func toStdout(err error) error {
	if errors.Is(err, unix.EPIPE) {
		return errStdoutGone
	}
	return err
}

// asksJSON looks for --json before anything else is understood, so that a
// mistake in the rest is an event too.
func asksJSON(argv []string, lookup func(string) (string, bool)) bool {
	if end := slices.Index(argv, "--"); end >= 0 {
		argv = argv[:end]
	}
	if slices.Contains(argv, "--json") {
		return true
	}
	text, ok := lookup("ZCP_JSON")
	if !ok {
		return false
	}
	on, err := parseSwitch(text)
	return on && err == nil
}

// app is one run of the command line.
type app struct {
	env      Streams
	cmds     Commands
	out      *firstErrorWriter
	name     string // of the command that is asked for
	settings settings
	bad      error // the first mistake in a flag, before package flag flattened it to text
	helping  bool  // help was asked for: the environment is not looked at
}

// cli describes the program to the library. All of its own messages are
// switched off: they would go to stdout.
func (a *app) cli() *cli.App {
	return &cli.App{
		Name: "zcp", Usage: summary, CustomAppHelpTemplate: a.help(appHelp),
		HideHelpCommand: true, HideVersion: true,
		Compiled: time.Unix(0, 0), // or the library asks for the date of the file argv[0], at each start
		Writer:   a.out, ErrWriter: io.Discard,
		ExitErrHandler: func(*cli.Context, error) {}, // only main ends the process
		OnUsageError:   a.usageError,
		Action:         a.noCommand,
		Commands: []*cli.Command{
			a.command("send", func(ctx context.Context, words []string) error {
				return plug(ctx, a, a.settings.send, a.cmds.Send, words)
			}),
			a.command("recv", func(ctx context.Context, words []string) error {
				return plug(ctx, a, a.settings.recv, a.cmds.Recv, words)
			}),
			a.command("cat", func(ctx context.Context, words []string) error {
				return plug(ctx, a, a.settings.cat, a.cmds.Cat, words)
			}),
			a.command("relay", func(ctx context.Context, words []string) error {
				return plug(ctx, a, a.settings.relay, a.cmds.Relay, words)
			}),
			a.command("completion", a.completion),
		},
	}
}

// help is a text for the library to print. It is put together only for whoever asks: to
// write all of them took a tenth of the time that a transfer of nothing takes.
func (a *app) help(text func() string) string {
	if !a.helping {
		return ""
	}
	return text()
}

// plug builds a config and hands it to the body of its command.
func plug[C any](ctx context.Context, a *app, build func([]string) (*C, error), body func(context.Context, *C) error, words []string) error {
	config, err := build(words)
	if err != nil {
		return err
	}
	a.env.Printer.setUp(a.settings.display())
	return body(ctx, config)
}

func (a *app) command(name string, action func(context.Context, []string) error) *cli.Command {
	c := &cli.Command{
		Name: name, CustomHelpTemplate: a.help(func() string { return commandHelp(name) }),
		HideHelpCommand: true, // or a file called help could not be sent
		OnUsageError:    a.usageError,
		Action:          func(c *cli.Context) error { return action(c.Context, c.Args().Slice()) },
	}
	for i := range options {
		if name == a.name && options[i].in&commandOf(name) != 0 {
			c.Flags = append(c.Flags, &cliFlag{option: &options[i], app: a})
		}
	}
	return c
}

// usageError turns the library's complaint into ours.
func (a *app) usageError(_ *cli.Context, err error, _ bool) error {
	if a.bad != nil {
		return a.bad
	}
	return usagef("%s", harmless(err.Error()))
}

// noCommand is zcp alone.
func (a *app) noCommand(*cli.Context) error {
	e := &UsageError{Text: "no command (" + strings.Join(commandNames, ", ") + ")"}
	if !a.env.Printer.JSON {
		a.env.Printer.write(appHelp())
		e.Text = ""
	}
	return e
}

func (a *app) completion(_ context.Context, words []string) error {
	want := strings.Join(completions.Shells, ", ")
	if len(words) != 1 {
		return usagef("completion needs the name of a shell: %s", want)
	}
	file, ok := completions.For(words[0])
	if !ok {
		return usagef("no completion for %s, only for %s", Quote(words[0]), want)
	}
	_, err := io.WriteString(a.out, file)
	return toStdout(err)
}

// cliFlag shows an option to the library, by its long name only: the rewriter
// has put every flag into that form.
type cliFlag struct {
	*option
	app *app
}

func (f *cliFlag) Names() []string { return []string{f.name} }
func (f *cliFlag) IsSet() bool     { return f.app.settings.has(f.name) }

// Apply reads the option's variable, then leaves it to the command line.
func (f *cliFlag) Apply(set *flag.FlagSet) error {
	if name := f.env(); name != "" && !f.app.helping {
		if text, ok := f.app.env.LookupEnv(name); ok && text != "" {
			if err := f.app.settings.put(f.option, text, true); err != nil {
				return err
			}
		}
	}
	put := func(text string) error {
		err := f.app.settings.put(f.option, text, false)
		if f.app.bad == nil {
			f.app.bad = err
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

// firstErrorWriter remembers the first error: the library forgets it, and
// `zcp --help >/dev/full` would end with 0.
type firstErrorWriter struct {
	w   io.Writer
	err error
}

func (f *firstErrorWriter) Write(p []byte) (int, error) {
	n, err := f.w.Write(p)
	if f.err == nil {
		f.err = err
	}
	return n, err
}
