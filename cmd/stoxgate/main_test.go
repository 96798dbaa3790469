package main

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"net"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"go.uber.org/goleak"

	"github.com/stoxgate/stoxgate/cmd/stoxgate/internal/config"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// buffer is a bytes.Buffer for several goroutines.
type buffer struct {
	mu sync.Mutex
	b  bytes.Buffer
}

func (b *buffer) Write(p []byte) (int, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.b.Write(p)
}

func (b *buffer) String() string {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.b.String()
}

// result is what a command left behind.
type result struct {
	out, err string
	code     int
}

func variables(pairs ...string) config.Environment {
	return func(name string) (string, bool) {
		for i := 0; i+1 < len(pairs); i += 2 {
			if pairs[i] == name {
				return pairs[i+1], true
			}
		}
		return "", false
	}
}

// execute runs a command line as main does.
func execute(t *testing.T, stdin string, args ...string) result {
	t.Helper()
	var out, err buffer
	code := run(args, &program{
		ctx: t.Context(), stdin: strings.NewReader(stdin), stdout: &out, stderr: &err, env: variables("COLUMNS", "100"),
	})
	return result{out.String(), err.String(), code}
}

// freePort returns a port that was free a moment ago, for both UDP and TCP.
func freePort(t *testing.T) int {
	t.Helper()
	for range 50 {
		l, err := net.Listen("tcp", "127.0.0.1:0")
		require.NoError(t, err)
		port := l.Addr().(*net.TCPAddr).Port
		u, err := net.ListenPacket("udp", fmt.Sprintf("127.0.0.1:%d", port))
		require.NoError(t, l.Close())
		if err == nil {
			require.NoError(t, u.Close())
			return port
		}
	}
	t.Fatal("no free port")
	return 0
}

// writeConfig writes a configuration file into a folder of its own.
func writeConfig(t *testing.T, text string) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), "stoxgate.yaml")
	require.NoError(t, os.WriteFile(path, []byte(text), 0o600))
	return path
}

// minimalConfig has every listener on a free port.
func minimalConfig(t *testing.T, component string) string {
	t.Helper()
	return fmt.Sprintf(`xmpp: {component: %q, domain: sip.example, secret: secret}
sip: {listen: ["udp://127.0.0.1:%d"]}
http: {listen: "127.0.0.1:%d"}
`, component, freePort(t), freePort(t))
}

func TestHelp(t *testing.T) {
	r := execute(t, "", "--help")
	assert.Equal(t, exitOK, r.code)
	for _, want := range []string{"serve", "demo", "check", "identity", "translate", "trace", "config", "version", "completion", "Exit codes:"} {
		assert.Contains(t, r.out, want)
	}
	// Every command explains itself.
	var commands cli
	parser, err := newParser(&commands, &program{stdout: io.Discard, stderr: io.Discard})
	require.NoError(t, err)
	for _, l := range completionWords(parser.Model)[1:] {
		r := execute(t, "", append(strings.Fields(l.path), "--help")...)
		assert.Equal(t, exitOK, r.code, l.path)
		assert.Contains(t, r.out, "Usage: stoxgate "+l.path, l.path)
		for _, f := range l.flags {
			assert.NotEmpty(t, f.help, "%s %s", l.path, f.name)
		}
	}
	for _, path := range []string{"serve", "demo", "check", "identity", "translate", "trace", "config example", "completion"} {
		assert.Contains(t, execute(t, "", append(strings.Fields(path), "--help")...).out, "Examples:", path)
	}
}

func TestUsageErrors(t *testing.T) {
	for _, tc := range []struct {
		args []string
		want string
	}{
		{nil, "expected one of"},
		{[]string{"sreve"}, "sreve"},
		{[]string{"serve", "--confg", "x"}, "unknown flag --confg"},
		{[]string{"identity"}, "expected one of"},
		{[]string{"identity", "show"}, "<id>"},
		{[]string{"completion", "tcsh"}, "must be one of"},
		{[]string{"translate", "--type", "headline"}, "must be one of"},
		{[]string{"identity", "add", "--password", "x", "--generate-password"}, "can't be used together"},
	} {
		r := execute(t, "", tc.args...)
		assert.Equal(t, exitUsage, r.code, tc.args)
		assert.Contains(t, r.err, tc.want, tc.args)
		assert.Contains(t, r.err, "--help")
		assert.Empty(t, r.out)
	}
	assert.Contains(t, execute(t, "", "identity", "show").err, `"stoxgate identity show --help"`)
}

