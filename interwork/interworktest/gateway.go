package interworktest

import (
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"time"
)

// mediaPorts is how many ports a gateway gets for media.
const mediaPorts = 40

// raceExit is the exit code of a program with the race detector that found a
// race (GORACE).
const raceExit = 66

// GatewayOptions describes a stoxgate in front of one XMPP server.
type GatewayOptions struct {
	Server     Server
	Identities []Identity // added once it is ready for the first time
	Trunks     []Trunk
	DNS        string // host:port of the DNS server for its look-ups; default the system's
	SIPPort    int    // default a free one
	Postgres   string // URL of a database to use instead of the built-in one
	// Set overrides keys of the configuration, by their dotted names, such as
	// "messages.offline": "refuse". Values are JSON values.
	Set map[string]any
}

// Identity is an entry of the gateway's identity table, as its API takes it.
type Identity struct {
	JID      string   `json:"jid,omitempty"`
	AORs     []string `json:"aors,omitempty"`
	Numbers  []string `json:"numbers,omitempty"`
	Name     string   `json:"name,omitempty"`
	Password string   `json:"password,omitempty"`
	Trunk    string   `json:"trunk,omitempty"`
}

// Trunk is a named next hop of the gateway.
type Trunk struct {
	Name     string   `json:"name"`
	URI      string   `json:"uri"`
	Domains  []string `json:"domains,omitempty"`
	Numbers  []string `json:"numbers,omitempty"`
	Username string   `json:"username,omitempty"`
	Password string   `json:"password,omitempty"`
	Register bool     `json:"register,omitempty"`
	Publish  bool     `json:"publish,omitempty"`
}

// Gateway is stoxgate as a child process, built with the race detector. Its
// journal keeps whole messages and its log is at level debug, so that a failed
// test can show what happened: its latest ladders and its log are part of the
// test's. The test also fails when the gateway found a data race, panicked, or
// did not end in order.
type Gateway struct {
	*Process
	options GatewayOptions
	sip     int
	console int
	media   int // the first of mediaPorts
	api     http.Client
}

// StartGateway builds stoxgate (once per test binary), starts it and waits until
// it is ready: connected to the XMPP server, with open SIP listeners and a
// writable store.
func StartGateway(t TB, o GatewayOptions) *Gateway {
	t.Helper()
	g := PrepareGateway(t, o)
	g.Start()
	for _, id := range o.Identities {
		g.AddIdentity(id)
	}
	return g
}

// PrepareGateway is StartGateway without the start, for tests in which it
// can't become ready.
func PrepareGateway(t TB, o GatewayOptions) *Gateway {
	t.Helper()
	dir := workDir(t, "stoxgate")
	if o.SIPPort == 0 {
		o.SIPPort = FreePort(t)
	}
	g := &Gateway{options: o, sip: o.SIPPort, console: FreePort(t), media: FreePorts(t, mediaPorts)}
	g.api = http.Client{Timeout: Patience, Transport: &http.Transport{DisableKeepAlives: true}}
	config, err := json.MarshalIndent(g.config(dir), "", "  ") // JSON is YAML
	if err != nil {
		t.Fatalf("interworktest: configuration of stoxgate: %v", err)
	}
	writeFile(t, filepath.Join(dir, "stoxgate.yaml"), string(config)+"\n")
	g.Process = newProcess(t, spec{
		name:   "stoxgate",
		path:   Binary(t),
		args:   []string{"serve", "--config", filepath.Join(dir, "stoxgate.yaml")},
		env:    []string{fmt.Sprintf("GORACE=halt_on_error=1 exitcode=%d", raceExit)},
		dir:    dir,
		stopIn: 30 * time.Second,
		ready: func() error {
			_, err := g.request(http.MethodGet, "/readyz", "", nil)
			return err
		},
	})
	t.Cleanup(g.finish)
	return g
}

