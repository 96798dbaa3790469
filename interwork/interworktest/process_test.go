package interworktest

import (
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"syscall"
	"testing"
	"time"
)

// fakeTB is a test that a driver runs in, of which we see the outcome.
type fakeTB struct {
	*testing.T
	cleanups []func()
	log      strings.Builder
	outcome  string // "", "failed" or "skipped"
}

func (f *fakeTB) Logf(format string, args ...any) { fmt.Fprintf(&f.log, format+"\n", args...) }
func (f *fakeTB) Cleanup(c func())                { f.cleanups = append(f.cleanups, c) }
func (f *fakeTB) Failed() bool                    { return f.outcome == "failed" }

func (f *fakeTB) Errorf(format string, args ...any) {
	f.outcome = "failed"
	f.Logf(format, args...)
}

func (f *fakeTB) Fatalf(format string, args ...any) {
	f.Errorf(format, args...)
	runtime.Goexit()
}

func (f *fakeTB) Skipf(format string, args ...any) {
	f.outcome = "skipped"
	f.Logf(format, args...)
	runtime.Goexit()
}

// inTest runs body as a test of its own and returns what became of it.
func inTest(t *testing.T, body func(TB)) *fakeTB {
	f := &fakeTB{T: t}
	done := make(chan struct{})
	go func() {
		defer close(done)
		defer func() {
			for len(f.cleanups) > 0 {
				last := f.cleanups[len(f.cleanups)-1]
				f.cleanups = f.cleanups[:len(f.cleanups)-1]
				last()
			}
		}()
		body(f)
	}()
	<-done
	return f
}

func shell(t TB, script string, s spec) *Process {
	s.name, s.path, s.dir = "shell", "/bin/sh", t.TempDir()
	s.args = []string{"-c", script}
	return newProcess(t, s)
}

func TestProcessEndsWithItsGroup(t *testing.T) {
	var pids []int
	f := inTest(t, func(t TB) {
		p := shell(t, `sleep 1000 & echo $! >child; echo ready; wait`, spec{})
		p.Start()
		p.WaitLog("ready")
		data, err := os.ReadFile(filepath.Join(p.Dir(), "child"))
		if err != nil {
			t.Fatalf("%v", err)
		}
		var child int
		fmt.Sscan(string(data), &child)
		pids = []int{p.Pid(), child}
	})
	if f.outcome != "" {
		t.Fatal(f.log.String())
	}
	for _, pid := range pids {
		if err := gone(pid); err != nil {
			t.Errorf("process %d: %v", pid, err)
		}
	}
}

// gone tells whether a process has ended, as a zombie too: a child of a dead
// shell is reaped by whoever adopts it, at a time of their choice.
func gone(pid int) error {
	return poll(Patience, nil, func() error {
		if errors.Is(syscall.Kill(pid, 0), syscall.ESRCH) {
			return nil
		}
		status, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", pid))
		if errors.Is(err, os.ErrNotExist) || strings.Contains(string(status), ") Z ") {
			return nil
		}
		return errors.New("is still there")
	})
}

func TestProcessThatIgnoresSIGTERM(t *testing.T) {
	f := inTest(t, func(t TB) {
		p := shell(t, `trap '' TERM; echo ready; while :; do sleep 0.05; done`, spec{stopIn: 50 * time.Millisecond})
		p.Start()
		p.WaitLog("ready")
		p.Stop()
		if p.Running() {
			t.Errorf("it runs on")
		}
	})
	if f.outcome != "" || !strings.Contains(f.log.String(), "killed") {
		t.Errorf("outcome %q, log %s", f.outcome, f.log.String())
	}
}

