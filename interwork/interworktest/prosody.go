package interworktest

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
)

// Prosody is a running Prosody (0.12 of Debian 12) with accounts on Domain and
// one component.
type Prosody struct {
	server
	http int // 0: no websockets
}

// prosodyModules is where Debian's prosody-modules has what Prosody itself has not.
const prosodyModules = "/usr/lib/prosody/modules"

// StartProsody starts a Prosody, skipping the test where it is not installed.
// It is usable within about 0.3 s. Clients may log in without TLS (PLAIN and
// SCRAM-SHA-1) from loopback; server-to-server and message archives are off;
// messages to users who are offline are kept, to unknown users are bounced.
func StartProsody(t TB, o ServerOptions) *Prosody {
	t.Helper()
	path := need(t, "prosody", "prosody")
	o = o.withDefaults()
	if o.Privilege != "" {
		if _, err := os.Stat(filepath.Join(prosodyModules, "mod_privilege")); err != nil {
			missing(t, "mod_privilege is not installed (apt-get install prosody-modules)")
		}
	}
	dir := workDir(t, "prosody")
	p := &Prosody{server: server{options: o, client: FreePort(t), component: FreePort(t)}}
	used := []string{p.ClientAddress(), p.ComponentAddress()}
	if o.WebSocket {
		p.http = FreePort(t)
		used = append(used, loopback(p.http))
	}

	// Accounts are written as mod_auth_internal_plain stores them: prosodyctl
	// takes 0.2 s for each.
	for _, a := range o.Accounts {
		file := filepath.Join(dir, "data", prosodyStore(o.Domain), "accounts", prosodyStore(a.Name)+".dat")
		writeFile(t, file, fmt.Sprintf("return {\n\t[\"password\"] = %s;\n};\n", luaQuote(a.Password)))
	}
	config := filepath.Join(dir, "prosody.cfg.lua")
	writeFile(t, config, render(t, "prosody.cfg.lua.tmpl", map[string]any{
		"Dir": dir, "Client": p.client, "Component": p.component, "HTTP": p.http, "Options": o, "Modules": prosodyModules,
	}))
	p.Process = newProcess(t, spec{
		name:  "prosody",
		path:  path,
		args:  []string{"-F", "--config", config},
		dir:   dir,
		ready: listening(used...),
	})
	p.Start()
	return p
}

// Software implements Server.
func (p *Prosody) Software() string { return "prosody" }

// WebSocketURL is where browsers log in (RFC 7395); the server was started with
// WebSocket.
func (p *Prosody) WebSocketURL() string { return "ws://" + loopback(p.http) + "/xmpp-websocket" }

// prosodyStore is how Prosody's file storage spells a name (util.datamanager):
// every byte but letters and digits as %xx.
func prosodyStore(name string) string {
	var b strings.Builder
	for _, c := range []byte(name) {
		if c >= 'a' && c <= 'z' || c >= 'A' && c <= 'Z' || c >= '0' && c <= '9' {
			b.WriteByte(c)
		} else {
			fmt.Fprintf(&b, "%%%02x", c)
		}
	}
	return b.String()
}

// luaQuote writes a Lua string literal.
func luaQuote(s string) string {
	var b strings.Builder
	b.WriteByte('"')
	for _, c := range []byte(s) {
		switch {
		case c == '"' || c == '\\':
			b.WriteByte('\\')
			b.WriteByte(c)
		case c < 0x20 || c == 0x7f:
			fmt.Fprintf(&b, "\\%03d", c)
		default:
			b.WriteByte(c)
		}
	}
	b.WriteByte('"')
	return b.String()
}
