//go:build linux

package main

import (
	"cmp"
	"fmt"
	"hash/crc32"
	"io/fs"
	"math"
	"math/rand/v2"
	"os"
	"path/filepath"
)

// A forest is a folder that a row sends. Its size follows that of the data: with the usual 0.5 GiB
// it is what the row's name says.
type forest struct {
	name  string
	make  func(b *bench, dir string) error
	ready bool
	sum   payload
}

const usualSize = 512 << 20 // bytes of data, with which a forest has its full size

var (
	manyFiles = &forest{name: "tree-many", make: makeMany}
	fewFiles  = &forest{name: "tree-few", make: makeFew}
)

func treeRows() []row {
	rivals := func(tree string) []tool {
		return []tool{
			{name: "zcp", command: "zcp send -q " + tree + "/ 127.0.0.1:PORT", receiver: "zcp recv -q :PORT COPY/"},
			{
				name: "tar and nc", command: "tar -C " + tree + " -c . | nc.openbsd -N 127.0.0.1 PORT", needs: []string{"nc.openbsd"},
				receiver: "mkdir COPY && nc.openbsd -d -l PORT | tar -C COPY -x",
			},
			{
				name: "tar and socat -b1M", command: "tar -C " + tree + " -c . | socat -u -b1048576 STDIN TCP:127.0.0.1:PORT", needs: []string{"socat"},
				receiver: "mkdir COPY && socat -u -b1048576 TCP-LISTEN:PORT STDOUT | tar -C COPY -x",
			},
		}
	}
	return []row{
		{
			name: "a tree of 70,000 files", about: "log-normal sizes, median 4.5 kB, mean 12 kB, 40 files a folder; processor time: sender + receiver",
			net: netReceiver, tree: manyFiles, tools: rivals(manyFiles.name),
		},
		{
			name: "a tree of 20 files of 100 MB", about: "processor time: sender + receiver",
			net: netReceiver, tree: fewFiles, tools: rivals(fewFiles.name),
		},
	}
}

// plant makes the folder, once, and sums it.
func (b *bench) plant(f *forest) (err error) {
	if f.ready {
		return nil
	}
	dir := filepath.Join(b.work, f.name)
	if err = f.make(b, dir); err == nil {
		f.sum, err = sumTree(dir, true)
	}
	f.ready = err == nil
	return err
}

// makeMany makes files like those of a source tree: their sizes are log-normal.
func makeMany(b *bench, dir string) error {
	source := rand.NewChaCha8([32]byte{'t', 'r', 'e', 'e'})
	random := rand.New(source)
	noise := make([]byte, 4<<20)
	source.Read(noise)
	const median, sigma, folder = 4500, 1.4, 40
	for i := range max(20, int(70_000*b.size/usualSize)) {
		size := min(int(median*math.Exp(sigma*random.NormFloat64())), len(noise)/2)
		at := filepath.Join(dir, fmt.Sprintf("%d/%d", i/(folder*folder), i/folder))
		if i%folder == 0 {
			if err := os.MkdirAll(at, 0o755); err != nil {
				return err
			}
		}
		from := random.IntN(len(noise) / 2)
		if err := os.WriteFile(filepath.Join(at, fmt.Sprintf("file-%d.c", i)), noise[from:from+size], 0o644); err != nil {
			return err
		}
	}
	return nil
}

func makeFew(b *bench, dir string) error {
	if err := os.Mkdir(dir, 0o755); err != nil {
		return err
	}
	random := rand.NewChaCha8([32]byte{'f', 'e', 'w'})
	for i := range 20 {
		file, err := create(filepath.Join(dir, fmt.Sprintf("file-%d.bin", i)), random, 100_000_000*b.size/usualSize)
		if err = cmp.Or(err, file.Close()); err != nil {
			return err
		}
	}
	return nil
}

// sumTree adds up the files of a folder; where it is to look, their names, modes and bytes are in the sum.
func sumTree(dir string, look bool) (got payload, err error) {
	err = filepath.WalkDir(dir, func(path string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() {
			return err
		}
		info, err := d.Info()
		if err != nil {
			return err
		}
		got.bytes += info.Size()
		if !look {
			return nil
		}
		one, err := sumFile(path, true)
		rel, _ := filepath.Rel(dir, path) // path is below dir
		got.sum = crc32.Update(got.sum, castagnoli, fmt.Appendf(nil, "%s %o %d %x\n", rel, info.Mode(), one.bytes, one.sum))
		return err
	})
	return got, err
}

// bytes is how many bytes the files hold; 0 of no forest.
func (f *forest) bytes() int64 {
	if f == nil {
		return 0
	}
	return f.sum.bytes
}
