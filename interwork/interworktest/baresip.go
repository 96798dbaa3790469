package interworktest

import (
	"bufio"
	"bytes"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"time"
)

// BaresipOptions describes a phone.
type BaresipOptions struct {
	User     string
	Password string // default PasswordOf(User)
	Domain   string // of its address of record; default DefaultComponent
	Display  string

	// Proxy is the host:port that it registers at and sends all requests to.
	// Without one it is a phone on its own, called by its address.
	Proxy     string
	Transport string // "udp" (default) or "tcp"

	AnswerMode string   // "manual" (default), "auto" or "early"
	Codecs     []string // such as "PCMA/8000/1"; default all
	MediaEnc   string   // "srtp", "srtp-mand" or "dtls_srtp"
	MediaNAT   string   // "ice"
	Source     string   // what its microphone hears: "aufile,FILE.wav" (see WriteTone); default what it plays
	Tone       float64  // instead of Source: a tone of so many hertz, at the rate of the first of Codecs
	Record     bool     // write what it hears and says to WAV files in Dir
	Account    string   // further parameters of its account, such as "regq=0.5;regint=120"
	Extra      string   // further lines of its configuration
	Presence   bool     // answer SUBSCRIBE for presence; PUBLISH too with "pubint=600" in Account
	Watches    []string // URIs whose presence it subscribes to; not for phones that send messages
}

// Baresip is a phone (baresip 1.0 of Debian 12) under remote control. It
// answers MESSAGE by itself: 200 for text/plain, 415 for every other type.
type Baresip struct {
	*Process
	Wire   Feed[SIPMessage]   // every SIP message it sent or received
	Events Feed[BaresipEvent] // what happens to its account and its calls

	options BaresipOptions
	port    int
	ctrl    *baresipControl // nil while not running
}

// StartBaresip starts a phone and, when it has a Proxy, waits until it is
// registered; the test is skipped where baresip is not installed. It takes
// about 0.3 s.
func StartBaresip(t TB, o BaresipOptions) *Baresip {
	t.Helper()
	b := PrepareBaresip(t, o)
	b.Start()
	if o.Proxy != "" {
		b.WaitRegistered()
	}
	return b
}

// PrepareBaresip is StartBaresip without the start and the wait, for phones
// that must not be able to register.
func PrepareBaresip(t TB, o BaresipOptions) *Baresip {
	t.Helper()
	path := need(t, "baresip", "baresip-core")
	modules, err := filepath.Glob("/usr/lib/baresip/modules")
	if err != nil || len(modules) == 0 {
		missing(t, "no modules in /usr/lib/baresip/modules (apt-get install baresip-core)")
	}
	if o.Password == "" {
		o.Password = PasswordOf(o.User)
	}
	if o.Domain == "" {
		o.Domain = DefaultComponent
	}
	if o.Source == "" {
		o.Source = "aubridge,sink"
	}
	dir := workDir(t, "baresip-"+o.User)
	if o.Tone != 0 {
		rate, channels := baresipRate(o.Codecs)
		o.Source = "aufile," + writeTone(t, filepath.Join(dir, "microphone.wav"), o.Tone, rate, channels, toneLength)
	}
	control := FreePort(t)
	b := &Baresip{options: o, port: FreePorts(t, 2)} // it takes the next port too, for TLS
	rtp := FreePorts(t, 20)
	writeFile(t, filepath.Join(dir, "config"), render(t, "baresip.config.tmpl", map[string]any{
		"Dir": dir, "Modules": modules[0], "SIP": b.port, "Control": control,
		"RTP": fmt.Sprintf("%d-%d", rtp, rtp+19), "Source": o.Source, "Record": o.Record, "Extra": o.Extra,
		"Presence": o.Presence || len(o.Watches) > 0,
	}))
	writeFile(t, filepath.Join(dir, "accounts"), b.account()+"\n")
	var contacts strings.Builder
	for _, uri := range o.Watches {
		fmt.Fprintf(&contacts, "\"Peer\" <%s>;presence=p2p\n", uri)
	}
	writeFile(t, filepath.Join(dir, "contacts"), contacts.String())
	b.Process = newProcess(t, spec{
		name:   "baresip-" + o.User,
		path:   path,
		args:   []string{"-4", "-f", dir, "-v", "-s"},
		dir:    dir,
		stdout: b.read,
		ready: func() error {
			if b.ctrl == nil || closed(b.ctrl.closed) {
				ctrl, err := dialBaresip(loopback(control), &b.Events)
				if err != nil {
					return err
				}
				b.ctrl = ctrl
			}
			return nil
		},
	})
	t.Cleanup(func() { // before the process is stopped
		if b.ctrl != nil {
			b.ctrl.close()
		}
	})
	return b
}