func TestVersion(t *testing.T) {
	r := execute(t, "", "version")
	assert.Equal(t, exitOK, r.code)
	assert.Regexp(t, `^stoxgate \S+ .*go1\.\d+.* \w+/\w+\n$`, r.out)
	assert.Regexp(t, `^\S+\n$`, execute(t, "", "version", "--short").out)
	assert.Contains(t, build{version: "v1", revision: "0123456789abcdef", modified: true, time: "2026-11-20"}.String(), "stoxgate v1 (commit 0123456789ab, modified, 2026-11-20) go")
}

func TestConfigCommand(t *testing.T) {
	reference, err := os.ReadFile("config-reference.md")
	require.NoError(t, err)
	assert.Equal(t, string(reference), execute(t, "", "config", "reference").out, "go test ./internal/config -update")
	assert.Equal(t, config.Example(), execute(t, "", "config", "example").out)
}

func TestConfigErrors(t *testing.T) {
	path := writeConfig(t, "xmpp: {componnet: x}\n")
	for _, args := range [][]string{{"check"}, {"serve"}, {"trace"}, {"identity", "list"}} {
		r := execute(t, "", append(args, "-c", path)...)
		assert.Equal(t, exitConfig, r.code, args)
		assert.Contains(t, r.err, path+`:1: xmpp.componnet: unknown key; did you mean "component"?`)
		assert.Contains(t, r.err, "sip.listen: is required", "all problems at once")
		r = execute(t, "", append(args, "-c", filepath.Join(t.TempDir(), "none.yaml"))...)
		assert.Equal(t, exitConfig, r.code, args)
		assert.Contains(t, r.err, "no such file")
		assert.Contains(t, r.err, "stoxgate config example")
	}
}

func TestSignals(t *testing.T) {
	self, err := os.FindProcess(os.Getpid())
	require.NoError(t, err)
	var errs buffer
	exited := make(chan int, 1)
	ctx, stop := signals(&errs, func(code int) { exited <- code })
	defer stop()
	require.NoError(t, self.Signal(syscall.SIGTERM))
	<-ctx.Done()
	assert.Contains(t, errs.String(), "a second signal stops at once")
	require.NoError(t, self.Signal(syscall.SIGINT))
	assert.Equal(t, exitInterrupted, <-exited)

	_, stop = signals(&errs, func(int) { t.Error("nobody asked for it") })
	stop()
}

func TestLogLevel(t *testing.T) {
	var out buffer
	log, level, err := newLogger(config.Log{Level: "warn", Format: "json"}, &out)
	require.NoError(t, err)
	child := log.With().Str("side", "sip").Logger()
	child.Info().Msg("hidden")
	child.Warn().Msg("shown")
	require.NoError(t, level.SetLevel("debug"))
	child.Debug().Msg("now shown as well")
	assert.Equal(t, "debug", level.Level())
	require.Error(t, level.SetLevel("loud"))
	require.Error(t, level.SetLevel("panic"))
	assert.Equal(t, 2, strings.Count(out.String(), "\n"))
	assert.Contains(t, out.String(), `"side":"sip"`)
	assert.NotContains(t, out.String(), "hidden")

	log, _, err = newLogger(config.Log{Level: "info", Format: "console"}, &out)
	require.NoError(t, err)
	log.Info().Str("flow", "m-1").Msg("for people")
	assert.Contains(t, out.String(), "INF for people flow=m-1")
	_, _, err = newLogger(config.Log{Level: "no"}, &out)
	require.Error(t, err)
}

func TestTable(t *testing.T) {
	tb := newTable("A", "LONG")
	tb.row("wörter", "x\x1b[2J\ny")
	var out strings.Builder
	require.NoError(t, tb.print(&out))
	assert.Equal(t, "A       LONG\nwörter  x\uFFFD[2J y\n", out.String())
	assert.Equal(t, 120, terminalWidth(&out, variables()))
	assert.Equal(t, 120, terminalWidth(&out, variables("COLUMNS", "no")))
	assert.Equal(t, 77, terminalWidth(&out, variables("COLUMNS", "77")))
}

// eventually waits for a condition with a deadline.
func eventually(t *testing.T, what string, condition func() bool) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 20*time.Second)
	defer cancel()
	tick := time.NewTicker(5 * time.Millisecond)
	defer tick.Stop()
	for !condition() {
		select {
		case <-tick.C:
		case <-ctx.Done():
			t.Fatalf("not in time: %s", what)
		}
	}
}
