package quickstart

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/stoxgate/stoxgate/cmd/stoxgate/internal/config"
	"github.com/stoxgate/stoxgate/interwork/interworktest"
)

// output is what a run prints, safe to read meanwhile.
type output struct {
	mu   sync.Mutex
	text bytes.Buffer
}

func (o *output) Write(p []byte) (int, error) {
	o.mu.Lock()
	defer o.mu.Unlock()
	return o.text.Write(p)
}

func (o *output) String() string {
	o.mu.Lock()
	defer o.mu.Unlock()
	return o.text.String()
}

// running is a Run in the background.
type running struct {
	out  output
	stop func()
	done chan error
}

func run(t *testing.T, o Options) *running {
	t.Helper()
	r := &running{done: make(chan error, 1)}
	o.Out = &r.out
	ctx, cancel := context.WithCancel(t.Context())
	r.stop = cancel
	go func() { r.done <- Run(ctx, o) }()
	t.Cleanup(cancel)
	return r
}

// up waits until it tells how to use it.
func (r *running) up(t *testing.T) {
	t.Helper()
	interworktest.Eventually(t, interworktest.Patience, "quickstart to be up", func() error {
		select {
		case err := <-r.done:
			t.Fatalf("it ended: %v\n%s", err, r.out.String())
		default:
		}
		if !strings.Contains(r.out.String(), "STATUS") {
			return errors.New(r.out.String())
		}
		return nil
	})
}

// end stops it and returns what it returned.
func (r *running) end(t *testing.T) error {
	t.Helper()
	r.stop()
	select {
	case err := <-r.done:
		return err
	case <-time.After(interworktest.Patience):
		t.Fatal("it does not stop")
		return nil
	}
}

func requireProsody(t *testing.T) {
	t.Helper()
	if _, err := lookPath("prosody"); err == nil {
		return
	}
	if os.Getenv("STOXGATE_REQUIRE_PEERS") == "1" {
		t.Fatal("Prosody is required")
	}
	t.Skip("Prosody is not installed (apt-get install prosody)")
}

func TestRunTwice(t *testing.T) {
	requireProsody(t)
	t.Setenv(standIn, "good")
	dir := filepath.Join(t.TempDir(), "run")

	r := run(t, Options{Dir: dir})
	r.up(t)
	t.Log(r.out.String())
	first := loadKept(t, dir)
	for _, want := range []string{
		"mira@localhost", "jonas@localhost", "sip:otto@sip.localhost", "sip:nora@sip.localhost",
		"call otto@sip.localhost", "dial sip:mira@sip.localhost",
		first.Accounts[0].Password, first.Phones[1].Password, "http://" + first.consoleAddress() + "/",
	} {
		if !strings.Contains(r.out.String(), want) {
			t.Errorf("no %q in the help", want)
		}
	}
	second := run(t, Options{Dir: dir})
	if err := <-second.done; !errors.Is(err, ErrBusy) {
		t.Errorf("a second run in the same folder: %v", err)
	}
	checkModes(t, dir)

	mira := logIn(t, first, "mira")
	jonas := logIn(t, first, "jonas")
	mira.Send(interworktest.Chat{To: jonas.BareJID(), Body: "hello"})
	jonas.ExpectBody("hello")

	if err := r.end(t); err != nil {
		t.Errorf("stopped: %v", err)
	}
	for _, address := range []string{first.clientAddress(), first.componentAddress(), first.consoleAddress()} {
		if c, err := net.DialTimeout("tcp", address, time.Second); err == nil {
			c.Close()
			t.Errorf("%s is still open", address)
		}
	}

	r = run(t, Options{Dir: dir})
	r.up(t)
	again := loadKept(t, dir)
	if again.Secret != first.Secret || again.Accounts[0] != first.Accounts[0] || again.Phones[1] != first.Phones[1] || again.Ports != first.Ports {
		t.Errorf("the second run has %+v, the first had %+v", again, first)
	}
	logIn(t, again, "mira")
	if err := r.end(t); err != nil {
		t.Errorf("stopped: %v", err)
	}

	data, err := os.ReadFile(filepath.Join(dir, "stoxgate-data", "identities.json"))
	if err != nil {
		t.Fatal(err)
	}
	var table map[string]identity
	if err := json.Unmarshal(data, &table); err != nil {
		t.Fatal(err)
	}
	if id := table["sip:mira@sip.localhost"]; id.JID != "mira@localhost" || id.Name != "Mira again" {
		t.Errorf("mira is %+v", id)
	}
	if id := table["sip:otto@sip.localhost"]; id.JID != "" || id.Password != first.Phones[0].Password {
		t.Errorf("otto is %+v", id)
	}
}

func TestGatewayThatEnds(t *testing.T) {
	requireProsody(t)
	t.Setenv(standIn, "broken")
	r := run(t, Options{Dir: t.TempDir()})
	select {
	case err := <-r.done:
		if err == nil || !strings.Contains(err.Error(), "the pipe organ is out of tune") || !strings.Contains(err.Error(), "exit status 3") {
			t.Errorf("got %v", err)
		}
	case <-time.After(interworktest.Patience):
		t.Fatal("it goes on")
	}
}

