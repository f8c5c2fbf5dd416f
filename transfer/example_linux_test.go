package transfer_test

import (
	"context"
	"fmt"
	"io"
	"log"
	"os"
	"time"

	"golang.org/x/sys/unix"

	"github.com/zcp-go/zcp/transfer"
)

// A Transfer counts while it runs, and says afterwards which way the bytes went and, in
// an *Error, which side failed.
func ExampleTransfer() {
	r, w, err := os.Pipe()
	if err != nil {
		log.Fatal(err)
	}
	fmt.Fprint(w, "twelve bytes")
	w.Close()
	null, err := os.OpenFile(os.DevNull, os.O_WRONLY, 0)
	if err != nil {
		log.Fatal(err)
	}
	defer null.Close()
	t := transfer.Transfer{Idle: time.Minute}
	n, err := t.Copy(context.Background(), null, r)
	fmt.Println(n, err, t.Stats.Bytes.Load())

	full, err := os.OpenFile("/dev/full", os.O_WRONLY, 0)
	if err != nil {
		log.Fatal(err)
	}
	defer full.Close()
	zero, err := os.Open("/dev/zero")
	if err != nil {
		log.Fatal(err)
	}
	defer zero.Close()
	_, err = t.CopyN(context.Background(), full, zero, 100)
	fmt.Println(err)
	// Output:
	// 12 <nil> 12
	// write destination: no space left on device
}

// A source is a sequence of segments: bytes from memory and ranges of files.
func ExampleTransfer_MoveSegment() {
	file, err := os.CreateTemp("", "example")
	if err != nil {
		log.Fatal(err)
	}
	defer os.Remove(file.Name())
	if _, err := file.WriteString("sent before, and now the rest"); err != nil {
		log.Fatal(err)
	}
	fd, err := unix.Open(file.Name(), unix.O_RDONLY|unix.O_CLOEXEC, 0)
	if err != nil {
		log.Fatal(err)
	}
	src, err := transfer.Own(fd)
	if err != nil {
		log.Fatal(err)
	}
	defer src.Close()
	r, w, err := os.Pipe()
	if err != nil {
		log.Fatal(err)
	}
	dst, err := transfer.NewEndpoint(int(w.Fd()))
	if err != nil {
		log.Fatal(err)
	}

	var t transfer.Transfer
	for _, s := range []transfer.Segment{{Bytes: []byte("header: ")}, {From: src, Skip: 13, N: -1}} {
		if _, err := t.MoveSegment(context.Background(), dst, s); err != nil {
			log.Fatal(err)
		}
	}
	w.Close()
	got, err := io.ReadAll(r)
	fmt.Printf("%s, %v; %d bytes, %d skipped\n", got, err, t.Stats.Bytes.Load(), t.Stats.Offset.Load())
	// Output:
	// header: and now the rest, <nil>; 24 bytes, 13 skipped
}
