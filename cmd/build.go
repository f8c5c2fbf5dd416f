package cmd

import (
	"net/netip"
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

func (s *settings) checkDisplay() error {
	return firstError(
		s.exclusive("quiet", "verbose"), s.exclusive("quiet", "force"), s.exclusive("quiet", "numeric"),
		s.exclusive("quiet", "explain"), s.exclusive("numeric", "json"))
}

func (s *settings) checkLength() error {
	return s.only("stop-at-size", s.has("size"), "needs --size")
}

func (s *settings) checkOutput(dest Operand) error {
	return firstError(
		s.exclusive("append", "no-clobber"),
		s.only("append", dest.Kind == File, "needs the name of a file to write"),
		s.only("no-clobber", dest.Kind == File, "needs the name of a file to write"))
}

// checkNet checks the flags of send and recv that depend on what their network
// end is. A descriptor or a socket from systemd may be anything.
func (s *settings) checkNet(end Operand) error {
	given := end.Kind == FD || end.Kind == SD
	connects := !end.Listen && !given
	return firstError(
		s.only("listen", !given, "is for HOST:PORT and unix:PATH, a socket that exists knows whether it listens"),
		s.only("keep-open", !connects, "needs a listener (:PORT, or --listen)"),
		s.only("max-conns", s.has("keep-open"), "needs --keep-open"),
		s.only("allow", !connects, "is for a listener"), s.only("deny", !connects, "is for a listener"),
		s.only("allow", end.Kind != Unix, "is for TCP, a Unix socket has no addresses"),
		s.only("deny", end.Kind != Unix, "is for TCP, a Unix socket has no addresses"),
		s.only("bind", connects && end.Kind == TCP, "is for connecting to HOST:PORT"),
		s.only("retry-for", connects, "is for connecting"),
		s.only("4", end.Kind == TCP, "is for TCP"), s.only("6", end.Kind == TCP, "is for TCP"),
		s.checkFamily(end))
}

func (s *settings) checkRelay(listen, target Operand) error {
	if listen.Kind == Stdio && target.Kind == Stdio {
		return usagef("relay from - to -: that is zcp cat")
	}
	one := listen.Kind == Stdio
	connects := target.Kind == TCP || target.Kind == Unix
	return firstError(
		s.only("max-conns", !one, "makes no sense with -, which is one connection"),
		s.only("half-close", !one, "does not apply to -"), s.only("drain", !one, "does not apply to -"),
		s.only("exit-idle", !one, "does not apply to -"),
		s.only("allow", !one && listen.Kind != Unix, "is for TCP, others have no addresses"),
		s.only("deny", !one && listen.Kind != Unix, "is for TCP, others have no addresses"),
		s.only("bind", target.Kind == TCP, "is for connecting to HOST:PORT"),
		s.only("retry-for", connects, "is for connecting"),
		s.checkFamily(target), s.checkFamily(listen))
}

// checkFamily refuses -4 for an address of IPv6 and the like.
func (s *settings) checkFamily(end Operand) error {
	if err := s.exclusive("4", "6"); err != nil {
		return err
	}
	addr, err := netip.ParseAddr(end.Host)
	literal := err == nil && end.Kind == TCP
	for _, only := range []struct {
		flag   string
		is6    bool
		family string
	}{{"4", false, "IPv4"}, {"6", true, "IPv6"}} {
		if !s.has(only.flag) {
			continue
		}
		if literal && addr.Is6() != only.is6 {
			return usagef("-%s: %s is no %s address", only.flag, end, only.family)
		}
		if bind := s.bind.Addr(); s.has("bind") && bind.Unmap().Is6() != only.is6 {
			return usagef("-%s: --bind %s is no %s address", only.flag, bind, only.family)
		}
	}
	if s.has("bind") && literal && addr.Is6() != s.bind.Addr().Is6() {
		return usagef("--bind %s and %s are of different families", s.bind.Addr(), end)
	}
	return nil
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

func firstError(errs ...error) error {
	for _, err := range errs {
		if err != nil {
			return err
		}
	}
	return nil
}
