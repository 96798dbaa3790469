package interworktest

import (
	_ "embed"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"time"
)

//go:embed scripts/browser_page.js
var browserPage string

// Browser is a headless Chromium: the WebRTC that most Jabber clients with
// calls are made of, on a machine without a sound card or a network. Every
// client in it is a page of its own.
type Browser struct {
	*Process
	tools *devTools
	page  string // URL
}

// StartBrowser starts a browser; the test is skipped where Chromium, or the
// script that .ci/browser makes, is not installed. It takes about a second.
func StartBrowser(t TB) *Browser {
	t.Helper()
	path := need(t, "chromium", "chromium")
	library, err := stanzaLibrary()
	if err != nil {
		missing(t, "%v", err)
	}
	dir := workDir(t, "chromium")
	profile := filepath.Join(dir, "profile")
	writeFile(t, filepath.Join(dir, "page.js"), browserPage)
	writeFile(t, filepath.Join(dir, "page.html"), fmt.Sprintf(
		"<!doctype html><meta charset=utf-8><title>client</title><script src=\"file://%s\"></script><script src=page.js></script>\n", library))
	b := &Browser{page: "file://" + filepath.Join(dir, "page.html")}
	b.Process = newProcess(t, spec{
		name: "chromium",
		path: path,
		args: []string{
			"--headless", "--no-sandbox", "--disable-gpu", "--no-first-run", "--mute-audio",
			"--user-data-dir=" + profile, "--remote-debugging-port=0",
			// Nothing leaves the machine.
			"--disable-background-networking", "--disable-component-update", "--disable-sync", "--disable-quic", "--no-pings",
			"--host-resolver-rules=MAP * ~NOTFOUND, EXCLUDE 127.0.0.1",
			// Calls on loopback, with addresses and not mDNS names in candidates.
			"--allow-loopback-in-peer-connection", "--disable-features=WebRtcHideLocalIpsWithMdns",
			"--use-fake-device-for-media-stream", "--use-fake-ui-for-media-stream", "--autoplay-policy=no-user-gesture-required",
			// All pages but one are in the background.
			"--disable-background-timer-throttling", "--disable-renderer-backgrounding", "--disable-backgrounding-occluded-windows",
			"--disable-dev-shm-usage",
			"about:blank",
		},
		dir:     dir,
		readyIn: browserPatience,
		ready: func() error {
			data, err := os.ReadFile(filepath.Join(profile, "DevToolsActivePort")) // "PORT\nPATH"
			if err != nil {
				return err
			}
			port, path, ok := strings.Cut(strings.TrimSpace(string(data)), "\n")
			number, err := strconv.Atoi(port)
			if !ok || err != nil {
				return errNoPort
			}
			b.tools, err = dialDevTools("ws://" + loopback(number) + path)
			return err
		},
	})
	t.Cleanup(func() { // before the process is stopped
		if b.tools != nil {
			b.tools.close()
		}
	})
	b.Start()
	return b
}

// browserPatience is Patience with a program that starts a dozen others.
const browserPatience = time.Minute

var errNoPort = errors.New("no port yet")

// stanzaLibrary finds the npm package stanza as .ci/browser bundles it: from
// STOXGATE_BROWSER, or in the source tree that the test runs in.
func stanzaLibrary() (string, error) {
	if file := os.Getenv("STOXGATE_BROWSER"); file != "" {
		return filepath.Abs(file)
	}
	dir, err := os.Getwd()
	if err != nil {
		return "", err
	}
	for at := dir; ; at = filepath.Dir(at) {
		if _, err := os.Stat(filepath.Join(at, "go.mod")); err == nil {
			file := filepath.Join(at, ".tools", "browser", "stanza.js")
			if _, err := os.Stat(file); err != nil {
				return "", fmt.Errorf("%s is not there (run .ci/browser)", file)
			}
			return file, nil
		}
		if at == filepath.Dir(at) {
			return "", fmt.Errorf("no source tree around %s", dir)
		}
	}
}

