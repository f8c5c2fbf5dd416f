//go:build linux

package main

import (
	"cmp"
	"fmt"
	"hash/crc32"
	"io"
	"math/rand/v2"
	"os"
	"path/filepath"
)

// makeData writes the files data and small, of bytes that do not repeat, and the block
// of the pipe writers, and sums them.
func (b *bench) makeData() error {
	random := rand.NewChaCha8([32]byte{'z', 'c', 'p'})
	for name, size := range map[string]int64{"small": 4096, "data": b.size} {
		file, err := create(filepath.Join(b.work, name), random, size)
		// The disk is done with it before the first round begins.
		if err = cmp.Or(err, file.Sync(), file.Close()); err != nil {
			return err
		}
	}
	b.sum = b.prefix("data", b.size).sum
	b.block = make([]byte, chunk)
	random.Read(b.block)
	for left := b.size; left > 0; left -= chunk {
		b.blocks = crc32.Update(b.blocks, castagnoli, b.block[:min(left, chunk)])
	}
	return nil
}

// create makes a file of n bytes.
func create(name string, random io.Reader, n int64) (*os.File, error) {
	file, err := os.Create(name)
	if err == nil {
		_, err = io.CopyBuffer(onlyWriter{file}, io.LimitReader(random, n), make([]byte, chunk))
	}
	return file, err
}

// onlyWriter hides everything of a file but Write, so that the buffer is used.
type onlyWriter struct{ io.Writer }

// prefix returns the sum of the first n bytes of a file in the working folder. It reads
// all of them, and so warms the page cache too.
func (b *bench) prefix(name string, n int64) payload {
	got := payload{}
	file, err := os.Open(filepath.Join(b.work, name))
	if err != nil {
		return got // the comparison will fail
	}
	defer file.Close()
	sum := crc32.New(castagnoli)
	got.bytes, _ = io.CopyBuffer(sum, io.LimitReader(file, n), make([]byte, chunk))
	got.sum = sum.Sum32()
	return got
}

// sumFile returns the size of a file, and its sum where it is asked for.
func sumFile(name string, look bool) (got payload, err error) {
	file, err := os.Open(name)
	if err != nil {
		return got, fmt.Errorf("nothing arrived: %w", err)
	}
	defer file.Close()
	info, err := file.Stat()
	if err != nil {
		return got, err
	}
	if !look {
		return payload{bytes: info.Size()}, nil
	}
	sum := crc32.New(castagnoli)
	got.bytes, err = io.CopyBuffer(sum, onlyReader{file}, make([]byte, min(chunk, info.Size()+1)))
	got.sum = sum.Sum32()
	return got, err
}

// onlyReader hides everything of a file but Read.
type onlyReader struct{ io.Reader }
