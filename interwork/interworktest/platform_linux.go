package interworktest

import (
	"errors"
	"fmt"
	"net"
	"os"
	"strconv"
	"strings"
	"syscall"
)

// ownGroup puts a child at the head of its own process group and has the
// kernel end it when this process dies, however that happens.
func ownGroup() *syscall.SysProcAttr {
	return &syscall.SysProcAttr{Setpgid: true, Pdeathsig: syscall.SIGKILL}
}

// reservePort claims a port among all test binaries of this machine. The claim
// is an abstract unix socket: exclusive, without a file, and gone with the
// process that holds it.
func reservePort(port int) (release func(), ok bool) {
	l, err := net.Listen("unix", "@stoxgate-test-port-"+strconv.Itoa(port))
	if err != nil {
		return nil, false
	}
	return func() { l.Close() }, true
}

// bound tells, without touching the port, whether a program has bound it for
// network "udp" or listens on it for "tcp".
func bound(network string, port int) error {
	data, err := os.ReadFile("/proc/net/" + network)
	if err != nil {
		return err
	}
	// "  sl  local_address rem_address   st …": addresses and state in hex.
	const listen, unconnected = "0A", "07"
	want := fmt.Sprintf(":%04X", port)
	for line := range strings.Lines(string(data)) {
		f := strings.Fields(line)
		if len(f) > 3 && strings.HasSuffix(f[1], want) && (f[3] == listen || f[3] == unconnected) {
			return nil
		}
	}
	return errors.New(network + " port " + strconv.Itoa(port) + " is not bound")
}
