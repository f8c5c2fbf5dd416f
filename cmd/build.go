package cmd

import (
	"strings"
	"time"
)

// This file weighs flags and operands against each other: each function makes
// the config of one command or says in a *UsageError why there is none. Nothing
// is opened yet.

func (s *settings) send(words []string) (*SendConfig, error) {
	if len(words) < 2 {
		return nil, sendLacks(words)
	}
	files, last := words[:len(words)-1], words[len(words)-1]
	end, err := ParseNet(last, s.has("listen"))
	if err != nil {
		return nil, swapped(err, "the network end comes last: zcp send SRC... NET", files)
	}
	sources, err := parseSources(files)
	if err != nil {
		return nil, err
	}
	for _, src := range sources {
		if err := s.only("keep-open", src.Kind != FD || src.FD != 0, "cannot serve stdin: it is there only once"); err != nil {
			return nil, err
		}
	}
	if err := firstError(s.checkDisplay(), s.checkLength(), s.checkNet(end)); err != nil {
		return nil, err
	}
	return &SendConfig{
		Display: s.display(), Transfer: s.transfer(), Length: s.length(), Network: s.network(waitFor(end)),
		Sources: sources, Net: end, KeepOpen: s.has("keep-open"), Linger: s.timeOr("linger", s.linger, defaultLinger),
	}, nil
}

func (s *settings) recv(words []string) (*RecvConfig, error) {
	if len(words) == 0 || len(words) > 2 {
		return nil, usagef("recv needs NET [DST], got %s", count(words)).hint("for example: zcp recv :9000 big.iso")
	}
	end, err := ParseNet(words[0], s.has("listen"))
	if err != nil {
		return nil, swapped(err, "the network end comes first: zcp recv NET [DST]", words[1:])
	}
	dest, err := ParseDest(append(words, "-")[1])
	if err != nil {
		return nil, err
	}
	err = firstError(s.checkDisplay(), s.checkLength(), s.checkNet(end),
		s.only("append", !s.has("keep-open"), "and --keep-open exclude each other"), s.checkOutput(dest))
	if err == nil && s.has("keep-open") && (dest.Kind != File || strings.Count(dest.Path, "%d") != 1) {
		err = usagef("--keep-open writes one file for each connection: DST must hold %%d once").hint("for example: zcp recv -k :9000 in-%%d.log")
	}
	if err != nil {
		return nil, err
	}
	return &RecvConfig{
		Display: s.display(), Transfer: s.transfer(), Length: s.length(), Network: s.network(waitFor(end)),
		Output: s.outputFlags(), Net: end, Dest: dest, KeepOpen: s.has("keep-open"),
	}, nil
}

func (s *settings) cat(words []string) (*CatConfig, error) {
	if len(words) == 0 {
		words = []string{"-"}
	}
	sources, err := parseSources(words)
	if err != nil {
		return nil, err
	}
	dest, err := ParseDest("-")
	if s.has("output") {
		dest, err = ParseDest(s.output)
	}
	if err == nil {
		err = firstError(s.checkDisplay(), s.checkLength(), s.checkOutput(dest))
	}
	if err != nil {
		return nil, err
	}
	return &CatConfig{
		Display: s.display(), Transfer: s.transfer(), Length: s.length(), Output: s.outputFlags(),
		Sources: sources, Dest: dest,
	}, nil
}

func (s *settings) relay(words []string) (*RelayConfig, error) {
	if len(words) != 2 {
		return nil, usagef("relay needs LISTEN TARGET, got %s", count(words)).hint("for example: zcp relay :80 app:8080")
	}
	listen, err := ParseListen(words[0])
	if err != nil {
		return nil, err
	}
	target, err := ParseTarget(words[1])
	if err != nil {
		return nil, err
	}
	if err := firstError(s.checkDisplay(), s.checkRelay(listen, target)); err != nil {
		return nil, err
	}
	c := &RelayConfig{
		Display: s.display(), Transfer: s.transfer(), Network: s.network(defaultWait), Listen: listen, Target: target,
		HalfClose: s.timeOr("half-close", s.halfClose, defaultHalfClose),
		Drain:     s.timeOr("drain", s.drain, NoLimit), ExitIdle: s.exitIdle, RateTotal: s.rateTotal,
	}
	if s.has("stats") {
		c.Stats = &s.stats
	}
	return c, nil
}

// waitFor is how long -w waits where it is not given: somebody who listens may
// wait for ever, somebody who connects may not.
func waitFor(end Operand) time.Duration {
	if end.Listen || end.Kind == FD || end.Kind == SD {
		return 0
	}
	return defaultWait
}

func parseSources(words []string) ([]Operand, error) {
	var sources []Operand
	for _, word := range words {
		o, err := ParseSource(word)
		if err != nil {
			return nil, err
		}
		sources = append(sources, o)
	}
	return sources, nil
}

// sendLacks says which of its operands send did not get.
func sendLacks(words []string) error {
	if len(words) == 0 {
		return usagef("send needs SRC... NET").hint("for example: zcp send big.iso host:9000")
	}
	if end, err := ParseNet(words[0], false); err == nil {
		return usagef("send needs a source before %s", end).hint("stdin is -: zcp send - %s", end)
	}
	return usagef("send needs a network end after %s", Quote(words[0])).hint("for example: zcp send %s host:9000, or :9000 to serve it", Quote(words[0]))
}

// swapped adds a hint to an error about the network end if one of the files
// looks like the end that was meant.
func swapped(err error, hint string, files []string) error {
	e, ok := err.(*UsageError)
	if !ok {
		return err
	}
	for _, file := range files {
		if _, bad := ParseNet(file, false); bad == nil {
			e.Hint = hint
		}
	}
	return e
}

func count(words []string) string {
	switch len(words) {
	case 0:
		return "nothing"
	case 1:
		return "only " + Quote(words[0])
	}
	quoted := make([]string, len(words))
	for i, word := range words {
		quoted[i] = Quote(word)
	}
	return strings.Join(quoted, " ")
}
