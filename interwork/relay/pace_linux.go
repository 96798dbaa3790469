package relay

import (
	"fmt"
	"os"
	"syscall"
	"time"

	"golang.org/x/sys/unix"
)

// pace lets a busy reader look for packets now and then instead of being woken for each:
// being woken is more than a third of what a packet costs. The timer is the kernel's,
// through the descriptor that all of Go waits on, because that of Go itself is no finer
// than a millisecond there.
type pace struct {
	file  *os.File
	raw   syscall.RawConn
	armed bool
	sleep func(fd uintptr) bool
	pause unix.ItimerSpec

	busy  bool
	since time.Time
	n     int // packets since
}

const (
	// pacePause is how long a busy reader lets packets wait. With the time it then takes to
	// send them a packet is delayed by less than a millisecond.
	pacePause = 300 * time.Microsecond
	// paceWindow is how often a reader finds out whether it is busy; it is from paceMany
	// packets in it, some 40 calls, until there are fewer than paceFew.
	paceWindow = 50 * time.Millisecond
	paceMany   = 200
	paceFew    = 100
)

func newPace() (*pace, error) {
	fd, err := unix.TimerfdCreate(unix.CLOCK_MONOTONIC, unix.TFD_CLOEXEC|unix.TFD_NONBLOCK)
	if err != nil {
		return nil, os.NewSyscallError("timerfd_create", err)
	}
	p := &pace{file: os.NewFile(uintptr(fd), "timer"), pause: unix.ItimerSpec{Value: unix.NsecToTimespec(int64(pacePause))}}
	if p.raw, err = p.file.SyscallConn(); err != nil {
		_ = p.file.Close()
		return nil, fmt.Errorf("relay: timer: %w", err)
	}
	p.sleep = func(fd uintptr) bool {
		if p.armed = !p.armed; !p.armed {
			return true // the time is over
		}
		return unix.TimerfdSettime(int(fd), 0, &p.pause, nil) != nil
	}
	return p, nil
}

// wait waits for pacePause.
func (p *pace) wait() error {
	p.armed = false
	return p.raw.Read(p.sleep)
}

// count notes how many packets came by now, and tells the rate, in packets a second, at
// the end of each window.
func (p *pace) count(n int, now time.Time) (rate int, known bool) {
	p.n += n
	d := now.Sub(p.since)
	if d < paceWindow {
		return 0, false
	}
	rate = int(int64(p.n) * int64(time.Second) / int64(d))
	few := paceMany
	if p.busy {
		few = paceFew
	}
	p.busy = rate >= few*int(time.Second/paceWindow)
	p.n, p.since = 0, now
	return rate, true
}

func (p *pace) close() { _ = p.file.Close() }
