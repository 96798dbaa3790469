package event

import (
	"bytes"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/stoxgate/stoxgate/sip"
	"github.com/stoxgate/stoxgate/sip/ua"
)

// transcript collects what a program prints.
type transcript struct {
	mu sync.Mutex
	b  bytes.Buffer
}

func (t *transcript) Write(p []byte) (int, error) {
	t.mu.Lock()
	defer t.mu.Unlock()
	return t.b.Write(p)
}

func (t *transcript) String() string {
	t.mu.Lock()
	defer t.mu.Unlock()
	return t.b.String()
}

// startBaresip runs a real baresip with one account and one contact that it watches.
func startBaresip(t *testing.T, account, contact string) *transcript {
	t.Helper()
	program, err := exec.LookPath("baresip")
	if err != nil {
		t.Skip("baresip is not installed")
	}
	modules, err := filepath.Glob("/usr/lib/*/baresip/modules")
	require.NoError(t, err)
	if len(modules) == 0 {
		modules = []string{"/usr/lib/baresip/modules"}
	}
	dir := t.TempDir()
	for name, text := range map[string]string{
		"config": "sip_listen 127.0.0.1:0\nnet_interface 127.0.0.1\nmodule_path " + modules[0] +
			"\nmodule g711.so\nmodule_tmp uuid.so\nmodule_tmp account.so\nmodule_app menu.so\nmodule_app contact.so\nmodule_app presence.so\n",
		"accounts": account + "\n",
		"contacts": contact + "\n",
	} {
		require.NoError(t, os.WriteFile(filepath.Join(dir, name), []byte(text), 0o600))
	}
	out := &transcript{}
	cmd := exec.Command(program, "-f", dir, "-4", "-s")
	cmd.Stdout, cmd.Stderr = out, out
	require.NoError(t, cmd.Start())
	t.Cleanup(func() {
		_ = cmd.Process.Kill()
		_ = cmd.Wait()
		if t.Failed() {
			t.Log(out.String())
		}
	})
	return out
}

// TestBaresip has the real phone watch a user of ours, and us watch the phone.
func TestBaresip(t *testing.T) {
	for _, transport := range []string{"udp", "tcp"} {
		t.Run(transport, func(t *testing.T) {
			r := newRig(t, func(c *ua.Config) { c.Digest = []string{"MD5"}; c.Timers = ua.Timers{} }) // libre 1.1 knows MD5 only
			contact := make(chan sip.URI, 1)
			r.watchers.on(func(s Subscribed) {
				if u, err := sip.ParseURI(s.Subscription.Record().Target); err == nil {
					select {
					case contact <- u:
					default:
					}
				}
				_ = s.Subscription.Notify(active(`<?xml version="1.0"?><presence xmlns="urn:ietf:params:xml:ns:pidf" entity="sip:mira@voice.example">` +
					`<tuple id="t1"><status><basic>open</basic></status></tuple></presence>`))
			}, nil)
			out := startBaresip(t, fmt.Sprintf("<sip:otto@voice.example;transport=%s>;auth_user=otto;auth_pass=secret;outbound=\"sip:%s;transport=%s\";regint=0",
				transport, r.ua.Addr(transport), transport), `"Mira" <sip:mira@voice.example>;presence=p2p`)
			until(t, "the document on the phone", func() bool {
				return strings.Contains(out.String(), "<basic>open</basic>") && strings.Contains(out.String(), "SIP/2.0 200 OK")
			})
			uri := <-contact

			owner := &fakeWatcher{}
			w, err := r.subs.Subscribe(WatchOptions{
				From: sip.NameAddr{URI: sip.URI{Scheme: "sip", User: "mira", Host: "voice.example"}},
				To:   sip.URI{Scheme: "sip", User: "otto", Host: "voice.example"}, URI: uri, Package: "presence", Accept: []string{pidfType}, Owner: owner,
			})
			require.NoError(t, err)
			until(t, "a document of the phone", func() bool {
				owner.mu.Lock()
				defer owner.mu.Unlock()
				return len(owner.notes) > 0 && strings.Contains(string(owner.notes[0].Body), "<presence")
			})
			require.Equal(t, WatchActive, w.Status().State)
			w.Unsubscribe()
			until(t, "end", func() bool { return w.Status().State == WatchTerminated })
		})
	}
}