// WebClientOptions describes a Jabber client in a page.
type WebClientOptions struct {
	Server   *Prosody // with websockets (WebSocket of ServerOptions)
	Name     string   // of an account
	Password string   // default PasswordOf(Name)
	Resource string   // default "web"
	JMI      bool     // Jingle Message Initiation; otherwise a session at once
	Silent   bool     // does not tell callers that it rings
	Codecs   []string // such as "opus" or "PCMA"; default all of the browser's
	Tone     float64  // of its microphone, in hertz; default 440
	// Relayed makes its media go by a TURN server alone; of its peers it sees only what is
	// behind one too.
	Relayed *Coturn
}

// WebClient is a Jabber client in a page. What happens is in its feeds.
type WebClient struct {
	Events  Feed[WebEvent]
	Stanzas Feed[WebStanza] // every one, and what else is on the stream

	t       TB
	browser *Browser
	session string // of DevTools
	jid     string
	options WebClientOptions
}

// WebEvent is something that happened to a client. Kinds are the names of JMI
// messages that came (propose, ringing, proceed, reject, retract, finish),
// "receipt" (of a proposal), available (of somebody), and for sessions initiated, incoming, accepted
// (here), answered (there), ringing-info, connection (Text is the state of
// WebRTC) and terminated.
type WebEvent struct {
	Kind   string `json:"kind"`
	SID    string `json:"sid"`
	From   string `json:"from"`
	To     string `json:"to"`
	Reason string `json:"reason"` // a Jingle condition
	Text   string `json:"text"`
	Out    bool   `json:"out"`
}

func (e WebEvent) String() string {
	return strings.Join(strings.Fields(fmt.Sprintln(e.Kind, e.SID, e.From, e.To, e.Reason, e.Text)), " ")
}

// WebStanza is what a client sent or received.
type WebStanza struct {
	Out bool
	XML string
}

func (s WebStanza) String() string {
	if s.Out {
		return "-> " + s.XML
	}
	return "<- " + s.XML
}

// Client opens a page and logs in; the page is closed with the test.
func (b *Browser) Client(t TB, o WebClientOptions) *WebClient {
	t.Helper()
	if o.Password == "" {
		o.Password = PasswordOf(o.Name)
	}
	if o.Resource == "" {
		o.Resource = "web"
	}
	if o.Tone == 0 {
		o.Tone = 440
	}
	w := &WebClient{t: t, browser: b, options: o}
	var target struct{ TargetID string }
	w.tools("", "Target.createTarget", map[string]any{"url": "about:blank"}, &target)
	t.Cleanup(func() {
		if t.Failed() {
			for _, e := range w.Events.All() {
				t.Logf("%s: %v", o.Name, e)
			}
		}
		// A browser that is gone has no pages.
		_ = b.tools.call("", "Target.closeTarget", map[string]any{"targetId": target.TargetID}, nil, Patience)
		for _, e := range w.Events.All() {
			if e.Kind == "trouble" {
				t.Errorf("interworktest: page of %s: %s", o.Name, e.Text)
			}
		}
	})
	var attached struct{ SessionID string }
	w.tools("", "Target.attachToTarget", map[string]any{"targetId": target.TargetID, "flatten": true}, &attached)
	w.session = attached.SessionID
	b.tools.bind(w.session, w.reported)
	w.tools(w.session, "Runtime.enable", nil, nil)
	w.tools(w.session, "Runtime.addBinding", map[string]any{"name": "report"}, nil)
	w.tools(w.session, "Page.navigate", map[string]any{"url": b.page}, nil)
	Eventually(t, browserPatience, "the page of "+o.Name, func() error {
		var there bool
		if err := w.evaluate("window.client !== undefined && document.readyState === 'complete'", &there, Patience); err != nil {
			return err
		}
		if !there {
			return errors.New("not loaded")
		}
		return nil
	})
	var turn map[string]string
	if c := o.Relayed; c != nil {
		username, password := c.credentials()
		turn = map[string]string{"urls": fmt.Sprintf("turn:127.0.0.1:%d?transport=udp", c.Port()), "username": username, "credential": password}
	}
	w.do(&w.jid, "login", map[string]any{
		"turn": turn,
		"jid":  o.Name + "@" + o.Server.Options().Domain, "password": o.Password, "resource": o.Resource,
		"url": o.Server.WebSocketURL(), "jmi": o.JMI, "ring": !o.Silent, "codecs": o.Codecs, "tone": o.Tone,
	})
	return w
}

