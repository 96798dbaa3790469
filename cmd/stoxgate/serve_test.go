package main

import (
	"context"
	"fmt"
	"net"
	"os"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/stoxgate/stoxgate/cmd/stoxgate/internal/config"
	"github.com/stoxgate/stoxgate/cmd/stoxgate/internal/console"
	"github.com/stoxgate/stoxgate/interwork/journal"
	"github.com/stoxgate/stoxgate/sip/siptest"
	"github.com/stoxgate/stoxgate/xmpp"
	"github.com/stoxgate/stoxgate/xmpp/xmpptest"
)

// served is a gateway that runs in this process as "stoxgate serve" does.
type served struct {
	path   string // configuration file
	log    *buffer
	client *console.Client
	hangup chan os.Signal
	stop   context.CancelFunc
	done   chan int
}

func startServe(t *testing.T, text string) *served {
	t.Helper()
	s := &served{path: writeConfig(t, text), log: &buffer{}, hangup: make(chan os.Signal), done: make(chan int, 1)}
	cfg, err := config.Load(s.path, variables())
	require.NoError(t, err)
	s.client = console.NewClient(cfg.HTTP.Listen.String(), string(cfg.HTTP.Token))
	ctx, cancel := context.WithCancel(context.Background())
	s.stop = cancel
	go func() {
		s.done <- run([]string{"serve", "--config", s.path}, &program{
			ctx: ctx, stdin: strings.NewReader(""), stdout: &buffer{}, stderr: s.log, env: variables(), hangup: s.hangup,
		})
	}()
	t.Cleanup(func() {
		cancel()
		s.client.Close()
		select {
		case code := <-s.done:
			assert.Equal(t, exitOK, code)
		case <-time.After(30 * time.Second):
			t.Error("serve did not end")
		}
		if t.Failed() {
			t.Log(s.log)
		}
	})
	eventually(t, "the console answers", func() bool { return s.client.Alive(t.Context()) == nil })
	return s
}

func (s *served) ready(t *testing.T) {
	t.Helper()
	eventually(t, "the gateway is ready", func() bool {
		r, err := s.client.Status(t.Context())
		return err == nil && r.Ready
	})
}

// The whole program: a message each way, the identity added while it runs, what
// trace and check show, a reload, and the end.
func TestServe(t *testing.T) {
	server := xmpptest.Start(t, xmpptest.Config{})
	mira := server.User("mira@chat.example/desk")
	port, httpPort := freePort(t), freePort(t)
	text := fmt.Sprintf(`xmpp: {component: %q, domain: sip.example, secret: secret}
sip: {listen: ["udp://127.0.0.1:%d", "tcp://127.0.0.1:%d"]}
http: {listen: "127.0.0.1:%d"}
messages: {drain: 1s}
`, server.Addr(), port, port, httpPort)
	s := startServe(t, text)
	s.ready(t)

	r := execute(t, "", "identity", "add", "--aor", "otto@sip.example", "--password", "lighthouse", "-c", s.path)
	require.Equal(t, exitOK, r.code, r.err)
	assert.Empty(t, r.err, "through the API")
	otto := siptest.Start(t, siptest.Config{
		Proxy: fmt.Sprintf("127.0.0.1:%d", port), AOR: "sip:otto@sip.example", Auto: true,
		Credentials: siptest.Credentials{User: "otto", Password: "lighthouse"},
	})
	res, err := otto.Register(t.Context(), 600)
	require.NoError(t, err)
	require.Equal(t, 200, res.Status)

	require.NoError(t, mira.Say(xmpp.MustJID("otto@sip.example"), "m1", "Which berth?"))
	assert.Contains(t, string(otto.Want(t, siptest.Is("MESSAGE")).Body), "Which berth?")
	res, err = otto.Message(t.Context(), "sip:mira@chat.example", "Berth four.")
	require.NoError(t, err)
	assert.Equal(t, 200, res.Status)
	mira.Expect(t, xmpptest.Body("Berth four."))

	report, err := s.client.Status(t.Context())
	require.NoError(t, err)
	assert.Equal(t, 1, report.Counts.Identities)
	assert.Equal(t, 1, report.Counts.Registrations)
	assert.Equal(t, "sqlite", report.Store.Engine)
	assert.Len(t, report.SIP, 2)

	r = execute(t, "", "trace", "--list", "-c", s.path)
	require.Equal(t, exitOK, r.code, r.err)
	assert.Contains(t, r.out, "mira@chat.example")
	flow := strings.Fields(strings.Split(r.out, "\n")[1])[0]
	assert.Contains(t, execute(t, "", "trace", flow, "-c", s.path).out, "stoxgate")

	r = execute(t, "", "check", "-c", s.path)
	assert.Equal(t, exitOK, r.code, r.out)
	assert.Contains(t, r.out, "what it uses is not probed")
	assert.Contains(t, r.out, "connected to "+server.Addr()+" as sip.example")

	require.NoError(t, os.WriteFile(s.path, []byte(text+"log: {level: debug}\ntrace: {raw: true, keep: 9}\n"), 0o600))
	s.hangup <- syscall.SIGHUP
	eventually(t, "the reload", func() bool { return strings.Contains(s.log.String(), "take effect with a restart") })
	assert.Contains(t, s.log.String(), `sections=["trace"]`)
	assert.Contains(t, s.log.String(), "reloaded log level")
	require.NoError(t, os.WriteFile(s.path, []byte("xmpp: {}\n"), 0o600))
	s.hangup <- syscall.SIGHUP
	eventually(t, "the refused reload", func() bool { return strings.Contains(s.log.String(), "everything stays as it is") })
	require.NoError(t, os.WriteFile(s.path, []byte(text), 0o600))

	r = execute(t, "", "serve", "-c", s.path)
	assert.Equal(t, exitFailed, r.code)
	assert.Contains(t, r.err, "is another stoxgate running?")
	assert.NotContains(t, s.log.String(), "Which berth", "bodies are not logged")
	assert.NotContains(t, s.log.String(), "lighthouse")
}

