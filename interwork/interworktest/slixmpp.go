package interworktest

import (
	"bufio"
	"bytes"
	_ "embed"
	"encoding/json"
	"fmt"
	"io"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"sync/atomic"
)

//go:embed scripts/slixmpp_client.py
var slixmppScript string

// python is the interpreter that Debian's python3-slixmpp is made for; another
// python3 that comes first in PATH doesn't see it.
const python = "/usr/bin/python3"

// SlixmppOptions describes a Jabber client made of slixmpp.
type SlixmppOptions struct {
	Server    Server
	Name      string // of an account on the server
	Password  string // default PasswordOf(Name)
	Resource  string // default "desk"
	NoReceipt bool   // don't answer receipt requests (XEP-0184)
	Carbons   bool   // enable carbons (XEP-0280)
	Invisible bool   // send no initial presence
	SCRAM     bool   // prove the password by SCRAM, which takes slixmpp a second, instead of PLAIN
	Reconnect bool   // come back when the server goes away
	Ask       bool   // let the test decide who may see the user; slixmpp grants and returns all
}

// Slixmpp is a Jabber client that this project did not write. What it receives
// is in its feeds; nothing is sent that the test did not ask for, except answers
// to disco, ping and version queries and, unless told otherwise, receipts.
type Slixmpp struct {
	*Process
	Stanzas Feed[Stanza]    // messages and presence, in order
	States  Feed[LinkState] // OnLine, OffLine, Refused
	results Feed[slixmppIQ] // answers to Query
	trouble Feed[string]    // what the script could not do
	counter atomic.Int64    // ids
	jid     atomic.Value    // string: the full JID
	options SlixmppOptions  // with defaults
}

// LinkState is what a client says of its connection.
type LinkState string

// The states of a client's connection.
const (
	OnLine  LinkState = "online"
	OffLine LinkState = "offline"
	Refused LinkState = "refused" // the server did not accept the password
)

// Stanza is a message or presence as a client received it. Empty fields were
// not there.
type Stanza struct {
	Kind     string            `json:"event"` // "message" or "presence"
	From     string            `json:"from"`
	To       string            `json:"to"`
	ID       string            `json:"id"`
	Type     string            `json:"type"`
	Lang     string            `json:"lang"`
	Body     string            `json:"body"`
	Bodies   map[string]string `json:"bodies"` // by language, "" without one
	Subject  string            `json:"subject"`
	Thread   string            `json:"thread"`
	State    string            `json:"state"`           // XEP-0085
	Receipt  string            `json:"receipt"`         // XEP-0184: the id that was received
	Request  bool              `json:"receipt_request"` // XEP-0184
	Markable bool              `json:"markable"`        // XEP-0333
	Marker   *Marker           `json:"marker"`          // XEP-0333
	Carbon   bool              `json:"carbon"`          // XEP-0280: a copy
	Show     string            `json:"show"`
	Status   string            `json:"status"`
	Priority int               `json:"priority"`
	Error    *StanzaError      `json:"error"`
	XML      string            `json:"xml"` // all of it
}

// Marker is a chat marker (XEP-0333).
type Marker struct {
	Name string `json:"name"` // displayed; received and acknowledged of old versions
	ID   string `json:"id"`
}

// StanzaError is a stanza error (RFC 6120 §8.3) as a client received it.
type StanzaError struct {
	Type      string `json:"type"`
	Condition string `json:"condition"`
	Text      string `json:"text"`
}

func (e *StanzaError) String() string {
	if e == nil {
		return "no error"
	}
	return strings.TrimSpace(e.Type + "/" + e.Condition + " " + e.Text)
}

func (s Stanza) String() string { return s.XML }

// Chat is a message for a client to send.
type Chat struct {
	To       string  `json:"to"`
	ID       string  `json:"id"`             // default: made up
	Type     string  `json:"type,omitempty"` // default "chat"
	Body     string  `json:"body,omitempty"`
	Subject  string  `json:"subject,omitempty"`
	Thread   string  `json:"thread,omitempty"`
	Lang     string  `json:"lang,omitempty"`
	State    string  `json:"state,omitempty"`           // XEP-0085
	Request  bool    `json:"receipt_request,omitempty"` // XEP-0184: ask for a receipt
	Receipt  string  `json:"receipt,omitempty"`         // XEP-0184: say that this id was received
	Markable bool    `json:"markable,omitempty"`        // XEP-0333
	Marker   *Marker `json:"marker,omitempty"`          // XEP-0333
	Extra    string  `json:"extra,omitempty"`           // XML of further children
}

