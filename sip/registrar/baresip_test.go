package registrar

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

// startBaresip runs a real baresip with one account and returns how to end it,
// which unregisters.
func startBaresip(t *testing.T, account string) (out *transcript, stop func()) {
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
			"\nmodule g711.so\nmodule_tmp uuid.so\nmodule_tmp account.so\nmodule_app menu.so\n",
		"accounts": account + "\n",
		"contacts": "",
	} {
		require.NoError(t, os.WriteFile(filepath.Join(dir, name), []byte(text), 0o600))
	}
	out = &transcript{}
	cmd := exec.Command(program, "-f", dir, "-4", "-s")
	cmd.Stdout, cmd.Stderr = out, out
	require.NoError(t, cmd.Start())
	stop = sync.OnceFunc(func() {
		_ = cmd.Process.Signal(os.Interrupt) // it may have ended already
		_ = cmd.Wait()
	})
	t.Cleanup(func() {
		_ = cmd.Process.Kill()
		stop()
		if t.Failed() {
			t.Log(out.String())
		}
	})
	return out, stop
}

// TestBaresip has the real phone register, get a message and unregister.
func TestBaresip(t *testing.T) {
	for _, tr := range []string{"udp", "tcp"} {
		for _, outbound := range []string{"", ";sipnat=outbound"} {
			t.Run(tr+outbound, func(t *testing.T) {
				// libre 1.1 (baresip 1.0.0, Debian 12) gives up with ENOSYS when any of the
				// challenges is not MD5, wherever it stands.
				r := newRig(t, newMemoryStore(), 0, func(c *ua.Config) { c.Digest = []string{"MD5"} })
				account := fmt.Sprintf("<sip:otto@%s;transport=%s>;auth_user=otto;auth_pass=%s;outbound=\"sip:%s;transport=%s\";regint=120",
					domain, tr, credentials["otto"], r.ua.Addr(tr), tr)
				out, stop := startBaresip(t, account+outbound)
				until(t, "registration", func() bool { return len(r.reg.Lookup(otto)) == 1 })
				b := r.reg.Lookup(otto)[0]
				require.Equal(t, tr, b.Transport)
				require.Contains(t, b.UserAgent, "baresip")
				require.Contains(t, b.Instance, "urn:uuid:")
				require.Equal(t, outbound != "", b.RegID == 1)
				require.Equal(t, []int{200}, r.call(t))
				until(t, "the text on the phone", func() bool { return strings.Contains(out.String(), "\r\n\r\nhello") })
				stop()
				until(t, "unregistration", func() bool { return len(r.reg.Lookup(otto)) == 0 })
			})
		}
	}
}
