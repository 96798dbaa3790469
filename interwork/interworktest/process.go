package interworktest

import (
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"time"
)

// ErrNotRunning is returned for signals to a process that has ended.
var ErrNotRunning = errors.New("interworktest: process is not running")

// tailBytes is how much of a log a failed test shows.
const tailBytes = 24 << 10

// spec says how one program is started.
type spec struct {
	name string
	path string
	args []string
	env  []string // additions to baseEnv
	dir  string   // working folder; the log is beside the configuration in it
	// ready returns nil once the program can be used; nil: at once.
	ready   func() error
	readyIn time.Duration // default Patience
	stopIn  time.Duration // time for an orderly end before it is killed; default 10 s
	// stdout, when set, gets what the program prints, on a goroutine of its
	// own which Wait and Stop wait for; otherwise that goes into the log.
	stdout func(io.Reader)
	tail   *tail  // a file that it writes, read on such a goroutine too
	stdin  bool   // give it a pipe (run.stdin) instead of nothing
	input  string // written to that pipe first
}

// Process is one child program. It can be stopped, killed and started again
// with the same configuration; all output is appended to one log. Its methods
// are for the test's goroutine, except Exited, Log and Pid, which may be called
// from any.
type Process struct {
	t    TB
	spec spec

	mu  sync.Mutex
	run *run
}

// run is one life of the program.
type run struct {
	cmd    *exec.Cmd
	stdin  *os.File      // nil unless asked for
	exited chan struct{} // closed when the process is gone and its output read
}

// newProcess prepares a program and has the test end it. It does not start it.
func newProcess(t TB, s spec) *Process {
	if s.readyIn == 0 {
		s.readyIn = Patience
	}
	if s.stopIn == 0 {
		s.stopIn = 10 * time.Second
	}
	p := &Process{t: t, spec: s}
	t.Cleanup(func() {
		// Whoever ended in order before the test did has nothing to tell.
		over := p.Pid() == 0 || !p.Running() && p.ExitCode() == 0
		p.Stop()
		if t.Failed() && !over {
			t.Logf("---- log of %s (%s)\n%s\n---- end of log of %s", s.name, p.LogFile(), p.tail(), s.name)
		}
	})
	return p
}

// Start starts the program and waits until it is ready. The test fails when it
// ends or is not ready in time.
func (p *Process) Start() {
	p.t.Helper()
	if err := p.launch(); err != nil {
		p.t.Fatalf("interworktest: start %s: %v", p.spec.name, err)
	}
	if p.spec.ready == nil {
		return
	}
	exited := p.Exited()
	err := poll(p.spec.readyIn, exited, p.spec.ready)
	if err == nil {
		return
	}
	select {
	case <-exited:
		p.t.Fatalf("interworktest: %s ended before it was ready (exit code %d): %v\n%s",
			p.spec.name, p.ExitCode(), err, p.tail())
	default:
		p.t.Fatalf("interworktest: %s is not ready after %v: %v\n%s", p.spec.name, p.spec.readyIn, err, p.tail())
	}
}

func (p *Process) launch() error {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.run != nil && !closed(p.run.exited) {
		return errors.New("it is running already")
	}
	log, err := os.OpenFile(p.LogFile(), os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o644)
	if err != nil {
		return err
	}
	defer log.Close() // the child has its own descriptor

	cmd := exec.Command(p.spec.path, p.spec.args...)
	cmd.Dir = p.spec.dir
	cmd.Env = append(baseEnv(p.spec.dir), p.spec.env...)
	cmd.SysProcAttr = ownGroup()
	// Files, not writers: package exec starts no copying goroutines then, and
	// output that is written before a kill -9 is never lost in a pipe of ours.
	cmd.Stdout, cmd.Stderr = log, log
	r := &run{cmd: cmd, exited: make(chan struct{})}

	var closeAfterStart []io.Closer
	defer func() {
		for _, c := range closeAfterStart {
			c.Close()
		}
	}()
	var reading sync.WaitGroup
	startReading := func() {}
	if p.spec.stdout != nil {
		out, in, err := os.Pipe()
		if err != nil {
			return err
		}
		cmd.Stdout = in
		closeAfterStart = append(closeAfterStart, in)
		startReading = func() {
			reading.Go(func() {
				defer out.Close()
				p.spec.stdout(out)
			})
		}
	}
	if p.spec.stdin {
		out, in, err := os.Pipe()
		if err != nil {
			return err
		}
		cmd.Stdin, r.stdin = out, in
		closeAfterStart = append(closeAfterStart, out)
	}
	if p.spec.tail != nil {
		// What an earlier life wrote has been read.
		if err := os.Remove(p.spec.tail.file); err != nil && !errors.Is(err, os.ErrNotExist) {
			return err
		}
	}
	if err := cmd.Start(); err != nil {
		return err
	}
	startReading()
	gone := make(chan struct{})
	if p.spec.tail != nil {
		reading.Go(func() { p.spec.tail.follow(gone) })
	}
	go func() {
		// The exit code is in cmd.ProcessState; an error says no more.
		_ = cmd.Wait()
		close(gone)
		// What a dead leader leaves behind must neither hold ports nor the pipe.
		_ = syscall.Kill(-cmd.Process.Pid, syscall.SIGKILL)
		reading.Wait()
		if r.stdin != nil {
			r.stdin.Close()
		}
		close(r.exited)
	}()
	p.run = r
	if p.spec.stdin {
		if _, err := io.WriteString(r.stdin, p.spec.input); err != nil {
			return err
		}
	}
	return nil
}

