//go:build !linux

package main

import (
	"errors"
	"net/netip"
)

// The loads with media read their sockets by epoll and take times of the kernel.

type (
	sockets struct{}
	socket  struct{ local netip.AddrPort }
	target  struct{}
)

func newSockets() (*sockets, error) { return nil, errors.New("loads of calls need Linux") }

func (*sockets) open() (*socket, error) {
	return nil, errors.ErrUnsupported
}

func (*sockets) watch(*socket, func([]byte, netip.AddrPort, int64)) error {
	return errors.ErrUnsupported
}
func (*sockets) shut(*socket)          {}
func (*sockets) close()                {}
func newTarget(netip.AddrPort) *target { return &target{} }
func (*socket) send([]byte, *target)   {}
