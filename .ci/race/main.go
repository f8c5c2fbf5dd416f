//go:build linux

// Command race makes the README's two sets of tables from real runs, and compares builds of
// zcp with each other:
//
//	go run ./.ci/race bench                     # zcp and its peers, a quarter of an hour
//	go run ./.ci/race bench 'file to TCP' relay # rows whose names hold one of these
//	go run ./.ci/race bench -alone -zcp before=/tmp/a -zcp after=/tmp/b
//	go run ./.ci/race faults                    # what each tool makes of the same fault
//
// The report goes to standard output, each row as it is done to standard error. The exit
// status is 1 where zcp did not do what it has to, 2 for words that mean nothing.
//
// It races the zcp of the sources at hand, or that of $ZCP, or those of -zcp in turn.
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"os"
	"os/signal"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
)

// settings are the words of the command line.
type settings struct {
	zcp    []binary
	size   int64
	rounds int
	dir    string
	lim    string
	under  string
	alone  bool
	list   bool
	rows   []string
}

// A binary is a zcp to be raced. The first one is what the others are compared with.
type binary struct{ name, path string }

// link returns the name under which commands find it.
func (b binary) link() string {
	if b.name == "zcp" {
		return "zcp"
	}
	return "zcp-" + b.name
}

// command returns a command of zcp's as one of this binary.
func (b binary) command(zcp string) string {
	if rest, ok := strings.CutPrefix(zcp, "zcp "); ok {
		return b.link() + " " + rest
	}
	if script, ok := strings.CutPrefix(zcp, "zcp\n"); ok {
		return b.link() + "\n" + strings.NewReplacer(" zcp ", " "+b.link()+" ", "\nzcp ", "\n"+b.link()+" ").Replace(script)
	}
	return zcp
}

// errUsage is what was said already.
var errUsage = errors.New("usage")

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), syscall.SIGINT, syscall.SIGTERM)
	context.AfterFunc(ctx, stop) // the second signal kills
	err := run(ctx, os.Args[1:])
	switch {
	case err == nil:
	case errors.Is(err, errUsage):
		os.Exit(2)
	default:
		fmt.Fprintln(os.Stderr, "race:", err)
		os.Exit(1)
	}
}

// modes are what the program can do: the names of a mode's rows, and how to run it.
var modes = map[string]struct {
	size int64 // bytes of data, where nothing else is asked for
	rows func() []string
	run  func(b *bench) (report string)
}{
	// A virtual machine's host may take back freed memory, and the first touch of more than
	// this would cost more than all that is measured.
	"bench":  {512 << 20, rowNames, (*bench).raceAll},
	"faults": {8 << 20, faultNames, (*bench).tryAll},
}

func run(ctx context.Context, args []string) (err error) {
	name := ""
	if len(args) > 0 {
		name, args = args[0], args[1:]
	}
	mode, ok := modes[name]
	if !ok {
		fmt.Fprintln(os.Stderr, "usage: race bench|faults [flags] [row...]")
		return errUsage
	}
	s, err := parse(name, args, mode.size)
	if err != nil {
		return err
	}
	if s.list {
		fmt.Println(strings.Join(mode.rows(), "\n"))
		return nil
	}
	for _, word := range s.rows {
		if !slices.ContainsFunc(mode.rows(), func(row string) bool { return named(row, word) }) {
			fmt.Fprintf(os.Stderr, "race: no row has %q in its name; -list shows them\n", word)
			return errUsage
		}
	}
	b, err := newBench(ctx, s)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, b.close()) }()
	fmt.Print(mode.run(b))
	if b.wrongs > 0 {
		return fmt.Errorf("%d times zcp or the race itself did not do what it has to", b.wrongs)
	}
	return context.Cause(ctx)
}

// parse reads a mode's flags and rows.
func parse(mode string, args []string, size int64) (s settings, err error) {
	flags := flag.NewFlagSet("race "+mode, flag.ContinueOnError)
	flags.Func("zcp", "a `[NAME=]FILE` to race instead of building one; more than one are raced in turn", func(word string) error {
		one := binary{"zcp", word}
		if name, path, ok := strings.Cut(word, "="); ok {
			one = binary{name, path}
		}
		one.path, err = filepath.Abs(one.path)
		if one.name == "" || strings.ContainsAny(one.name, "/ |<>$'\"") {
			return fmt.Errorf("%q is not a name for a command", one.name)
		}
		if slices.ContainsFunc(s.zcp, func(b binary) bool { return b.name == one.name }) {
			return fmt.Errorf("there are two with the name %s", one.name)
		}
		s.zcp = append(s.zcp, one)
		return err
	})
	flags.Int64Var(&s.size, "size", size, "`BYTES` of data in the bulk rows")
	flags.IntVar(&s.rounds, "rounds", 9, "timed rounds of each row")
	flags.StringVar(&s.dir, "dir", "", "`FOLDER` in which the files lie (default: that of temporary files)")
	flags.StringVar(&s.lim, "lim", os.Getenv("ZCP_LIM"), "`FILE` of a program with the kernel's paths and nothing around them, raced too")
	flags.StringVar(&s.under, "under", "", "`ALG,...`: congestion controls to race under (default: cubic and bbr where root may set them)")
	flags.BoolVar(&s.alone, "alone", false, "leave out the other tools")
	flags.BoolVar(&s.list, "list", false, "show the names of the rows")
	if err := flags.Parse(args); err != nil {
		return s, errUsage
	}
	if s.size < 1 || s.rounds < 1 {
		fmt.Fprintln(os.Stderr, "race: -size and -rounds have to be above 0")
		return s, errUsage
	}
	if path := os.Getenv("ZCP"); path != "" && len(s.zcp) == 0 {
		path, err = filepath.Abs(path)
		s.zcp = []binary{{"zcp", path}}
	}
	s.rows = flags.Args()
	return s, err
}

// named reports whether a row is the one, or one of those, that a word means.
func named(row, word string) bool {
	return strings.Contains(strings.ToLower(row), strings.ToLower(word))
}

// wanted reports whether a row was asked for.
func (s settings) wanted(row string) bool {
	return len(s.rows) == 0 || slices.ContainsFunc(s.rows, func(word string) bool { return named(row, word) })
}
