package transfer_test

import (
	"bytes"
	"errors"
	"io"
	"os"
	"path/filepath"
	"runtime"
	"strconv"
	"testing"

	"golang.org/x/sys/unix"

	"github.com/zcp-go/zcp/transfer"
	"github.com/zcp-go/zcp/transfer/internal/bed"
)

// overwrite changes every byte of a file in place.
func overwrite(t testing.TB, path string) {
	t.Helper()
	f := bed.Must(os.OpenFile(path, os.O_WRONLY, 0))(t)
	defer f.Close()
	size := bed.Must(f.Seek(0, io.SeekEnd))(t)
	bed.Must(f.WriteAt(bytes.Repeat([]byte{'!'}, int(size)), 0))(t)
}

// wrote tells how many bytes took the kernel's paths, and how many went through memory.
func wrote(tr *transfer.Transfer) (kernel, memory int64) {
	memory, _ = tr.Stats.Path(transfer.ReadWrite)
	return tr.Stats.Bytes.Load() - memory, memory
}

// readUntilMoved is a reader of a pipe that reads no more than it must for the transfer to
// end, so that the pipe is full when it does.
func readUntilMoved(t testing.TB, tr *transfer.Transfer, r *os.File, done <-chan outcome) (got []byte) {
	t.Helper()
	b := make([]byte, 5000)
	bed.Until(t, "the transfer to end", func() bool {
		if side, _ := tr.Stats.Waiting(); len(done) == 0 && side == transfer.Destination {
			n := bed.Must(r.Read(b))(t)
			got = append(got, b[:n]...)
		}
		return len(done) > 0
	})
	if o := <-done; o.err != nil {
		t.Error(o.err)
	}
	return got
}

// TestNothingOfTheFileStaysInThePipe changes the file when the transfer and its process would
// be gone: a slow reader still gets the bytes of before, however they went.
func TestNothingOfTheFileStaysInThePipe(t *testing.T) {
	for _, c := range []struct {
		name   string
		size   int
		kernel bool // some of it goes by reference
		writer bool // another descriptor has the file open for writing
		owned  bool
	}{
		{"lease", 4*pipeSize + 11, true, false, true},
		{"lease, inherited", 4*pipeSize + 11, true, false, false},
		{"a writer", 4*pipeSize + 11, false, true, true},
		{"as large as the pipe", pipeSize, false, false, true},
		{"a page more", pipeSize + 4096, false, false, true},
		{"two bytes more", pipeSize + 4098, true, false, true},
	} {
		t.Run(c.name, func(t *testing.T) {
			data := bed.Noise(c.size, 11)
			path := fileWith(t, data)
			if c.writer {
				defer bed.Must(os.OpenFile(path, os.O_WRONLY, 0))(t).Close()
			}
			src := openFor(t, path, unix.O_RDONLY)
			if !c.owned {
				src = bed.Must(transfer.Inherit(src.FD()))(t)
			}
			dst, r, _ := farSink(newPipe)(t)
			tr := transfer.Transfer{PipeSize: pipeSize}
			got := readUntilMoved(t, &tr, r, moving(bedContext(t), &tr, dst, src, -1))
			guarding, _ := src.Guarding()
			if want := map[bool]transfer.Guarding{false: transfer.Lease, true: transfer.ComparedOnly}[c.writer]; guarding != want {
				t.Errorf("guarded by %v, want %v", guarding, want)
			}
			if s := src.Verify(); s != transfer.Unchanged {
				t.Errorf("state %v", s)
			}
			overwrite(t, path)
			dst.Close()
			got = append(got, bed.Must(io.ReadAll(r))(t)...)
			if !bytes.Equal(got, data) {
				t.Errorf("the reader got what was written after the end (%d bytes)", len(got))
			}
			kernel, memory := wrote(&tr)
			if (kernel > 0) != c.kernel || memory < min(int64(c.size), pipeSize) {
				t.Errorf("%d bytes by reference, %d copied", kernel, memory)
			}
		})
	}
}

