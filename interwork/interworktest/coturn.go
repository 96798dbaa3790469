package interworktest

import (
	"crypto/hmac"
	"crypto/sha1" //nolint:gosec // what the REST interface of TURN servers asks for
	"encoding/base64"
	"fmt"
	"path/filepath"
	"time"
)

// Coturn is a running TURN server (coturn 4.6 of Debian 12). It listens on 127.0.0.1, and
// what it relays comes from 127.0.0.2: TURN permissions go by address, so who gives a peer
// only relayed candidates is reached from such alone.
type Coturn struct {
	*Process
	port   int
	secret string
}

// coturnRelays is how many ports it has for allocations.
const coturnRelays = 20

// StartCoturn starts a TURN server with a shared secret for credentials; the test is
// skipped where it is not installed.
func StartCoturn(t TB) *Coturn {
	t.Helper()
	path := need(t, "turnserver", "coturn")
	dir := workDir(t, "coturn")
	c := &Coturn{port: FreePort(t), secret: "breakwater"}
	first := FreePorts(t, coturnRelays)
	c.Process = newProcess(t, spec{
		name: "coturn",
		path: path,
		args: []string{
			"-n", "--no-cli", "--cli-password=none", // without one it takes no loopback peers
			"--allow-loopback-peers", "-L", "127.0.0.1", "-E", "127.0.0.2", "-p", fmt.Sprint(c.port),
			"--min-port", fmt.Sprint(first), "--max-port", fmt.Sprint(first + coturnRelays - 1),
			"--use-auth-secret", "--static-auth-secret=" + c.secret, "-r", DefaultDomain, "--no-tls", "--no-dtls", "--verbose",
			"--log-file", "stdout", "--simple-log", "--pidfile", filepath.Join(dir, "pid"), "-b", filepath.Join(dir, "db"),
		},
		dir: dir,
		ready: func() error {
			if err := bound("udp", c.port); err != nil {
				return err
			}
			return bound("tcp", c.port)
		},
	})
	c.Start()
	return c
}

// Port is where it listens, on 127.0.0.1.
func (c *Coturn) Port() int { return c.port }

// Secret is what credentials are made with.
func (c *Coturn) Secret() string { return c.secret }

// credentials are a user name that is good for an hour and its password.
func (c *Coturn) credentials() (username, password string) {
	username = fmt.Sprintf("%d:test", time.Now().Add(time.Hour).Unix())
	mac := hmac.New(sha1.New, []byte(c.secret))
	mac.Write([]byte(username))
	return username, base64.StdEncoding.EncodeToString(mac.Sum(nil))
}
