package transfer_test

import (
	"bytes"
	"errors"
	"fmt"
	"os"
	"slices"
	"testing"

	"golang.org/x/sys/unix"

	"github.com/zcp-go/zcp/transfer"
	"github.com/zcp-go/zcp/transfer/internal/bed"
)

// pipeSize is what the tests let transfers ask for. It is small, so that a file of a
// few hundred KiB is larger than the pipe and no user's budget is used up.
const pipeSize = 128 << 10

// ways returns the paths that the plan promises for a pair, in the order in which they
// are tried. It is the table of the design written a second time, so that no change of
// it goes unnoticed.
func ways(src source, dst sink, n int) []transfer.Path {
	type cell struct {
		src, dst transfer.Kind
	}
	const (
		cfr, sf, sp, two, rw = transfer.CopyFileRange, transfer.Sendfile, transfer.Splice, transfer.SplicePipe, transfer.ReadWrite
	)
	var all []transfer.Path
	switch c := (cell{src.kind, dst.kind}); {
	case c.src == transfer.Terminal, c.dst == transfer.Terminal, c.src == transfer.Pseudo:
	case src.name == "memfd": // another descriptor has it open for writing
	case c.src == transfer.File && c.dst == transfer.Pipe:
		// By reference only where more is left than the pipe holds, and the file cannot be written to.
		if n > refusing.pipeSize()+4096 {
			all = []transfer.Path{sp}
		}
	case c.src == transfer.File && c.dst == transfer.File:
		all = []transfer.Path{cfr, two}
		if src.name != dst.name { // other file systems, or O_APPEND
			all = all[1:]
		}
	case c.src == transfer.File && c.dst == transfer.TCP && n >= 256<<10:
		all = []transfer.Path{two, sf}
	case c.src == transfer.File && (c.dst == transfer.TCP || c.dst == transfer.Unix):
		all = []transfer.Path{sf, two}
	case c.src == transfer.Block && (c.dst == transfer.TCP || c.dst == transfer.Unix):
		all = []transfer.Path{sf, two}
	case c.src == transfer.Block && c.dst == transfer.Pipe:
	case c.src == transfer.Pipe && (c.dst == transfer.Pipe || c.dst == transfer.TCP || c.dst == transfer.Unix),
		(c.src == transfer.TCP || c.src == transfer.Unix) && c.dst == transfer.Pipe:
		all = []transfer.Path{sp}
	default:
		all = []transfer.Path{two}
	}
	if dst.name == "appended" || src.name == "memfd" { // the latter is open for writing: no lease, so it is copied
		all = nil
	}
	return append(all, rw)
}

// sizes are the shapes of a source that is there at once or comes as fast as it can.
var sizes = []int{0, 1, 4095, 65537, 1<<20 + 1}

func TestPairs(t *testing.T) {
	for _, src := range sources {
		t.Run(src.name, func(t *testing.T) {
			for _, dst := range sinks {
				if refusing.again() && (src.twin || dst.twin) {
					continue
				}
				t.Run(dst.name, func(t *testing.T) {
					for _, n := range sizesOf(src) {
						t.Run(fmt.Sprint(n), func(t *testing.T) { movePair(t, src, dst, n) })
					}
				})
			}
		})
	}
}

func sizesOf(src source) []int {
	switch {
	case src.fixed != "":
		return []int{-1}
	case refusing.inMiddle():
		return []int{300001}
	case refusing.again():
		return []int{1, 300001}
	}
	return sizes
}

func dataFor(t testing.TB, src source, n int) []byte {
	switch {
	case src.fixed != "":
		return bed.Must(os.ReadFile(src.fixed))(t)
	case src.zeros:
		return make([]byte, n)
	}
	return bed.Noise(n, uint64(n))
}

func limitOf(src source, data []byte) int64 {
	if src.limit {
		return int64(len(data))
	}
	return -1
}

