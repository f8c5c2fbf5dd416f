package relay_test

import (
	"context"
	"fmt"
	"io"
	"log"
	"net"
	"time"

	"github.com/zcp-go/zcp/transfer"
	"github.com/zcp-go/zcp/transfer/relay"
)

// A relay in front of a server that answers with the line it was sent, until it is drained.
func ExampleRelay() {
	backend, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		log.Fatal(err)
	}
	defer backend.Close()
	go answerOne(backend)

	ctx := context.Background()
	front, err := transfer.Listen(ctx, "tcp", "127.0.0.1:0")
	if err != nil {
		log.Fatal(err)
	}
	addr := front.Addr().String()
	r := relay.Relay{Network: "tcp", Address: backend.Addr().String(), Idle: time.Minute}
	served := make(chan error)
	go func() { served <- r.Serve(ctx, front) }()

	client, err := net.Dial("tcp", addr)
	if err != nil {
		log.Fatal(err)
	}
	fmt.Fprint(client, "both ways")
	client.(*net.TCPConn).CloseWrite() // the end is passed on behind the last byte
	answer, err := io.ReadAll(client)
	fmt.Printf("%s %v\n", answer, err)
	client.Close()

	r.Drain(time.Second)
	fmt.Println(<-served)
	t := r.Totals()
	fmt.Println(t.Accepted, t.Up, t.Down, t.Broken)
	// Output:
	// both ways <nil>
	// <nil>
	// 1 9 9 0
}

func answerOne(ln net.Listener) {
	c, err := ln.Accept()
	if err != nil {
		return
	}
	defer c.Close()
	if _, err := io.Copy(c, c); err != nil {
		log.Print(err)
	}
}

// What net.Listen has opened is served by a relay, too.
func ExampleRelay_listenerOf() {
	backend, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		log.Fatal(err)
	}
	defer backend.Close()
	go answerOne(backend)
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		log.Fatal(err)
	}
	addr := ln.Addr().String()
	front, err := transfer.ListenerOf(ln)
	if err != nil {
		log.Fatal(err)
	}
	r := relay.Relay{Network: "tcp", Address: backend.Addr().String(), OnEvent: func(e relay.Event) {
		if e.Kind == relay.Closed {
			fmt.Println(e.Kind, e.Reason)
		}
	}}
	served := make(chan error)
	go func() { served <- r.Serve(context.Background(), front) }()
	client, err := net.Dial("tcp", addr)
	if err != nil {
		log.Fatal(err)
	}
	fmt.Fprint(client, "x")
	client.(*net.TCPConn).CloseWrite()
	if _, err := io.ReadAll(client); err != nil {
		log.Fatal(err)
	}
	client.Close()
	r.Drain(time.Second)
	fmt.Println(<-served)
	// Output:
	// closed ended
	// <nil>
}
