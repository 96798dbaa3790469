package quickstart

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"strings"
	"syscall"
	"time"
)

// child is a program that runs as long as we do. It leads a process group of
// its own, so that a Ctrl-C at the terminal reaches only us, and we end the
// children in order.
type child struct {
	name   string
	cmd    *exec.Cmd
	log    string        // file for its output
	exited chan struct{} // closed once it is gone
}

func newChild(name, log, dir, program string, args ...string) *child {
	cmd := exec.Command(program, args...)
	cmd.Dir = dir
	cmd.SysProcAttr = ownGroup()
	return &child{name: name, cmd: cmd, log: log, exited: make(chan struct{})}
}

func (c *child) start() error {
	log, err := os.Create(c.log) // of this run only
	if err != nil {
		return fmt.Errorf("quickstart: %w", err)
	}
	defer log.Close()
	c.cmd.Stdout, c.cmd.Stderr = log, log
	if err := c.cmd.Start(); err != nil {
		return fmt.Errorf("quickstart: start %s: %w", c.name, err)
	}
	go func() {
		_ = c.cmd.Wait() // how it ended is in ProcessState
		close(c.exited)
	}()
	return nil
}

// waitFor waits until ready returns nil.
func (c *child) waitFor(ctx context.Context, within time.Duration, ready func(context.Context) error) error {
	ctx, cancel := context.WithTimeout(ctx, within)
	defer cancel()
	tick := time.NewTicker(50 * time.Millisecond)
	defer tick.Stop()
	for {
		err := ready(ctx)
		if err == nil {
			return nil
		}
		select {
		case <-c.exited:
			return c.died()
		case <-ctx.Done():
			return fmt.Errorf("quickstart: %s does not get ready: %w; the end of %s:\n%s", c.name, err, c.log, c.tail())
		case <-tick.C:
		}
	}
}

// died is the error for a child that ended by itself.
func (c *child) died() error {
	return fmt.Errorf("quickstart: %s ended (%v); the end of %s:\n%s", c.name, c.cmd.ProcessState, c.log, c.tail())
}

// stop asks it to end and kills it, and whatever it started, when it takes too
// long.
func (c *child) stop() error {
	select {
	case <-c.exited:
		return nil
	default:
	}
	if err := c.cmd.Process.Signal(syscall.SIGTERM); err != nil && !errors.Is(err, os.ErrProcessDone) {
		return fmt.Errorf("quickstart: stop %s: %w", c.name, err)
	}
	deadline := time.NewTimer(stopTimeout)
	defer deadline.Stop()
	select {
	case <-c.exited:
		return nil
	case <-deadline.C:
	}
	killGroup(c.cmd.Process) // it may have ended just now
	<-c.exited
	return fmt.Errorf("quickstart: %s did not stop within %v and was killed", c.name, stopTimeout)
}

// tail is the end of the child's output.
func (c *child) tail() string {
	const lines = 15
	data, err := os.ReadFile(c.log)
	if err != nil {
		return err.Error()
	}
	all := strings.Split(strings.TrimRight(string(data), "\n"), "\n")
	return "  " + strings.Join(all[max(0, len(all)-lines):], "\n  ")
}

// lock makes sure that a folder serves one run at a time. The lock is gone with
// the process that holds it.
func lock(path string) (unlock func(), err error) {
	f, err := os.OpenFile(path, os.O_CREATE|os.O_RDWR, 0o600)
	if err != nil {
		return nil, fmt.Errorf("quickstart: %w", err)
	}
	if err := lockFile(f); err != nil {
		f.Close()
		return nil, fmt.Errorf("quickstart: lock %s: %w", path, err)
	}
	return func() { f.Close() }, nil
}
