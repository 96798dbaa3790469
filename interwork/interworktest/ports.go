package interworktest

import (
	"net"
	"os"
	"strconv"
	"sync"
)

// Ports are taken below Linux's ephemeral range (32768 and up), so that no
// outgoing connection of any program can land on one between its reservation
// and its use.
const (
	firstPort = 20000
	lastPort  = 31999
)

var ports struct {
	sync.Mutex
	next int // 0: not chosen yet
}

// FreePort reserves one loopback port, free for UDP and TCP, until the test
// ends.
func FreePort(t TB) int {
	t.Helper()
	return FreePorts(t, 1)
}

// FreePorts reserves n consecutive loopback ports, each free for UDP and TCP,
// until the test ends, and returns the first. Other test binaries that run at
// the same time never get the same ones (see reservePort).
func FreePorts(t TB, n int) int {
	t.Helper()
	ports.Lock()
	defer ports.Unlock()
	if ports.next == 0 {
		// Test binaries start looking at different places.
		ports.next = firstPort + (os.Getpid()*53)%(lastPort-firstPort)
	}
	for range lastPort - firstPort {
		if ports.next+n > lastPort {
			ports.next = firstPort
		}
		first := ports.next
		release, taken := reserveRange(first, n)
		ports.next = taken + 1
		if release != nil {
			ports.next = first + n
			t.Cleanup(release)
			return first
		}
	}
	t.Fatalf("interworktest: no %d consecutive free loopback ports in %d-%d", n, firstPort, lastPort)
	return 0
}

// reserveRange reserves ports first to first+n-1. When one of them is taken it
// returns nil and that port.
func reserveRange(first, n int) (release func(), taken int) {
	var releases []func()
	release = func() {
		for _, r := range releases {
			r()
		}
	}
	for port := first; port < first+n; port++ {
		r, ok := reservePort(port)
		if ok {
			releases = append(releases, r)
		}
		if !ok || !portFree(port) {
			release()
			return nil, port
		}
	}
	return release, 0
}

func portFree(port int) bool {
	address := net.JoinHostPort("127.0.0.1", strconv.Itoa(port))
	l, err := net.Listen("tcp", address)
	if err != nil {
		return false
	}
	defer l.Close()
	c, err := net.ListenPacket("udp", address)
	if err != nil {
		return false
	}
	defer c.Close()
	return true
}

// loopback is the text form of a port on 127.0.0.1.
func loopback(port int) string { return net.JoinHostPort("127.0.0.1", strconv.Itoa(port)) }

// portOf is the reverse of loopback.
func portOf(address string) int {
	_, port, err := net.SplitHostPort(address)
	if err != nil {
		return 0
	}
	n, err := strconv.Atoi(port)
	if err != nil {
		return 0
	}
	return n
}