// config is the gateway's configuration as nested maps.
func (g *Gateway) config(dir string) map[string]any {
	o := g.options
	config := map[string]any{}
	set := func(key string, value any) {
		at := config
		parts := strings.Split(key, ".")
		for _, part := range parts[:len(parts)-1] {
			next, ok := at[part].(map[string]any)
			if !ok {
				next = map[string]any{}
				at[part] = next
			}
			at = next
		}
		at[parts[len(parts)-1]] = value
	}
	server := o.Server.Options()
	set("xmpp.component", o.Server.ComponentAddress())
	set("xmpp.domain", server.Component)
	set("xmpp.secret", server.Secret)
	set("sip.listen", []string{"udp://" + g.SIPAddress(), "tcp://" + g.SIPAddress()})
	// Everyone here has the same address: the limits of one source are those of
	// the whole test.
	set("sip.limits", map[string]any{"rate": 100_000, "burst": 1_000_000, "connections_per_source": 10_000, "ban": "0s"})
	set("media.ports", fmt.Sprintf("%d-%d", g.media, g.media+mediaPorts-1))
	set("state.dir", filepath.Join(dir, "state"))
	set("http.listen", g.ConsoleAddress())
	set("log", map[string]any{"level": "debug", "format": "json"})
	set("trace.raw", true)
	if o.Trunks != nil {
		set("sip.trunks", o.Trunks)
	}
	if o.DNS != "" {
		set("sip.dns", []string{o.DNS})
	}
	if o.Postgres != "" {
		set("state.url", o.Postgres)
	}
	for key, value := range o.Set {
		set(key, value)
	}
	return config
}

// SIPAddress is the host:port where it listens for SIP over UDP and TCP.
func (g *Gateway) SIPAddress() string { return loopback(g.sip) }

// ConsoleAddress is the host:port of its HTTP side.
func (g *Gateway) ConsoleAddress() string { return loopback(g.console) }

// Domain is its component's domain, which is its SIP domain too.
func (g *Gateway) Domain() string { return g.options.Server.Options().Component }

// ConfigFile is the file that it was started with.
func (g *Gateway) ConfigFile() string { return filepath.Join(g.Dir(), "stoxgate.yaml") }

// AddIdentity adds an identity while it runs.
func (g *Gateway) AddIdentity(id Identity) {
	g.t.Helper()
	data, err := json.Marshal(id)
	if err != nil {
		g.t.Fatalf("interworktest: identity: %v", err)
	}
	if _, err := g.request(http.MethodPost, "/api/v1/identities", "application/json", data); err != nil {
		g.t.Fatalf("interworktest: add identity %s: %v", data, err)
	}
}

// Get fetches a path of its HTTP side.
func (g *Gateway) Get(path string) string {
	g.t.Helper()
	body, err := g.request(http.MethodGet, path, "", nil)
	if err != nil {
		g.t.Fatalf("interworktest: %v", err)
	}
	return string(body)
}

// Undelivered tells how many messages are in its outbox.
func (g *Gateway) Undelivered() int {
	g.t.Helper()
	var entries []json.RawMessage
	if err := json.Unmarshal([]byte(g.Get("/api/v1/outbox/entries?limit=10000")), &entries); err != nil {
		g.t.Fatalf("interworktest: outbox: %v", err)
	}
	return len(entries)
}

// Run runs another command of the program (check, identity list, translate, …)
// to its end and returns what it printed and its exit code.
func (g *Gateway) Run(stdin string, args ...string) (stdout, stderr string, code int) {
	g.t.Helper()
	return RunStoxgate(g.t, g.Dir(), stdin, args...)
}

func (g *Gateway) request(method, path, contentType string, body []byte) ([]byte, error) {
	r, err := http.NewRequest(method, "http://"+g.ConsoleAddress()+path, bytes.NewReader(body))
	if err != nil {
		return nil, err
	}
	if contentType != "" {
		r.Header.Set("Content-Type", contentType)
	}
	answer, err := g.api.Do(r)
	if err != nil {
		return nil, err
	}
	defer answer.Body.Close()
	data, err := io.ReadAll(answer.Body)
	if err != nil {
		return nil, err
	}
	if answer.StatusCode >= 300 {
		return nil, fmt.Errorf("%s %s: %s: %s", method, path, answer.Status, bytes.TrimSpace(data))
	}
	return data, nil
}

