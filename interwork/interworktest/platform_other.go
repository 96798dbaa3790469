//go:build unix && !linux

package interworktest

import (
	"errors"
	"net"
	"syscall"
)

// ownGroup puts a child at the head of its own process group. The tie to the
// life of this process is Linux's alone.
func ownGroup() *syscall.SysProcAttr { return &syscall.SysProcAttr{Setpgid: true} }

// reservePort has no exclusive claim without Linux's abstract sockets: test
// binaries that run at the same time rely on starting at different places.
func reservePort(int) (release func(), ok bool) { return func() {}, true }

// bound tells whether a program has bound a port, by trying to bind it.
func bound(network string, port int) error {
	if network == "tcp" {
		return listening(loopback(port))()
	}
	c, err := net.ListenPacket(network, loopback(port))
	if err != nil {
		return nil
	}
	c.Close()
	return errors.New("port is not bound")
}
