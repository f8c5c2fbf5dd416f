package transfer_test

import (
	"context"
	"fmt"
	"log"
	"os"
	"time"

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
