package event

import (
	"crypto/tls"
	"net"
	"net/netip"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/stoxgate/stoxgate/sip"
	"github.com/stoxgate/stoxgate/sip/ua"
)

// trustAll needs no digest.
type trustAll struct{}

func (trustAll) HA1(string, string, string) (string, bool)             { return "", false }
func (trustAll) Trusted(netip.Addr, string, *tls.ConnectionState) bool { return true }

// freePort is a port that nobody listens on, as far as one can tell.
func freePort(t *testing.T) int {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	require.NoError(t, err)
	defer l.Close()
	return l.Addr().(*net.TCPAddr).Port
}

// startSIPp runs a scenario of testdata/sipp; wait returns when all calls are done.
func startSIPp(t *testing.T, scenario, transport, remote string, port, calls int) (wait func()) {
	t.Helper()
	program, err := exec.LookPath("sipp")
	if err != nil {
		t.Skip("sipp is not installed")
	}
	file, err := filepath.Abs(filepath.Join("testdata", "sipp", scenario+".xml"))
	require.NoError(t, err)
	mode := map[string]string{"udp": "u1", "tcp": "t1"}[transport]
	args := []string{
		"-sf", file, "-t", mode, "-i", "127.0.0.1", "-p", strconv.Itoa(port), "-m", strconv.Itoa(calls), "-r", "100", "-l", "50",
		"-nostdin", "-timeout", "30", "-timeout_error", "-trace_err", "-error_file", "errors",
	}
	if remote != "" {
		args = append(args, remote)
	}
	cmd := exec.Command(program, args...)
	cmd.Dir = t.TempDir()
	out := make(chan []byte, 1)
	ended := make(chan error, 1)
	go func() {
		b, err := cmd.CombinedOutput()
		out <- b
		ended <- err
	}()
	return func() {
		t.Helper()
		if err := <-ended; err != nil {
			errs, _ := os.ReadFile(filepath.Join(cmd.Dir, "errors"))
			t.Fatalf("sipp: %v\n%s\n%s", err, <-out, errs)
		}
	}
}

// TestSIPpWatches has SIPp subscribe to us.
func TestSIPpWatches(t *testing.T) {
	for _, transport := range []string{"udp", "tcp"} {
		t.Run(transport, func(t *testing.T) {
			r := newRig(t, func(c *ua.Config) { c.Auth = trustAll{}; c.Timers = ua.Timers{} })
			r.watchers.on(func(s Subscribed) {
				_ = s.Subscription.Notify(Notification{State: sip.SubscriptionPending})
				time.AfterFunc(50*time.Millisecond, func() { _ = s.Subscription.Notify(active("<presence/>")) })
			}, func(s *Subscription, _ Refreshed) { _ = s.Notify(active("<presence/>")) })
			startSIPp(t, "watcher", transport, r.ua.Addr(transport).String(), freePort(t), 50)()
			until(t, "end", func() bool { return r.notifier.Len() == 0 })
		})
	}
}

// TestSIPpIsWatched has us subscribe to SIPp.
func TestSIPpIsWatched(t *testing.T) {
	for _, transport := range []string{"udp", "tcp"} {
		t.Run(transport, func(t *testing.T) {
			const calls = 20
			r := newRig(t, func(c *ua.Config) { c.Timers = ua.Timers{} })
			port := freePort(t)
			wait := startSIPp(t, "presentity", transport, "", port, calls)
			if transport == "tcp" {
				until(t, "sipp", func() bool {
					c, err := net.Dial("tcp", net.JoinHostPort("127.0.0.1", strconv.Itoa(port)))
					if err == nil {
						_ = c.Close()
					}
					return err == nil
				})
			}
			uri := sip.URI{Scheme: "sip", User: "otto", Host: "127.0.0.1", Port: port, Params: sip.Params{{Name: "transport", Value: transport}}}
			var list []*Watch
			var owners []*fakeWatcher
			for range calls {
				o := &fakeWatcher{}
				w, err := r.subs.Subscribe(WatchOptions{
					From: sip.NameAddr{URI: sip.URI{Scheme: "sip", User: "mira", Host: "chat.example"}},
					To:   sip.URI{Scheme: "sip", User: "otto", Host: "voice.example"}, URI: uri, Package: "presence", Accept: []string{pidfType}, Owner: o,
				})
				require.NoError(t, err)
				list, owners = append(list, w), append(owners, o)
			}
			for i, w := range list {
				until(t, "document", func() bool {
					owners[i].mu.Lock()
					defer owners[i].mu.Unlock()
					return len(owners[i].notes) == 2 && len(owners[i].notes[1].Body) > 0
				})
				w.Unsubscribe()
			}
			wait()
			until(t, "end", func() bool { return r.subs.Len() == 0 })
		})
	}
}