// TestReaderGrowsThePipe lets the reader make the pipe larger than it was when the transfer
// began: more of the file is copied then, and still nothing of it stays in the pipe.
func TestReaderGrowsThePipe(t *testing.T) {
	data := bed.Noise(16*pipeSize+11, 17)
	path := fileWith(t, data)
	src := openFor(t, path, unix.O_RDONLY)
	dst, r, _ := farSink(newPipe)(t)
	tr := transfer.Transfer{PipeSize: pipeSize}
	done := moving(bedContext(t), &tr, dst, src, -1)
	waitsFor(t, &tr, transfer.Destination)
	raw := bed.Must(r.SyscallConn())(t)
	bed.MustDo(t, raw.Control(func(fd uintptr) { bed.Must(unix.FcntlInt(fd, unix.F_SETPIPE_SZ, 4*pipeSize))(t) }))
	got := readUntilMoved(t, &tr, r, done)
	if s := src.Verify(); s != transfer.Unchanged {
		t.Errorf("state %v", s)
	}
	overwrite(t, path)
	dst.Close()
	if got = append(got, bed.Must(io.ReadAll(r))(t)...); !bytes.Equal(got, data) {
		t.Errorf("the reader got what was written after the end (%d bytes)", len(got))
	}
	if kernel, memory := wrote(&tr); kernel == 0 || memory < 4*pipeSize {
		t.Errorf("%d bytes by reference, %d copied", kernel, memory)
	}
}

// TestSealed sends memory that cannot be changed by reference to the last byte, and memory
// that its maker can still write to as a copy, whatever description of it we were given.
func TestSealed(t *testing.T) {
	for _, c := range []struct {
		name   string
		seals  int
		reopen bool
		want   transfer.Guarding
	}{
		{"sealed", unix.F_SEAL_WRITE | unix.F_SEAL_SHRINK | unix.F_SEAL_GROW, false, transfer.Fixed},
		{"sealed against writing only", unix.F_SEAL_WRITE, false, transfer.ComparedOnly},
		{"open", 0, false, transfer.ComparedOnly},
		{"open, passed on for reading", 0, true, transfer.ComparedOnly},
	} {
		for _, sink := range []func(testing.TB) (*transfer.Endpoint, *os.File, func(int) []byte){farSink(newPipe), farSink(newTCP)} {
			dst, r, _ := sink(t)
			t.Run(c.name+" to "+dst.Kind().String(), func(t *testing.T) {
				data := bed.Noise(large, 12)
				src, _ := memfdSource(t, data)
				if c.seals != 0 {
					bed.Must(unix.FcntlInt(uintptr(src.FD()), unix.F_ADD_SEALS, c.seals))(t)
				}
				if c.reopen {
					src = openFor(t, "/proc/self/fd/"+strconv.Itoa(src.FD()), unix.O_RDONLY)
				}
				d := bed.DrainAll(r, large, nil)
				tr := transfer.Transfer{PipeSize: pipeSize}
				if n, err := tr.Move(bedContext(t), dst, src, -1); n != large || err != nil {
					t.Fatal(n, err)
				}
				if got, _ := d.Wait(); !bytes.Equal(got, data) {
					t.Error("other bytes arrived")
				}
				g, _ := src.Guarding()
				kernel, memory := wrote(&tr)
				fixed := c.want == transfer.Fixed
				if g != c.want || fixed && memory != 0 || !fixed && kernel != 0 {
					t.Errorf("guarded by %v, want %v; %d by reference, %d copied", g, c.want, kernel, memory)
				}
				if s := src.Verify(); s != transfer.Unchanged {
					t.Errorf("state %v", s)
				}
			})
		}
	}
}