func TestServeRefusesTakenPorts(t *testing.T) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	require.NoError(t, err)
	defer l.Close()
	path := writeConfig(t, fmt.Sprintf(`xmpp: {component: "127.0.0.1:1", domain: sip.example, secret: secret}
sip: {listen: ["tcp://%s"]}
http: {listen: "off"}
`, l.Addr()))
	r := execute(t, "", "serve", "-c", path)
	assert.Equal(t, exitFailed, r.code)
	assert.Contains(t, r.err, "address already in use")

	path = writeConfig(t, fmt.Sprintf(`xmpp: {component: "127.0.0.1:1", domain: sip.example, secret: secret}
sip: {listen: ["udp://127.0.0.1:%d"]}
http: {listen: "%s"}
`, freePort(t), l.Addr()))
	r = execute(t, "", "serve", "-c", path)
	assert.Equal(t, exitFailed, r.code)
	assert.Contains(t, r.err, "address already in use")
}

func TestNeedRestart(t *testing.T) {
	load := func(more string) *config.Config {
		c, err := config.Parse("c.yaml", []byte("xmpp: {component: \"127.0.0.1:1\", domain: sip.example, secret: s}\nsip: {listen: [\"udp://127.0.0.1:5060\"]}\n"+more), variables())
		require.NoError(t, err)
		return c
	}
	old := load("")
	assert.Empty(t, needRestart(old, load("log: {level: debug}\ntrace: {raw: true}\n")))
	assert.Equal(t, []string{"log"}, needRestart(old, load("log: {format: json}\n")))
	assert.ElementsMatch(t, []string{"http", "messages"}, needRestart(old, load("http: {listen: \"off\"}\nmessages: {public: true}\n")))
}

func TestCheckProbes(t *testing.T) {
	server := xmpptest.Start(t, xmpptest.Config{})
	trunk := siptest.Start(t, siptest.Config{Auto: true})
	text := fmt.Sprintf(`xmpp: {component: %q, domain: sip.example, secret: secret}
sip:
  listen: ["udp://127.0.0.1:%d"]
  trunks:
    - {name: up, uri: "sip:%s", numbers: ["+"]}
`, server.Addr(), freePort(t), trunk.Addr())
	web := fmt.Sprintf("http: {listen: \"127.0.0.1:%d\"}\n", freePort(t))
	r := execute(t, "", "check", "-c", writeConfig(t, text+web))
	assert.Equal(t, exitOK, r.code, r.out)
	for _, want := range []string{
		"is valid", server.Addr() + " accepts sip.example", "is free", "does not exist yet and can be made", "trunk up: OPTIONS answered 200", "everything works",
	} {
		assert.Contains(t, r.out, want)
	}

	r = execute(t, "", "check", "--offline", "-c", writeConfig(t, text))
	assert.Equal(t, exitOK, r.code)
	assert.NotContains(t, r.out, "accepts sip.example")

	g := startConsole(t, "127.0.0.1:0", journal.New(journal.Config{}))
	r = execute(t, "", "check", "-c", writeConfig(t, text+fmt.Sprintf("http: {listen: %q}\n", g.address)))
	assert.Equal(t, exitFailed, r.code)
	assert.Contains(t, r.out, "does not accept the token; XMPP and SIP ports are not probed")
	assert.NotContains(t, r.out, "accepts sip.example")

	// All that can be wrong at once.
	l, err := net.Listen("tcp", "127.0.0.1:0")
	require.NoError(t, err)
	defer l.Close()
	file := writeConfig(t, "")
	r = execute(t, "", "check", "--timeout", "1s", "-c", writeConfig(t, fmt.Sprintf(`xmpp: {component: %q, domain: sip.example, secret: wrong}
sip:
  listen: ["tcp://%s", "udp://203.0.113.77:5060"]
  trunks:
    - {name: down, uri: "sip:127.0.0.1:1;transport=tcp"}
state: {dir: %q}
http: {listen: %q}
`, server.Addr(), l.Addr(), file+"/state", l.Addr().String()[:len("127.0.0.1:")]+"1")))
	assert.Equal(t, exitFailed, r.code)
	for _, want := range []string{
		"FAIL  XMPP: ", "FAIL  SIP: tcp://" + l.Addr().String() + " cannot be opened: address already in use", "ss -lntp",
		"FAIL  SIP: udp://203.0.113.77:5060 cannot be opened: cannot assign requested address", "this machine has no such address",
		"FAIL  trunk down: no answer to OPTIONS", " failed, ",
	} {
		assert.Contains(t, r.out, want)
	}

	r = execute(t, "", "check", "--timeout", "1s", "-c", writeConfig(t, strings.ReplaceAll(text, "state", "")+"state: {url: \"postgres://u:hidden@127.0.0.1:1/d\"}\n"+web))
	assert.Equal(t, exitFailed, r.code)
	assert.Contains(t, r.out, "FAIL  database: ")
	assert.NotContains(t, r.out, "hidden")
}