// movePair moves n bytes and looks at the bytes, the count and the paths.
func movePair(t *testing.T, src source, dst sink, n int) {
	data := dataFor(t, src, n)
	from, w := src.open(t, data)
	to, r, stored := dst.open(t)
	if from.Kind() != src.kind || to.Kind() != dst.kind {
		t.Fatalf("kinds %v and %v, want %v and %v", from.Kind(), to.Kind(), src.kind, dst.kind)
	}
	if w != nil {
		go feed(w, data, src.limit)
	}
	var d *bed.Drain
	if r != nil {
		want := -1
		if dst.endless {
			want = len(data)
		}
		d = bed.DrainAll(r, want, nil)
	}
	tr := transfer.Transfer{PipeSize: pipeSize}
	moved, err := tr.Move(bedContext(t), to, from, limitOf(src, data))
	if err != nil || moved != int64(len(data)) {
		t.Fatalf("moved %d, %v, want %d", moved, err, len(data))
	}
	var got []byte
	switch {
	case d != nil:
		if dst.endless { // the last close of a terminal drops what its reader has not read
			<-d.Done
		}
		if err := to.Close(); err != nil {
			t.Error(err)
		}
		if got, err = d.Wait(); err != nil {
			t.Error("the reader:", err)
		}
	case stored != nil:
		got = stored(len(data))
	}
	if !dst.swallow && !bytes.Equal(got, data) {
		t.Errorf("%d bytes arrived that are not the %d sent", len(got), len(data))
	}
	if s := from.Verify(); s == transfer.Changed || s == transfer.MetadataChanged || s == transfer.Grew {
		t.Errorf("the source that was not changed is called %v", s)
	}
	lookAtPaths(t, &tr, ways(src, dst, len(data)), int64(len(data)))
}

// feed is the neighbour that writes. It closes its end unless the test has to.
func feed(w *os.File, data []byte, stay bool) {
	_, _ = w.Write(data) // an error shows at the other end
	if !stay {
		w.Close()
	}
}

// lookAtPaths compares the paths that moved bytes with the first that had to work.
func lookAtPaths(t *testing.T, tr *transfer.Transfer, want []transfer.Path, n int64) {
	t.Helper()
	var sum int64
	for p := transfer.CopyFileRange; p <= transfer.ReadWrite; p++ {
		b, _ := tr.Stats.Path(p)
		sum += b
	}
	if sum != n || tr.Stats.Bytes.Load() != n || tr.Stats.Lost.Load() != 0 {
		t.Errorf("%d bytes by paths, %d in all, %d lost, want %d, %d, 0", sum, tr.Stats.Bytes.Load(), tr.Stats.Lost.Load(), n, n)
	}
	if refusing.inMiddle() {
		return // what ran then is not one path; see TestRefusedInTheMiddle
	}
	if n == 0 {
		return
	}
	first := slices.IndexFunc(want, func(p transfer.Path) bool { return !refusing.path(p) })
	ran := tr.Stats.Paths()
	copied := want[first] == transfer.Splice && slices.Equal(ran, []transfer.Path{transfer.Splice, transfer.ReadWrite})
	if !copied && !slices.Equal(ran, want[first:first+1]) { // the last of a file is copied into a pipe
		t.Errorf("%v ran, want %v; fallbacks %v", ran, want[first], tr.Stats.Fallbacks())
	}
	for i, p := range want {
		refused := slices.ContainsFunc(tr.Stats.Fallbacks(), func(f transfer.Fallback) bool {
			return f.Path == p && (i >= first || errors.Is(f.Err, refusing.errno(p)) && f.At == 0)
		})
		if refused != (i < first) {
			t.Errorf("%v: refused %v, want %v; fallbacks %v", p, refused, i < first, tr.Stats.Fallbacks())
		}
	}
}

// TestFull is the pairs with a destination that has a true error to tell.
func TestFull(t *testing.T) {
	for _, src := range sources {
		t.Run(src.name, func(t *testing.T) {
			data := dataFor(t, src, 70000)
			from, w := src.open(t, data)
			if w != nil {
				go feed(w, data, true)
			}
			to := openFor(t, "/dev/full", unix.O_WRONLY)
			var tr transfer.Transfer
			n, err := tr.Move(bedContext(t), to, from, limitOf(src, data))
			var e *transfer.Error
			if !errors.As(err, &e) || e.Side != transfer.Destination || e.Err != unix.ENOSPC || n != 0 {
				t.Errorf("moved %d, %v, want ENOSPC of the destination", n, err)
			}
		})
	}
}
