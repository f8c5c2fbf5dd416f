package cmd

import (
	"context"
	"fmt"
	"io"
	"os"

	"github.com/zcp-go/zcp/cmd/conf"
	"github.com/zcp-go/zcp/cmd/exit"
	"github.com/zcp-go/zcp/cmd/files"
	"github.com/zcp-go/zcp/cmd/show"
)

// environment is what a run knows of the process around it.
type environment struct {
	stdout    io.Writer // help, version and completions
	out       *show.Printer
	lookupEnv func(name string) (value string, ok bool)
	build     Build

	listening <-chan struct{} // closed when signals are heard, which commands wait for
}

// run reads the command line and does what it asks for. The error is for the caller to
// print, unless it is reported already, and to end with.
func run(ctx context.Context, argv []string, env environment) error {
	out := env.out
	out.JSON = conf.AsksJSON(argv, env.lookupEnv)
	asked, err := conf.Parse(argv, env.lookupEnv)
	if err == error(conf.NoCommand) && !out.JSON {
		out.Page(conf.Help())
		return exit.Reported(err)
	}
	switch c := asked.(type) {
	case conf.Print:
		return env.print(c.Text)
	case conf.Version:
		return env.print(env.build.String() + "\n")
	case *conf.Send:
		env.prepare(c.Display)
		return runSend(ctx, out, c)
	case *conf.Recv:
		env.prepare(c.Display)
		return runRecv(ctx, out, c)
	case *conf.Cat:
		env.prepare(c.Display)
		return runCat(ctx, out, c)
	case *conf.Probe:
		env.prepare(c.Display)
		return runProbe(ctx, out, c)
	case *conf.Relay:
		env.prepare(c.Display)
		return runRelay(ctx, out, c)
	}
	return err
}

// prepare sets what is shown, says with -v which variables look like options of zcp and are none, and
// waits for signals to be heard.
func (env environment) prepare(d conf.Display) {
	env.out.Options = show.Options(d)
	defer func() { <-env.listening }()
	if !env.out.Verbose {
		return
	}
	for _, name := range conf.UnknownVariables(os.Environ()) {
		env.out.Detail("%s", name)
	}
}

func (env environment) print(page string) error {
	err := files.Inherited(1)
	if err == nil {
		_, err = fmt.Fprint(env.stdout, page)
	}
	return exit.Classify(err, exit.Where{Place: exit.Stdout, Subject: "standard output"})
}