// account is the phone's line in baresip's file of accounts.
func (b *Baresip) account() string {
	o := b.options
	var s strings.Builder
	if o.Display != "" {
		fmt.Fprintf(&s, "%q ", o.Display)
	}
	domain := o.Domain
	if o.Proxy == "" {
		domain = b.Address() // without a proxy its address must be reachable
	}
	fmt.Fprintf(&s, "<sip:%s@%s>;auth_user=%s;auth_pass=%s", o.User, domain, o.User, o.Password)
	transport := o.Transport
	if transport == "" {
		transport = "udp"
	}
	if o.Proxy == "" {
		s.WriteString(";regint=0")
	} else {
		fmt.Fprintf(&s, `;outbound="sip:%s;transport=%s"`, o.Proxy, transport)
		if !strings.Contains(o.Account, "regint=") {
			s.WriteString(";regint=600")
		}
	}
	for _, p := range []struct{ name, value string }{
		{"answermode", o.AnswerMode},
		{"audio_codecs", strings.Join(o.Codecs, ",")},
		{"mediaenc", o.MediaEnc},
		{"medianat", o.MediaNAT},
	} {
		if p.value != "" {
			fmt.Fprintf(&s, ";%s=%s", p.name, p.value)
		}
	}
	if o.Account != "" {
		s.WriteString(";" + o.Account)
	}
	return s.String()
}

// Address is the host:port where the phone listens for SIP over UDP and TCP.
func (b *Baresip) Address() string { return loopback(b.port) }

// URI is its address of record; without a proxy the URI that reaches it.
func (b *Baresip) URI() string {
	if b.options.Proxy == "" {
		return "sip:" + b.options.User + "@" + b.Address()
	}
	return "sip:" + b.options.User + "@" + b.options.Domain
}

// WaitRegistered waits until the phone has registered (once more). It looks at
// the wire: the first registration is over before anyone can ask for events.
func (b *Baresip) WaitRegistered() {
	b.t.Helper()
	m := b.Wire.Take(b.t, b.options.User+" to register", func(m SIPMessage) bool {
		code := m.Status()
		return !m.Out && code >= 200 && code != 401 && code != 407 && m.Method() == "REGISTER"
	})
	if m.Status() != 200 {
		b.t.Fatalf("interworktest: %s can't register: %v", b.options.User, m)
	}
}

// Message sends text to a SIP URI and returns the final status of the request
// as the phone saw it.
func (b *Baresip) Message(to, text string) (status int) {
	b.t.Helper()
	sent := b.MessageAsync(to, text)
	final := b.Wire.TakeWithin(b.t, 40*time.Second, "the answer to "+sent.Start, func(m SIPMessage) bool {
		return !m.Out && m.Status() >= 200 && m.Transaction() == sent.Transaction()
	})
	if code := final.Status(); code != 401 && code != 407 {
		return code
	}
	// Answered a challenge: the same call, the next CSeq.
	final = b.Wire.TakeWithin(b.t, 40*time.Second, "the second answer to "+sent.Start, func(m SIPMessage) bool {
		return !m.Out && m.Status() >= 200 && m.Method() == "MESSAGE" && m.Get("Call-ID") == sent.Get("Call-ID")
	})
	return final.Status()
}

// MessageAsync sends text to a SIP URI and returns the request once it was
// sent, without waiting for the answer.
func (b *Baresip) MessageAsync(to, text string) SIPMessage {
	b.t.Helper()
	b.chooseContact(to)
	from := b.Wire.Len()
	b.Command("message", text)
	return b.Wire.Next(b.t, from, "MESSAGE to "+to+" to be sent", isOwnMessage)
}

// ExpectMessage waits for a MESSAGE request with exactly this body and takes
// it. Retransmissions of a request are entries of their own.
func (b *Baresip) ExpectMessage(body string) SIPMessage {
	b.t.Helper()
	return b.Wire.Take(b.t, fmt.Sprintf("MESSAGE %q at %s", body, b.options.User), func(m SIPMessage) bool {
		return !m.Out && m.Status() == 0 && m.Method() == "MESSAGE" && m.Body == body
	})
}

// Dial calls a SIP URI; what becomes of it is in Events.
func (b *Baresip) Dial(uri string) {
	b.t.Helper()
	b.Command("dial", uri)
}

// Hangup ends the current call.
func (b *Baresip) Hangup() {
	b.t.Helper()
	b.Command("hangup", "")
}