func (w *WebClient) tools(session, method string, params, result any) {
	w.t.Helper()
	if err := w.browser.tools.call(session, method, params, result, browserPatience); err != nil {
		w.t.Fatalf("interworktest: browser: %v", err)
	}
}

// reported files what the page reports.
func (w *WebClient) reported(payload string) {
	var e WebEvent
	if err := json.Unmarshal([]byte(payload), &e); err != nil {
		e = WebEvent{Kind: "trouble", Text: payload}
	}
	if e.Kind == "stanza" {
		w.Stanzas.Add(WebStanza{Out: e.Out, XML: e.Text})
		return
	}
	w.Events.Add(e)
}

// evaluate runs an expression in the page and waits for what it promises.
func (w *WebClient) evaluate(expression string, result any, within time.Duration) error {
	var answer struct {
		Result struct {
			Value json.RawMessage
		}
		ExceptionDetails *struct {
			Text      string
			Exception struct{ Description string }
		}
	}
	err := w.browser.tools.call(w.session, "Runtime.evaluate", map[string]any{
		"expression": expression, "awaitPromise": true, "returnByValue": true,
	}, &answer, within)
	if err != nil {
		return err
	}
	if x := answer.ExceptionDetails; x != nil {
		return fmt.Errorf("%s %s", x.Text, x.Exception.Description)
	}
	if result == nil || answer.Result.Value == nil {
		return nil
	}
	return json.Unmarshal(answer.Result.Value, result)
}

// do calls one of the functions of the page's client.
func (w *WebClient) do(result any, function string, arguments ...any) {
	w.t.Helper()
	if arguments == nil {
		arguments = []any{}
	}
	data, err := json.Marshal(arguments)
	if err != nil {
		w.t.Fatalf("interworktest: %s: %v", function, err)
	}
	if err := w.evaluate(fmt.Sprintf("client.%s(...%s)", function, data), result, browserPatience); err != nil {
		w.t.Fatalf("interworktest: page of %s: %s: %v", w.options.Name, function, err)
	}
}

// JID is the client's full JID.
func (w *WebClient) JID() string { return w.jid }

// Send sends XML as it is.
func (w *WebClient) Send(xml string) {
	w.t.Helper()
	w.do(nil, "send", xml)
}

// Befriend asks for the presence of somebody, who gets this client's in turn, and
// returns the full JID that is on line. Whoever asks for this client's gets it.
func (w *WebClient) Befriend(jid string) (full string) {
	w.t.Helper()
	w.do(nil, "befriend", jid)
	return w.Events.Take(w.t, jid+" to be on line for "+w.options.Name, func(e WebEvent) bool {
		return e.Kind == "available" && strings.HasPrefix(e.From, jid+"/")
	}).From
}

// Show sends somebody this client's presence (RFC 6121 §4.6).
func (w *WebClient) Show(jid string) {
	w.t.Helper()
	w.do(nil, "show", jid)
}

// Dial calls somebody, in the client's manner: by a proposal to the bare JID, or
// by a session with exactly this JID. It returns the id of the call.
func (w *WebClient) Dial(to string) (sid string) {
	w.t.Helper()
	w.do(&sid, "dial", to)
	return sid
}

