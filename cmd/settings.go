package cmd

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"net/netip"
	"os"
	"strconv"
	"strings"
	"time"
)

// settings are the values of all flags, read but not yet weighed against each
// other. One command uses some of them.
type settings struct {
	given map[string]given // by the option's name; a switch is on when it is here

	size, rateLimit, rateTotal, bufferSize int64
	maxConns                               int
	output                                 string
	allow, deny                            []netip.Prefix
	bind                                   netip.AddrPort
	stats                                  Operand

	interval, wait, retryFor, idle, linger, halfClose, drain, exitIdle time.Duration
}

// given is how a value came: its text, and whether from the environment.
type given struct {
	text string
	env  bool
}

// put reads one value of an option. The error is a *UsageError that names the
// flag or the variable.
func (s *settings) put(o *option, text string, env bool) error {
	if s.given == nil {
		s.given = make(map[string]given)
	}
	if before, again := s.given[o.name]; again && o.list && before.env == env {
		text = before.text + "," + text
	}
	on, err := true, error(nil)
	if o.arg == "" {
		on, err = parseSwitch(text)
	} else if o.set != nil {
		err = o.set(s, text)
	}
	if err != nil {
		name := o.String()
		if env {
			name = o.env()
		}
		return usagef("%s: %v", name, err)
	}
	if delete(s.given, o.name); on {
		s.given[o.name] = given{text, env}
	}
	return nil
}

func (s *settings) has(name string) bool {
	_, ok := s.given[name]
	return ok
}

// origin is the flag or the variable by which an option was given.
func (s *settings) origin(name string) string {
	o := option{name: name}
	if s.given[name].env {
		return o.env()
	}
	return o.String()
}

// exclusive refuses two options together. Where one of them is only in the
// environment, what was typed wins.
func (s *settings) exclusive(a, b string) error {
	if !s.has(a) || !s.has(b) {
		return nil
	}
	switch envA, envB := s.given[a].env, s.given[b].env; {
	case envA && !envB:
		delete(s.given, a)
	case envB && !envA:
		delete(s.given, b)
	default:
		return usagef("%s and %s exclude each other", s.origin(a), s.origin(b))
	}
	return nil
}

// only refuses an option that makes no sense here. One from the environment is
// dropped without a word: it was set for other transfers.
func (s *settings) only(name string, sense bool, why string) error {
	if sense || !s.has(name) {
		return nil
	}
	if s.given[name].env {
		delete(s.given, name)
		return nil
	}
	return usagef("%s %s", s.origin(name), why)
}

// parseSwitch reads the value of a switch, which only the environment and
// --quiet=false have.
func parseSwitch(text string) (bool, error) {
	switch strings.ToLower(text) {
	case "1", "true", "yes", "on":
		return true, nil
	case "0", "false", "no", "off":
		return false, nil
	}
	return false, fmt.Errorf("%q is neither true nor false", text)
}

func setSize(s *settings, text string) (err error) {
	if name, ok := strings.CutPrefix(text, "@"); ok {
		s.size, err = fileSize(name)
		return err
	}
	s.size, err = ParseSize(text)
	return err
}

// fileSize returns the size of a regular file or a block device. Nothing else
// is opened: a FIFO would wait.
func fileSize(name string) (int64, error) {
	info, err := os.Stat(name)
	if err != nil {
		return 0, inWords(name, err)
	}
	switch mode := info.Mode(); {
	case mode.IsRegular():
		return info.Size(), nil
	case mode.Type() != fs.ModeDevice:
		return 0, fmt.Errorf("%s is neither a file nor a block device", Quote(name))
	}
	f, err := os.Open(name)
	if err != nil {
		return 0, inWords(name, err)
	}
	// it was only read from: nothing can be lost by closing it
	defer f.Close()
	return f.Seek(0, io.SeekEnd)
}

// inWords takes the system's word for what is wrong with a file and leaves out
// the rest of what package os says.
func inWords(name string, err error) error {
	if path, ok := errors.AsType[*fs.PathError](err); ok {
		err = path.Err
	}
	return fmt.Errorf("%s: %w", Quote(name), err)
}

func setRateLimit(s *settings, text string) (err error) {
	s.rateLimit, err = ParseSize(text)
	return err
}

func setRateTotal(s *settings, text string) (err error) {
	s.rateTotal, err = ParseSize(text)
	return err
}

// The pipe sizes that -B takes: a page, and what F_SETPIPE_SZ can be asked for
// without leaving the range of sizes that mean anything.
const (
	minBuffer     = 4 << 10
	maxBuffer     = 1 << 30
	defaultBuffer = 1 << 20
)

func setBufferSize(s *settings, text string) (err error) {
	s.bufferSize, err = ParseSize(text)
	if err == nil && (s.bufferSize < minBuffer || s.bufferSize > maxBuffer) {
		return fmt.Errorf("%q is not between %s and %s", text, FormatSize(minBuffer), FormatSize(maxBuffer))
	}
	return err
}

func setOutput(s *settings, text string) error {
	if text == "" {
		return errors.New("an empty word names no file")
	}
	s.output = text
	return nil
}

func setMaxConns(s *settings, text string) (err error) {
	s.maxConns, err = strconv.Atoi(text)
	if err != nil || s.maxConns < 1 {
		return fmt.Errorf("%q is no number of connections", text)
	}
	return nil
}

// setTime reads a duration that has to be at least least.
func setTime(d *time.Duration, text string, least time.Duration) (err error) {
	if *d, err = ParseDuration(text); err == nil && *d < least {
		return fmt.Errorf("%q is less than %v", text, least)
	}
	return err
}

// minInterval keeps the line from costing more than it shows.
const minInterval = 10 * time.Millisecond

func setInterval(s *settings, text string) error  { return setTime(&s.interval, text, minInterval) }
func setWait(s *settings, text string) error      { return setTime(&s.wait, text, 0) }
func setRetryFor(s *settings, text string) error  { return setTime(&s.retryFor, text, 0) }
func setIdle(s *settings, text string) error      { return setTime(&s.idle, text, 0) }
func setLinger(s *settings, text string) error    { return setTime(&s.linger, text, 0) }
func setHalfClose(s *settings, text string) error { return setTime(&s.halfClose, text, 0) }
func setDrain(s *settings, text string) error     { return setTime(&s.drain, text, 0) }
func setExitIdle(s *settings, text string) error  { return setTime(&s.exitIdle, text, 0) }