type slixmppIQ struct {
	Token   string       `json:"token"`
	XML     string       `json:"xml"`
	Error   *StanzaError `json:"error"`
	Timeout bool         `json:"timeout"`
}

// StartSlixmpp starts a client and waits until it is on line; the test is
// skipped where slixmpp is not installed. It takes about 0.4 s.
func StartSlixmpp(t TB, o SlixmppOptions) *Slixmpp {
	t.Helper()
	c := prepareSlixmpp(t, o)
	c.Start()
	c.WaitOnline()
	return c
}

func prepareSlixmpp(t TB, o SlixmppOptions) *Slixmpp {
	t.Helper()
	needSlixmpp(t)
	if o.Password == "" {
		o.Password = PasswordOf(o.Name)
	}
	if o.Resource == "" {
		o.Resource = "desk"
	}
	dir := workDir(t, "slixmpp-"+o.Name)
	script := filepath.Join(dir, "client.py")
	writeFile(t, script, slixmppScript)
	host, port, err := net.SplitHostPort(o.Server.ClientAddress())
	if err != nil {
		t.Fatalf("interworktest: address of %s: %v", o.Server.Software(), err)
	}
	c := &Slixmpp{options: o}
	args := []string{script, "--jid", c.BareJID() + "/" + o.Resource, "--host", host, "--port", port}
	for flag, on := range map[string]bool{
		"--receipts": !o.NoReceipt, "--carbons": o.Carbons,
		"--presence": !o.Invisible, "--reconnect": o.Reconnect, "--scram": o.SCRAM, "--ask": o.Ask,
	} {
		if on {
			args = append(args, flag)
		}
	}
	t.Cleanup(func() { // after the process has ended
		for _, trouble := range c.trouble.All() {
			t.Errorf("interworktest: slixmpp %s: %s", o.Name, trouble)
		}
	})
	c.Process = newProcess(t, spec{
		name:   "slixmpp-" + o.Name,
		path:   python,
		args:   args,
		dir:    dir,
		stdin:  true,
		input:  o.Password + "\n",
		stdout: c.read,
	})
	return c
}

// needSlixmpp skips the test where Debian's python3 has no slixmpp.
func needSlixmpp(t TB) {
	t.Helper()
	if _, err := os.Stat(python); err != nil {
		missing(t, "%s is not installed (apt-get install python3-slixmpp)", python)
	}
	if found, err := filepath.Glob("/usr/lib/python3/dist-packages/slixmpp/clientxmpp.py"); err == nil && len(found) == 1 {
		return
	}
	if err := exec.Command(python, "-c", "import slixmpp").Run(); err != nil {
		missing(t, "python3 has no slixmpp (apt-get install python3-slixmpp)")
	}
}

// WaitOnline waits until the client has logged in (once more).
func (c *Slixmpp) WaitOnline() {
	c.t.Helper()
	c.States.Take(c.t, c.options.Name+" to be on line", func(s LinkState) bool {
		if s == Refused {
			c.t.Fatalf("interworktest: %s refuses the login of %s", c.options.Server.Software(), c.BareJID())
		}
		return s == OnLine
	})
}

// BareJID is the client's address.
func (c *Slixmpp) BareJID() string { return c.options.Name + "@" + c.options.Server.Options().Domain }

// JID is the client's full address as the server bound it.
func (c *Slixmpp) JID() string {
	if jid, ok := c.jid.Load().(string); ok {
		return jid
	}
	return c.BareJID() + "/" + c.options.Resource
}

// Send sends a message and returns its id.
func (c *Slixmpp) Send(m Chat) (id string) {
	c.t.Helper()
	if m.ID == "" {
		m.ID = fmt.Sprintf("%s-%d", c.options.Name, c.counter.Add(1))
	}
	c.command("message", m)
	return m.ID
}

// SendRaw writes text into the client's stream as it is.
func (c *Slixmpp) SendRaw(xml string) {
	c.t.Helper()
	c.command("raw", map[string]string{"xml": xml})
}

// Presence sends a presence; empty arguments are left out.
func (c *Slixmpp) Presence(to, presenceType, show, status string) {
	c.t.Helper()
	m := map[string]string{}
	for key, value := range map[string]string{"to": to, "type": presenceType, "show": show, "status": status} {
		if value != "" {
			m[key] = value
		}
	}
	c.command("presence", m)
}

// Show sends available presence with a priority to all who may see it.
func (c *Slixmpp) Show(show, status string, priority int) {
	c.t.Helper()
	c.command("presence", map[string]any{"show": show, "status": status, "priority": priority})
}