// TestNotTheOwner sends a file of another user: no lease is granted, so it goes to a
// socket by reference and is compared, and to a pipe as a copy.
func TestNotTheOwner(t *testing.T) {
	path := filepath.Join(t.TempDir(), "theirs")
	if err := os.WriteFile(path, bed.Noise(large, 13), 0o644); err != nil {
		t.Fatal(err)
	}
	if os.Geteuid() == 0 {
		if err := os.Chown(path, 12345, 12345); err != nil {
			t.Fatal(err)
		}
		runtime.LockOSThread() // and never unlocked, so that the thread ends with this test
		if err := dropLeases(); err != nil {
			t.Fatal(err)
		}
	} else {
		bed.SkipLoudly(t, "only root can give a file away")
	}
	for _, sink := range []func(testing.TB) (*transfer.Endpoint, *os.File, func(int) []byte){farSink(newTCP), farSink(newUnix), farSink(newPipe)} {
		for _, c := range changes {
			dst, r, _ := sink(t)
			src := openFor(t, path, unix.O_RDONLY)
			d := bed.DrainAll(r, large, nil)
			tr := transfer.Transfer{PipeSize: pipeSize}
			if n, err := tr.Move(bedContext(t), dst, src, -1); n != large || err != nil {
				t.Fatal(n, err)
			}
			<-d.Done
			if g, err := src.Guarding(); g != transfer.ComparedOnly || !errors.Is(err, unix.EACCES) {
				t.Errorf("guarded by %v, %v", g, err)
			}
			if kernel, memory := wrote(&tr); (kernel != 0) != dst.Kind().Socket() || kernel != 0 && memory != 0 {
				t.Errorf("to %v: %d by reference, %d copied", dst.Kind(), kernel, memory)
			}
			c.change(t, path)
			if s := src.Verify(); s != c.want {
				t.Errorf("to %v, %s: state %v, want %v", dst.Kind(), c.name, s, c.want)
			}
		}
	}
}

// changes are what may become of a source that no lease protects.
var changes = []struct {
	name   string
	change func(testing.TB, string)
	want   transfer.SourceState
}{
	{"nothing", func(testing.TB, string) {}, transfer.Unchanged},
	{"chmod", func(t testing.TB, path string) {
		bed.MustDo(t, errors.Join(os.Chmod(path, 0o640), os.Chmod(path, 0o644)))
	}, transfer.MetadataChanged},
	{"link", func(t testing.TB, path string) {
		bed.MustDo(t, errors.Join(os.Link(path, path+"2"), os.Remove(path+"2")))
	}, transfer.MetadataChanged},
	{"written", overwrite, transfer.Changed},
	{"written, its time put back", overwriteUnseen, transfer.Changed},
}

// overwriteUnseen puts the time of the file back, as touch -r, cp -p and rsync -t do.
func overwriteUnseen(t testing.TB, path string) {
	t.Helper()
	var st unix.Stat_t
	bed.MustDo(t, unix.Stat(path, &st))
	overwrite(t, path)
	bed.MustDo(t, unix.UtimesNanoAt(unix.AT_FDCWD, path, []unix.Timespec{st.Atim, st.Mtim}, 0))
}

// TestTimePutBack: without a lease, because a writer has the file open, or because all is copied, the bytes decide.
func TestTimePutBack(t *testing.T) {
	for _, copied := range []bool{false, true} {
		for _, c := range changes {
			path := fileWith(t, bed.Noise(large, 14))
			if !copied {
				defer bed.Must(os.OpenFile(path, os.O_WRONLY, 0))(t).Close()
			}
			dst, r, _ := farSink(newTCP)(t)
			src := openFor(t, path, unix.O_RDONLY)
			d := bed.DrainAll(r, large, nil)
			tr := transfer.Transfer{PipeSize: pipeSize, NoSplice: copied}
			if n, err := tr.Move(bedContext(t), dst, src, -1); n != large || err != nil {
				t.Fatal(n, err)
			}
			<-d.Done
			c.change(t, path)
			if s := src.Verify(); s != c.want {
				t.Errorf("copied %v, %s: state %v, want %v", copied, c.name, s, c.want)
			}
		}
	}
}

// dropLeases takes the right to lease other people's files from this thread.
func dropLeases() error {
	header := unix.CapUserHeader{Version: unix.LINUX_CAPABILITY_VERSION_3}
	var data [2]unix.CapUserData
	if err := unix.Capget(&header, &data[0]); err != nil {
		return err
	}
	data[0].Effective &^= 1 << unix.CAP_LEASE
	return unix.Capset(&header, &data[0])
}