// Stop asks the program to end, waits for that, and kills it when it takes too
// long. A program that is not running is left alone.
func (p *Process) Stop() {
	p.t.Helper()
	p.stopWith(syscall.SIGTERM)
}

func (p *Process) stopWith(signal syscall.Signal) {
	p.t.Helper()
	if p.Signal(signal) != nil {
		return
	}
	if !p.wait(p.spec.stopIn) {
		p.t.Logf("interworktest: %s did not end within %v of %v: killed", p.spec.name, p.spec.stopIn, signal)
		p.Kill()
	}
}

// Kill ends the program and all it started at once (SIGKILL to its process
// group) and waits until it is gone.
func (p *Process) Kill() {
	p.t.Helper()
	r := p.current()
	if r == nil || closed(r.exited) {
		return
	}
	// ESRCH: it ended by itself meanwhile.
	if err := syscall.Kill(-r.cmd.Process.Pid, syscall.SIGKILL); err != nil && !errors.Is(err, syscall.ESRCH) {
		p.t.Fatalf("interworktest: kill %s: %v", p.spec.name, err)
	}
	if !p.wait(Patience) {
		p.t.Fatalf("interworktest: %s is still there after SIGKILL", p.spec.name)
	}
}

// Restart stops the program in order and starts it again with the same
// configuration, data and ports.
func (p *Process) Restart() {
	p.t.Helper()
	p.Stop()
	p.Start()
}

// Signal sends a signal to the program itself, not to its group.
func (p *Process) Signal(signal syscall.Signal) error {
	r := p.current()
	if r == nil || closed(r.exited) {
		return ErrNotRunning
	}
	if err := r.cmd.Process.Signal(signal); err != nil {
		return fmt.Errorf("%w: %s: %w", ErrNotRunning, p.spec.name, err)
	}
	return nil
}

// Wait waits for the program to end by itself and returns its exit code; the
// test fails when it has not ended in time.
func (p *Process) Wait(within time.Duration) int {
	p.t.Helper()
	if !p.wait(within) {
		p.t.Fatalf("interworktest: %s has not ended within %v\n%s", p.spec.name, within, p.tail())
	}
	return p.ExitCode()
}

func (p *Process) wait(within time.Duration) bool {
	deadline := time.NewTimer(within)
	defer deadline.Stop()
	select {
	case <-p.Exited():
		return true
	case <-deadline.C:
		return false
	}
}

// Exited is closed once the program has ended (of its current life).
func (p *Process) Exited() <-chan struct{} {
	if r := p.current(); r != nil {
		return r.exited
	}
	never := make(chan struct{})
	close(never)
	return never
}

// Running tells whether the program was started and has not ended.
func (p *Process) Running() bool { return !closed(p.Exited()) }

// Pid returns the id of the program's process, which is also its group's; 0
// when it never ran.
func (p *Process) Pid() int {
	if r := p.current(); r != nil {
		return r.cmd.Process.Pid
	}
	return 0
}

// ExitCode returns how the program ended: -1 when a signal ended it, or while it
// runs.
func (p *Process) ExitCode() int {
	r := p.current()
	if r == nil || !closed(r.exited) {
		return -1
	}
	return r.cmd.ProcessState.ExitCode()
}

// Dir is the folder with the program's configuration, data and log.
func (p *Process) Dir() string { return p.spec.dir }

// LogFile is where its output goes.
func (p *Process) LogFile() string { return filepath.Join(p.spec.dir, p.spec.name+".log") }

// Log returns all it has printed so far, over all its lives.
func (p *Process) Log() string {
	data, err := os.ReadFile(p.LogFile())
	if err != nil {
		return ""
	}
	return string(data)
}

// WaitLog waits for a text in the log, within Patience.
func (p *Process) WaitLog(text string) {
	p.t.Helper()
	Eventually(p.t, Patience, fmt.Sprintf("%q in the log of %s", text, p.spec.name), func() error {
		if !strings.Contains(p.Log(), text) {
			return errors.New("not there")
		}
		return nil
	})
}

func (p *Process) current() *run {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.run
}

func (p *Process) tail() string {
	log := p.Log()
	if len(log) <= tailBytes {
		return log
	}
	return "…" + log[len(log)-tailBytes:]
}

func closed(c <-chan struct{}) bool {
	select {
	case <-c:
		return true
	default:
		return false
	}
}

// baseEnv is the whole environment of a child: what runs here must not depend
// on the settings of the person who runs it, nor write into their home.
func baseEnv(home string) []string {
	env := []string{"HOME=" + home, "LANG=C.UTF-8", "LC_ALL=C.UTF-8"}
	for _, name := range []string{"PATH", "TMPDIR"} {
		if v, ok := os.LookupEnv(name); ok {
			env = append(env, name+"="+v)
		}
	}
	return env
}

// listening tells whether something accepts TCP connections at each address.
func listening(addresses ...string) func() error {
	return func() error {
		for _, address := range addresses {
			c, err := net.DialTimeout("tcp", address, time.Second)
			if err != nil {
				return err
			}
			c.Close()
		}
		return nil
	}
}
