package transfer_test

import (
	"context"
	"fmt"
	"log"
	"net"
	"os"
	"time"

	"github.com/zcp-go/zcp/transfer"
)

// A file goes to a TCP connection as with io.Copy, and the context can end it at any time.
func ExampleCopy() {
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		log.Fatal(err)
	}
	defer ln.Close()
	go serve(ln, "example_test.go")

	conn, err := net.Dial("tcp", ln.Addr().String())
	if err != nil {
		log.Fatal(err)
	}
	defer conn.Close()
	file, err := os.CreateTemp("", "example")
	if err != nil {
		log.Fatal(err)
	}
	defer os.Remove(file.Name())
	ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
	defer cancel()
	n, err := transfer.Copy(ctx, file, conn.(*net.TCPConn))
	if err != nil {
		log.Fatal(err)
	}
	sent, _ := os.Stat("example_test.go")
	fmt.Println("all of it:", n == sent.Size(), file.Close())
	// Output: all of it: true <nil>
}

func serve(ln net.Listener, name string) {
	conn, err := ln.Accept()
	if err != nil {
		log.Print(err)
		return
	}
	defer conn.Close()
	file, err := os.Open(name)
	if err != nil {
		log.Print(err)
		return
	}
	defer file.Close()
	if _, err := transfer.Copy(context.Background(), conn.(*net.TCPConn), file); err != nil {
		log.Print(err)
	}
}