// Query sends an IQ with the given payload, which must declare its namespace,
// and waits for the answer: the whole stanza and, for type error, its error.
func (c *Slixmpp) Query(to, iqType, payload string) (xml string, e *StanzaError) {
	c.t.Helper()
	token := strconv.FormatInt(c.counter.Add(1), 10)
	c.command("iq", map[string]string{"token": token, "to": to, "type": iqType, "payload": payload})
	answer := c.results.Take(c.t, "the answer of "+to+" to "+payload, func(r slixmppIQ) bool { return r.Token == token })
	if answer.Timeout {
		c.t.Fatalf("interworktest: %s does not answer %s", to, payload)
	}
	return answer.XML, answer.Error
}

// Expect waits for a stanza and takes it (see Feed.Take).
func (c *Slixmpp) Expect(what string, match func(Stanza) bool) Stanza {
	c.t.Helper()
	return c.Stanzas.Take(c.t, what+" at "+c.options.Name, match)
}

// ExpectBody waits for a message (no error, no copy) with exactly this body.
func (c *Slixmpp) ExpectBody(body string) Stanza {
	c.t.Helper()
	return c.Expect(fmt.Sprintf("message %q", body), func(s Stanza) bool {
		return s.Kind == "message" && s.Error == nil && !s.Carbon && s.Body == body
	})
}

// ExpectReceipt waits for the receipt (XEP-0184) for a message.
func (c *Slixmpp) ExpectReceipt(id string) Stanza {
	c.t.Helper()
	return c.Expect("receipt for "+id, func(s Stanza) bool { return s.Receipt == id })
}

// ExpectState waits for a chat state (XEP-0085).
func (c *Slixmpp) ExpectState(state string) Stanza {
	c.t.Helper()
	return c.Expect("chat state "+state, func(s Stanza) bool { return s.State == state })
}

// ExpectPresence waits for a presence from a bare or full JID that is of the type ("" is
// available).
func (c *Slixmpp) ExpectPresence(from, presenceType string) Stanza {
	c.t.Helper()
	return c.Expect(fmt.Sprintf("presence %q from %s", presenceType, from), func(s Stanza) bool {
		bare, _, _ := strings.Cut(s.From, "/")
		return s.Kind == "presence" && s.Type == presenceType && (s.From == from || bare == from)
	})
}

// ExpectError waits for the error that answers the message with this id.
func (c *Slixmpp) ExpectError(id string) Stanza {
	c.t.Helper()
	return c.Expect("error for "+id, func(s Stanza) bool { return s.Error != nil && s.ID == id })
}

func (c *Slixmpp) command(op string, fields any) {
	c.t.Helper()
	data, err := json.Marshal(fields)
	if err != nil {
		c.t.Fatalf("interworktest: %v", err)
	}
	line := append([]byte(`{"op":`+strconv.Quote(op)+`,`), bytes.TrimPrefix(data, []byte("{"))...)
	if bytes.Equal(data, []byte("{}")) {
		line = []byte(`{"op":` + strconv.Quote(op) + `}`)
	}
	r := c.current()
	if r == nil || closed(r.exited) {
		c.t.Fatalf("interworktest: slixmpp %s is not running", c.options.Name)
	}
	if _, err := r.stdin.Write(append(line, '\n')); err != nil {
		c.t.Fatalf("interworktest: slixmpp %s: %v", c.options.Name, err)
	}
}

// read files what the script prints, until it ends.
func (c *Slixmpp) read(r io.Reader) {
	lines := bufio.NewScanner(r)
	lines.Buffer(nil, 16<<20)
	for lines.Scan() {
		var head struct {
			Event string `json:"event"`
			JID   string `json:"jid"`
			Text  string `json:"text"`
		}
		line := lines.Bytes()
		if err := json.Unmarshal(line, &head); err != nil {
			c.trouble.Add(fmt.Sprintf("not JSON: %s", line))
			continue
		}
		switch head.Event {
		case "message", "presence":
			var s Stanza
			if err := json.Unmarshal(line, &s); err != nil {
				c.trouble.Add(fmt.Sprintf("%v: %s", err, line))
				continue
			}
			c.Stanzas.Add(s)
		case "result":
			var r slixmppIQ
			if err := json.Unmarshal(line, &r); err != nil {
				c.trouble.Add(fmt.Sprintf("%v: %s", err, line))
				continue
			}
			c.results.Add(r)
		case "online":
			c.jid.Store(head.JID)
			c.States.Add(OnLine)
		case "offline":
			c.States.Add(OffLine)
		case "refused":
			c.States.Add(Refused)
		case "trouble":
			c.trouble.Add(head.Text)
		}
	}
}
