package interworktest

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"time"
)

// TB is what the drivers use of *testing.T and *testing.B.
type TB interface {
	Helper()
	Name() string
	Logf(format string, args ...any)
	Errorf(format string, args ...any)
	Fatalf(format string, args ...any)
	Skipf(format string, args ...any)
	Cleanup(f func())
	TempDir() string
	Failed() bool
}

// Patience is how long drivers wait for something that a peer must do, unless
// a method says otherwise. It is for a loaded machine with two cores and the
// race detector; what is awaited usually takes milliseconds.
const Patience = 45 * time.Second

// pollEvery is the pause between two looks at a condition that has no event of
// its own, such as a line in another program's log.
const pollEvery = 15 * time.Millisecond

// need finds a program, or skips the test and names the Debian package that
// holds it. Folders of system programs are searched even when PATH, as it is
// for ordinary users on Debian, leaves them out.
func need(t TB, program, pkg string) string {
	t.Helper()
	path, err := lookPath(program)
	if err == nil {
		return path
	}
	missing(t, "%s is not installed (apt-get install %s)", program, pkg)
	return ""
}

// missing ends a test that lacks a peer: skipped as a rule, failed where all
// peers are required.
func missing(t TB, format string, args ...any) {
	t.Helper()
	if os.Getenv("STOXGATE_REQUIRE_PEERS") == "1" {
		t.Fatalf("interworktest: required peer: "+format, args...)
	}
	t.Skipf("interworktest: "+format, args...)
}

func lookPath(program string) (string, error) {
	path, err := exec.LookPath(program)
	if err == nil || strings.ContainsRune(program, filepath.Separator) {
		return path, err
	}
	for _, dir := range []string{"/usr/local/sbin", "/usr/sbin", "/sbin"} {
		if found, err := exec.LookPath(filepath.Join(dir, program)); err == nil {
			return found, nil
		}
	}
	return "", err
}

// workDir makes the folder of one program: below STOXGATE_KEEP, where it
// outlives the test, or in the test's temporary folder.
func workDir(t TB, program string) string {
	t.Helper()
	base := t.TempDir()
	if keep := os.Getenv("STOXGATE_KEEP"); keep != "" {
		name := strings.Map(func(r rune) rune {
			if r == '/' || r == ' ' {
				return '_'
			}
			return r
		}, t.Name())
		base = filepath.Join(keep, name)
		if err := os.MkdirAll(base, 0o755); err != nil {
			t.Fatalf("interworktest: STOXGATE_KEEP: %v", err)
		}
	}
	dir, err := os.MkdirTemp(base, program+"-")
	if err != nil {
		t.Fatalf("interworktest: folder for %s: %v", program, err)
	}
	return dir
}

func writeFile(t TB, path, content string) {
	t.Helper()
	if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
		t.Fatalf("interworktest: %v", err)
	}
	// Configurations hold secrets, even if only of a test.
	if err := os.WriteFile(path, []byte(content), 0o600); err != nil {
		t.Fatalf("interworktest: %v", err)
	}
}

// Eventually looks at a condition until it returns nil, and fails the test with
// the last error when it has not done so within the given time.
func Eventually(t TB, within time.Duration, what string, condition func() error) {
	t.Helper()
	if err := poll(within, nil, condition); err != nil {
		t.Fatalf("interworktest: %s: not within %v: %v", what, within, err)
	}
}

// poll is Eventually without a test: it gives up at the deadline or once stop
// is closed.
func poll(within time.Duration, stop <-chan struct{}, condition func() error) error {
	deadline := time.NewTimer(within)
	defer deadline.Stop()
	tick := time.NewTicker(pollEvery)
	defer tick.Stop()
	for {
		err := condition()
		if err == nil {
			return nil
		}
		select {
		case <-stop:
			// What stopped it may have been its success.
			if err := condition(); err != nil {
				return fmt.Errorf("stopped: %w", err)
			}
			return nil
		case <-deadline.C:
			return err
		case <-tick.C:
		}
	}
}