// Prefer has later calls use these codecs only; all of the browser's with none.
func (w *WebClient) Prefer(codecs ...string) {
	w.t.Helper()
	w.do(nil, "prefer", strings.Fields(strings.Join(codecs, " ")))
}

// Answer takes a proposal or a session that came in.
func (w *WebClient) Answer(sid string) {
	w.t.Helper()
	w.do(nil, "answer", sid)
}

// End withdraws, refuses or hangs up, as the state of the call demands, with a
// Jingle condition ("" for the usual one).
func (w *WebClient) End(sid, condition string) {
	w.t.Helper()
	w.do(nil, "end", sid, condition)
}

// Clear hangs up whatever is left, so that the next test finds a client at rest.
func (w *WebClient) Clear() {
	w.t.Helper()
	w.do(nil, "clear")
}

// Hold puts the peer on hold (XEP-0167 §6), or takes it back.
func (w *WebClient) Hold(sid string, on bool) {
	w.t.Helper()
	w.do(nil, "hold", sid, on)
}

// DTMF sends digits as telephone events (RFC 4733).
func (w *WebClient) DTMF(sid, digits string) {
	w.t.Helper()
	w.do(nil, "dtmf", sid, digits)
}

// Listen returns what the client hears in the next so long.
func (w *WebClient) Listen(sid string, length time.Duration) Recording {
	w.t.Helper()
	return w.Listening(sid, length)()
}

// Listening is Listen in two steps: what it returns waits for the recording, so
// that others can listen at the same time.
func (w *WebClient) Listening(sid string, length time.Duration) func() Recording {
	type result struct {
		Rate    int
		Start   float64 // milliseconds
		Samples []byte
	}
	var heard result
	done := make(chan error, 1)
	go func() {
		done <- w.evaluate(fmt.Sprintf("client.listen(%q, %v)", sid, length.Seconds()), &heard, length+browserPatience)
	}()
	return func() Recording {
		w.t.Helper()
		if err := <-done; err != nil {
			w.t.Fatalf("interworktest: %s listens: %v", w.options.Name, err)
		}
		return Recording{Rate: heard.Rate, Samples: samples16(heard.Samples), Start: milliseconds(heard.Start)}
	}
}

// Mark has the client's tone pause for 300 ms, so that it can be told when it is
// heard again elsewhere: it returns when it goes on, on the clock of
// Recording.Start.
func (w *WebClient) Mark() time.Duration {
	w.t.Helper()
	var at float64
	w.do(&at, "mark", 0.2, 0.3)
	return milliseconds(at)
}

// WebStats is what WebRTC counts in one call.
type WebStats struct {
	Received, Sent, Lost       int     // packets
	Samples, Concealed, Silent int     // samples played, those of them made up, and those of these that are silence
	Delay                      float64 // of the jitter buffer, in milliseconds
	RoundTrip                  float64 // as RTCP tells, in milliseconds; 0 unknown
	CodecIn, CodecOut          string
	DTLS, SRTP, ICE            string // state, profile, state
}

// Stats returns what WebRTC has counted so far.
func (w *WebClient) Stats(sid string) WebStats {
	w.t.Helper()
	var s WebStats
	w.do(&s, "stats", sid)
	return s
}

// Expect waits for an event of a kind; any call when sid is empty.
func (w *WebClient) Expect(kind, sid string) WebEvent {
	w.t.Helper()
	return w.Events.Take(w.t, kind+" "+sid+" at "+w.options.Name, func(e WebEvent) bool {
		return e.Kind == kind && (sid == "" || e.SID == sid)
	})
}

// ExpectConnected waits until WebRTC has ICE and DTLS.
func (w *WebClient) ExpectConnected(sid string) {
	w.t.Helper()
	w.Events.Take(w.t, "media of "+sid+" at "+w.options.Name, func(e WebEvent) bool {
		return e.Kind == "connection" && e.SID == sid && e.Text == "connected"
	})
}

func milliseconds(f float64) time.Duration { return time.Duration(f * float64(time.Millisecond)) }
