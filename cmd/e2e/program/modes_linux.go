package program

import "testing"

// A Mode is a way of moving bytes that every fault is tried with.
type Mode struct {
	Name string
	Args []string // added to the command line
	Env  []string // added to the environment
}

// Modes are the kernel's paths, memory by choice, and memory because the kernel refuses.
var Modes = []Mode{
	{"kernel", nil, nil},
	{"memory", []string{"-C"}, nil},
	{"ENOSYS", nil, []string{RefuseVariable + "=ENOSYS"}},
	{"EPERM", nil, []string{RefuseVariable + "=EPERM"}},
}

// Zcp prepares the command in this mode.
func (m Mode) Zcp(t testing.TB, args ...string) *Process {
	t.Helper()
	return Zcp(t, append(args, m.Args...)...).With(m.Env...)
}

// InModes runs a test in every mode.
func InModes(t *testing.T, test func(t *testing.T, m Mode)) {
	t.Helper()
	inThose(t, func(int) bool { return true }, test)
}

// InSomeModes runs the nth of many cases in the first mode and one of the others, each in its turn; with [All] in every mode.
func InSomeModes(t *testing.T, nth int, test func(t *testing.T, m Mode)) {
	t.Helper()
	inThose(t, func(i int) bool { return i == 0 || nth%(len(Modes)-1) == i-1 || All() }, test)
}

// InEveryOtherMode runs a test in every second mode, from the first or the second on as i is even or odd, so that i and
// i+1 make all of them; where all are wanted, [All], in every mode.
func InEveryOtherMode(t *testing.T, i int, test func(t *testing.T, m Mode)) {
	t.Helper()
	inThose(t, func(k int) bool { return (i+k)%2 == 0 || All() }, test)
}

// inThose runs a test in the modes that are wanted, by their index.
func inThose(t *testing.T, wanted func(i int) bool, test func(t *testing.T, m Mode)) {
	t.Helper()
	for i, m := range Modes {
		if wanted(i) {
			t.Run(m.Name, func(t *testing.T) {
				t.Parallel()
				test(t, m)
			})
		}
	}
}

// How zcp says that a transfer ended well.
const (
	PlainEnd = `(sent|received) .*, (to|from) .* in [^,;]+\n$`
	EarlyEnd = `, acknowledged; the peer had closed its side early\n$`
	OpenEnd  = `, acknowledged; the peer kept its side open\n$`
)