func TestProcessThatIsNeverReady(t *testing.T) {
	notReady := func() error { return errors.New("no answer") }
	for name, script := range map[string]string{"ends": "echo broken pipe organ; exit 3", "hangs": "echo humming; sleep 1000"} {
		t.Run(name, func(t *testing.T) {
			f := inTest(t, func(t TB) {
				shell(t, script, spec{ready: notReady, readyIn: 300 * time.Millisecond}).Start()
			})
			if f.outcome != "failed" {
				t.Errorf("outcome %q", f.outcome)
			}
			log := f.log.String()
			want := []string{"no answer", "is not ready after", "humming"}
			if name == "ends" {
				want = []string{"no answer", "exit code 3", "broken pipe organ"}
			}
			for _, w := range want {
				if !strings.Contains(log, w) {
					t.Errorf("no %q in:\n%s", w, log)
				}
			}
		})
	}
}

func TestProcessRestartAndKill(t *testing.T) {
	p := shell(t, `echo life; trap 'echo end; exit 0' TERM; while :; do sleep 0.02; done`, spec{})
	lives := func(n int) {
		t.Helper()
		Eventually(t, Patience, "the next life", func() error {
			if strings.Count(p.Log(), "life\n") != n {
				return errNotYet
			}
			return nil
		})
	}
	p.Start()
	lives(1)
	p.Restart()
	lives(2)
	if !strings.Contains(p.Log(), "end\n") {
		t.Error("not stopped in order")
	}
	p.Kill()
	if p.Running() || p.ExitCode() != -1 {
		t.Errorf("running %v, exit code %d", p.Running(), p.ExitCode())
	}
	if err := p.Signal(syscall.SIGHUP); !errors.Is(err, ErrNotRunning) {
		t.Errorf("signal to a dead process: %v", err)
	}
	p.Start()
	lives(3)
	p.Stop()
	if p.ExitCode() != 0 {
		t.Errorf("exit code %d", p.ExitCode())
	}
	p.Stop() // nothing to do
}

func TestProcessPipes(t *testing.T) {
	got := make(chan string, 1)
	p := shell(t, `read a; echo "got $a"; read b`, spec{
		stdin: true, input: "first\n",
		stdout: func(r io.Reader) {
			data, _ := io.ReadAll(r)
			got <- string(data)
		},
	})
	p.Start()
	if _, err := p.current().stdin.WriteString("second\n"); err != nil {
		t.Fatal(err)
	}
	if code := p.Wait(Patience); code != 1 && code != 0 {
		t.Errorf("exit code %d", code)
	}
	if s := <-got; s != "got first\n" {
		t.Errorf("printed %q", s)
	}
}

func TestMissingProgram(t *testing.T) {
	for require, want := range map[string]string{"": "skipped", "1": "failed"} {
		t.Setenv("STOXGATE_REQUIRE_PEERS", require)
		f := inTest(t, func(t TB) { need(t, "no-such-program", "no-such-package") })
		if f.outcome != want || !strings.Contains(f.log.String(), "apt-get install no-such-package") {
			t.Errorf("require %q: %s, %s", require, f.outcome, f.log.String())
		}
	}
}

func TestSystemProgramsAreFound(t *testing.T) {
	t.Setenv("PATH", "/usr/bin:/bin")
	if _, err := os.Stat("/usr/sbin/kamailio"); err != nil {
		t.Skip("no /usr/sbin/kamailio here")
	}
	if path, err := lookPath("kamailio"); err != nil || path != "/usr/sbin/kamailio" {
		t.Errorf("%q, %v", path, err)
	}
}

func TestKeptFolders(t *testing.T) {
	keep := t.TempDir()
	t.Setenv("STOXGATE_KEEP", keep)
	dir := workDir(t, "sipp")
	if want := filepath.Join(keep, "TestKeptFolders"); filepath.Dir(dir) != want {
		t.Errorf("%s is not in %s", dir, want)
	}
}

func TestFreePorts(t *testing.T) {
	seen := map[int]bool{}
	for _, n := range []int{1, 2, 20, 1, 5} {
		first := FreePorts(t, n)
		for port := first; port < first+n; port++ {
			if port < firstPort || port > lastPort || seen[port] {
				t.Errorf("port %d", port)
			}
			seen[port] = true
		}
	}
	if portOf(loopback(23456)) != 23456 {
		t.Error("loopback and portOf disagree")
	}
}
