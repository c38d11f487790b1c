// SPDX-License-Identifier: MIT
//
// A server that closes each connection first and does without SO_REUSEADDR, which Go sets by itself.
package main

import (
	"context"
	"fmt"
	"net"
	"os"
	"syscall"
)

func main() {
	without := func(network, address string, c syscall.RawConn) error {
		return c.Control(func(fd uintptr) {
			syscall.SetsockoptInt(int(fd), syscall.SOL_SOCKET, syscall.SO_REUSEADDR, 0)
		})
	}
	config := net.ListenConfig{Control: without}
	listener, err := config.Listen(context.Background(), "tcp", os.Args[1])
	if err != nil {
		fmt.Println(err)
		os.Exit(1)
	}
	for {
		connection, err := listener.Accept()
		if err != nil {
			os.Exit(1)
		}
		go func() {
			connection.Write([]byte("hello\n"))
			connection.Close()
		}()
	}
}