// finish ends the gateway with the test and judges how it ended.
func (g *Gateway) finish() {
	if g.Running() {
		if g.t.Failed() {
			g.showFlows()
		}
		g.Stop()
		if code := g.ExitCode(); code != 0 {
			g.t.Errorf("interworktest: stoxgate ended with code %d after SIGTERM", code)
		}
	} else if g.ExitCode() == raceExit {
		g.t.Errorf("interworktest: stoxgate found a data race")
	}
	log := g.Log()
	for _, bad := range []string{"WARNING: DATA RACE", "panic: ", "fatal error: "} {
		if strings.Contains(log, bad) {
			g.t.Errorf("interworktest: %q in the log of stoxgate", bad)
		}
	}
}

// showFlows logs the ladders of the latest flows, for a test that failed, and
// leaves the whole journal in the gateway's folder.
func (g *Gateway) showFlows() {
	if journal, err := g.request(http.MethodGet, "/api/v1/journal?limit=10000", "", nil); err == nil {
		writeFile(g.t, filepath.Join(g.Dir(), "journal.json"), string(journal))
	}
	data, err := g.request(http.MethodGet, "/api/v1/flows?limit=8", "", nil)
	if err != nil {
		g.t.Logf("interworktest: flows of stoxgate: %v", err)
		return
	}
	var flows []struct {
		ID string `json:"id"`
	}
	if err := json.Unmarshal(data, &flows); err != nil {
		g.t.Logf("interworktest: flows of stoxgate: %v", err)
		return
	}
	for _, f := range flows {
		if ladder, err := g.request(http.MethodGet, "/api/v1/flows/"+f.ID+"/ladder.txt?width=120", "", nil); err == nil {
			g.t.Logf("---- flow %s\n%s", f.ID, ladder)
		}
	}
}

// RunStoxgate runs one command of the program to its end, in the given folder.
func RunStoxgate(t TB, dir, stdin string, args ...string) (stdout, stderr string, code int) {
	t.Helper()
	cmd := exec.Command(Binary(t), args...)
	cmd.Dir, cmd.Env, cmd.SysProcAttr = dir, baseEnv(dir), ownGroup()
	cmd.Stdin = strings.NewReader(stdin)
	var out, errs strings.Builder
	cmd.Stdout, cmd.Stderr = &out, &errs
	if err := cmd.Start(); err != nil {
		t.Fatalf("interworktest: stoxgate %v: %v", args, err)
	}
	limit := time.AfterFunc(time.Minute, func() { _ = cmd.Process.Kill() })
	defer limit.Stop()
	_ = cmd.Wait() // the exit code says it
	return out.String(), errs.String(), cmd.ProcessState.ExitCode()
}

// built is the program under test, made at most once per test binary.
var built struct {
	sync.Mutex
	dir  string // "" until it was built, and with STOXGATE_BINARY
	path string
	err  error
}

// Binary returns the stoxgate program: STOXGATE_BINARY, or one built with the
// race detector from this source tree. Whoever calls it has TestMain call
// RemoveBinary at the end.
func Binary(t TB) string {
	t.Helper()
	built.Lock()
	defer built.Unlock()
	if built.path == "" && built.err == nil {
		built.path, built.err = os.Getenv("STOXGATE_BINARY"), nil
		if built.path == "" {
			built.path, built.err = build(t)
		}
	}
	if built.err != nil {
		t.Fatalf("interworktest: build stoxgate: %v", built.err)
	}
	return built.path
}

func build(t TB) (string, error) {
	dir, err := os.MkdirTemp("", "stoxgate-binary-")
	if err != nil {
		return "", err
	}
	built.dir = dir
	path := filepath.Join(dir, "stoxgate")
	start := time.Now()
	out, err := exec.Command("go", "build", "-race", "-o", path, "github.com/stoxgate/stoxgate/cmd/stoxgate").CombinedOutput()
	if err != nil {
		return "", fmt.Errorf("%w\n%s", err, out)
	}
	t.Logf("interworktest: built stoxgate in %v", time.Since(start).Round(time.Millisecond))
	return path, nil
}

// RemoveBinary removes the program that Binary built.
func RemoveBinary() {
	built.Lock()
	defer built.Unlock()
	if built.dir != "" {
		_ = os.RemoveAll(built.dir)
		built.dir, built.path = "", ""
	}
}