// Accept takes the incoming call.
func (b *Baresip) Accept() {
	b.t.Helper()
	b.Command("accept", "")
}

// ExpectCall waits for an event of a call, such as CALL_ESTABLISHED.
func (b *Baresip) ExpectCall(event string) BaresipEvent {
	b.t.Helper()
	return b.Events.Take(b.t, event+" at "+b.options.User, func(e BaresipEvent) bool { return e.Type == event })
}

// Recordings lists the WAV files written so far (Record).
func (b *Baresip) Recordings() []string {
	files, err := filepath.Glob(filepath.Join(b.Dir(), "dump-*.wav"))
	if err != nil {
		return nil
	}
	return files
}

// Command runs one of baresip's commands (menu.c, contact.c, debug_cmd.c) and
// returns what it prints.
func (b *Baresip) Command(name, params string) string {
	b.t.Helper()
	if b.ctrl == nil {
		b.t.Fatalf("interworktest: baresip %s is not running", b.options.User)
	}
	data, err := b.ctrl.command(name, params)
	if err != nil {
		b.t.Fatalf("interworktest: baresip %s: %s %s: %v", b.options.User, name, params, err)
	}
	return data
}

// chooseContact makes a URI the current contact: baresip 1.0 writes to nobody
// else. The list has that one contact at a time, because a contact can only be
// reached by stepping through the list.
func (b *Baresip) chooseContact(uri string) {
	b.t.Helper()
	line := fmt.Sprintf("\"Peer\" <%s>\n", uri)
	file := filepath.Join(b.Dir(), "contacts")
	if have, err := os.ReadFile(file); err != nil || string(have) != line {
		writeFile(b.t, file, line)
		b.Command("rmmod", "contact.so")
		// It remembers the current one, who is not on the new list.
		if err := os.Remove(filepath.Join(b.Dir(), "current_contact")); err != nil && !errors.Is(err, os.ErrNotExist) {
			b.t.Fatalf("interworktest: baresip %s: %v", b.options.User, err)
		}
		b.Command("insmod", "contact.so")
	}
	if got := b.Command("contact_next", ""); !strings.Contains(got, "<"+uri+">") {
		b.t.Fatalf("interworktest: baresip %s: contact is %q instead of %s", b.options.User, got, uri)
	}
}

func isOwnMessage(m SIPMessage) bool { return m.Out && m.Status() == 0 && m.Method() == "MESSAGE" }

// Marks around each message in baresip's SIP trace (option -s).
var (
	traceStart = []byte("\x1b[36;1m#\n")
	traceEnd   = []byte("\x1b[;m\n")
)

// read copies what baresip prints into its log and files the SIP messages of
// its trace.
func (b *Baresip) read(r io.Reader) {
	log, err := os.OpenFile(b.LogFile(), os.O_APPEND|os.O_WRONLY, 0o644)
	if err != nil {
		return
	}
	defer log.Close()
	own := map[string]bool{b.Address(): true, net.JoinHostPort("127.0.0.1", strconv.Itoa(b.port+1)): true}
	in := bufio.NewReader(io.TeeReader(r, log))
	for {
		line, err := in.ReadBytes('\n')
		if err != nil {
			return
		}
		if !bytes.HasSuffix(line, traceStart) {
			continue
		}
		m, ok, err := readTraced(in)
		if err != nil {
			return
		}
		if !ok {
			continue
		}
		// The trace doesn't tell the direction. An address pair with no known
		// address of ours is a new connection, and there we speak first.
		if !own[m.Local] && !own[m.Remote] {
			own[m.Local] = true
		}
		if m.Out = own[m.Local]; !m.Out {
			m.Local, m.Remote = m.Remote, m.Local
		}
		b.Wire.Add(m)
	}
}

// readTraced reads one traced message behind its start mark; ok is false for
// what is not SIP, such as a keep-alive. Local is where it came from and Remote
// where it went to, whoever sent it.
func readTraced(in *bufio.Reader) (m SIPMessage, ok bool, err error) {
	route, err := in.ReadString('\n') // "UDP 127.0.0.1:1 -> 127.0.0.1:2"
	if err != nil {
		return SIPMessage{}, false, err
	}
	var text []byte
	for !bytes.HasSuffix(text, traceEnd) {
		part, err := in.ReadBytes('\n')
		text = append(text, part...)
		if err != nil {
			return SIPMessage{}, false, err
		}
	}
	m, ok = parseSIPMessage(string(bytes.TrimSuffix(text, traceEnd)))
	if fields := strings.Fields(route); len(fields) == 4 {
		m.Local, m.Remote = fields[1], fields[3]
	}
	return m, ok, nil
}