func TestProsodyThatEnds(t *testing.T) {
	requireProsody(t)
	t.Setenv(standIn, "good")
	dir := t.TempDir()
	r := run(t, Options{Dir: dir})
	r.up(t)
	pid, err := os.ReadFile(filepath.Join(dir, "prosody", "prosody.pid"))
	if err != nil {
		t.Fatal(err)
	}
	if err := exec.Command("kill", strings.TrimSpace(string(pid))).Run(); err != nil {
		t.Fatal(err)
	}
	select {
	case err := <-r.done:
		if err == nil || !strings.Contains(err.Error(), "Prosody ended") {
			t.Errorf("got %v", err)
		}
	case <-time.After(interworktest.Patience):
		t.Fatal("it goes on")
	}
}

func TestStoppedEarly(t *testing.T) {
	requireProsody(t)
	t.Setenv(standIn, "good")
	r := run(t, Options{Dir: t.TempDir()})
	if err := r.end(t); err != nil && !errors.Is(err, context.Canceled) {
		t.Errorf("got %v", err)
	}
}

func TestSetup(t *testing.T) {
	// Nothing that this test binds may be picked: a second owner of the usual
	// ports gets others.
	dir := t.TempDir()
	s, err := loadSetup(Options{Dir: dir, Address: "127.0.0.1", Domain: "localhost"})
	if err != nil {
		t.Fatal(err)
	}
	l, err := net.Listen("tcp", s.clientAddress())
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	again, err := loadSetup(Options{Dir: dir, Address: "127.0.0.1", Domain: "localhost"})
	if err != nil {
		t.Fatal(err)
	}
	if again.Ports.Client == s.Ports.Client {
		t.Errorf("port %d is taken twice", s.Ports.Client)
	}
	again.Ports.Client = s.Ports.Client
	if again.Ports != s.Ports || again.Secret != s.Secret || again.Accounts[1] != s.Accounts[1] {
		t.Errorf("%+v after %+v", again, s)
	}
	if p := password(); !regexp.MustCompile(`^([a-z2-7]{4}-){2}[a-z2-7]{4}$`).MatchString(p) {
		t.Errorf("password %q", p)
	}

	if err := os.WriteFile(filepath.Join(dir, "quickstart.json"), []byte("{"), 0o600); err != nil {
		t.Fatal(err)
	}
	if _, err := loadSetup(Options{Dir: dir}); err == nil || !strings.Contains(err.Error(), "delete the folder") {
		t.Errorf("damaged: %v", err)
	}
}

// What is written is a configuration that the program takes, calls included.
func TestConfiguration(t *testing.T) {
	for _, address := range []string{"127.0.0.1", "192.0.2.10"} {
		s, err := loadSetup(Options{Dir: t.TempDir(), Address: "127.0.0.1", Domain: "localhost"})
		if err != nil {
			t.Fatal(err)
		}
		s.address = address
		if err := writeGateway(s, Options{}); err != nil {
			t.Fatal(err)
		}
		c, err := config.Load(s.gatewayFile(), func(string) (string, bool) { return "", false })
		if err != nil {
			t.Fatal(err)
		}
		if !c.Media.Enabled || len(c.Media.Address) != 1 || string(c.Media.Address[0]) != address || c.Media.Ports.First != 20000 || c.Media.Ports.Last != 20199 {
			t.Errorf("media: %+v", c.Media)
		}
	}
}

func loadKept(t *testing.T, dir string) *setup {
	t.Helper()
	s := &setup{dir: dir, address: "127.0.0.1", domain: "localhost"}
	data, err := os.ReadFile(filepath.Join(dir, "quickstart.json"))
	if err != nil {
		t.Fatal(err)
	}
	if err := json.Unmarshal(data, s); err != nil {
		t.Fatal(err)
	}
	return s
}

// checkModes: what holds secrets is for its owner alone.
func checkModes(t *testing.T, dir string) {
	t.Helper()
	for name, want := range map[string]os.FileMode{
		".": 0o700, "quickstart.json": 0o600, "stoxgate.yaml": 0o600,
		"baresip/accounts": 0o600, "prosody/prosody.cfg.lua": 0o600, "prosody/certs/localhost.key": 0o600,
	} {
		info, err := os.Stat(filepath.Join(dir, name))
		if err != nil {
			t.Error(err)
			continue
		}
		if info.Mode().Perm() != want {
			t.Errorf("%s has mode %v, want %v", name, info.Mode().Perm(), want)
		}
	}
}

// chatServer is the Prosody of a run, for slixmpp to log in at.
type chatServer struct {
	interworktest.Server
	setup *setup
}

func (c chatServer) Software() string      { return "prosody" }
func (c chatServer) ClientAddress() string { return c.setup.clientAddress() }
func (c chatServer) Options() interworktest.ServerOptions {
	return interworktest.ServerOptions{Domain: c.setup.domain, Component: c.setup.component()}
}

func logIn(t *testing.T, s *setup, name string) *interworktest.Slixmpp {
	t.Helper()
	for _, a := range s.Accounts {
		if a.Name == name {
			return interworktest.StartSlixmpp(t, interworktest.SlixmppOptions{
				Server: chatServer{setup: s}, Name: name, Password: a.Password, SCRAM: true,
			})
		}
	}
	t.Fatalf("no account of %s", name)
	return nil
}
