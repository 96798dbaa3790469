package interworktest

import (
	"bufio"
	"cmp"
	"embed"
	"encoding/csv"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"syscall"
	"time"
)

//go:embed scenarios/*.xml
var scenarioFiles embed.FS

// Scenarios of this package; the comment in each file names its keys.
const (
	MessageUAC       = "message_uac"        // sends MESSAGE, answers a challenge
	MessageUAS       = "message_uas"        // answers MESSAGE with one status
	MessageUASRich   = "message_uas_rich"   // the same, and understands CPIM, IMDN and isComposing
	MessageUASSilent = "message_uas_silent" // answers no MESSAGE
	MessageUASBusy   = "message_uas_busy"   // 503 first, then 200
	Register         = "register"           // registers a contact

	CallUAC        = "call_uac"          // calls, talks, hangs up
	CallUACStays   = "call_uac_stays"    // calls, talks until the other hangs up
	CallUACRefused = "call_uac_refused"  // calls and is refused with Status
	CallUACCancels = "call_uac_cancels"  // calls and gives up when it rings
	CallUACLate    = "call_uac_late"     // calls without an offer
	CallUACHolds   = "call_uac_holds"    // calls, holds, takes back, hangs up
	CallUAS        = "call_uas"          // answers, talks until the other hangs up
	CallUASHangsUp = "call_uas_hangs_up" // answers, talks, hangs up
	CallUASRefuses = "call_uas_refuses"  // rings and refuses with Status
	CallUASRejects = "call_uas_rejects"  // refuses with Status at once
	CallUASRings   = "call_uas_rings"    // rings for ever
	Subscribe      = "subscribe"         // subscribes to an event package
	PresenceUAS    = "presence_uas"      // takes SUBSCRIBE for presence and answers with a document
	Publish        = "publish"           // publishes presence and takes it back
)

// SIPpOptions describes one run of SIPp.
type SIPpOptions struct {
	Scenario  string            // the name of one of ours, or the XML of another
	OutOfCall string            // the same, for requests outside the calls of Scenario (-oocsf)
	Status    string            // [status] of a scenario, as MessageUAS answers it; default "200 OK"
	Keys      map[string]string // the scenario's [name] keywords
	CSV       string            // lines for its [fieldN] keywords, with SIPp's head line
	Remote    string            // host:port to send to; empty for a server
	Port      int               // local port; default a free one
	TCP       bool              // one TCP connection instead of UDP
	Calls     int               // ends after so many calls; 0: when stopped
	Rate      int               // calls a second; default 10
	Limit     int               // calls at once; default SIPp's own choice
	User      string            // for digest; also key user
	Password  string            // for digest; default PasswordOf(User)
	Stay      time.Duration     // how long a <pause/> lasts; default no time
	Talk      time.Duration     // how long a part of a call lasts; default 1 s
	Codec     string            // of calls: CodecPCMA (default), CodecPCMU, …
	Args      []string          // further arguments
}

// SIPp is a running SIPp (3.6 of Debian 12).
type SIPp struct {
	*Process
	Wire Feed[SIPMessage] // every SIP message it sent or received

	port  int
	stats string // file
}

// SIPpStats is what SIPp counted.
type SIPpStats struct {
	Succeeded, Failed          int // calls
	Retransmissions            int // sent by SIPp
	OutOfCall, DeadCall        int // messages outside of, and after the end of, its calls
	Unexpected                 int // messages that the scenario didn't foresee
	TimeoutOnRecv, MaxUDPRetry int // calls that failed because nothing came
}

// StartSIPp starts SIPp; the test is skipped where it is not installed. A
// server is usable when it returns.
func StartSIPp(t TB, o SIPpOptions) *SIPp {
	t.Helper()
	path := need(t, "sipp", "sip-tester")
	dir := workDir(t, "sipp")
	if o.Port == 0 {
		o.Port = FreePort(t)
	}
	if o.Password == "" {
		o.Password = PasswordOf(o.User)
	}
	if o.Status == "" {
		o.Status = "200 OK"
	}
	if o.Talk == 0 {
		o.Talk = time.Second
	}
	s := &SIPp{port: o.Port, stats: filepath.Join(dir, "stats.csv")}
	trace := filepath.Join(dir, "messages.log")
	args := []string{
		"-sf", scenarioFile(t, dir, "scenario.xml", o.Scenario, o),
		"-i", "127.0.0.1", "-p", strconv.Itoa(o.Port), "-bind_local",
		"-nostdin", "-f", "60",
		"-trace_msg", "-message_file", trace,
		"-trace_stat", "-stf", s.stats, "-fd", "1",
		"-trace_err", "-error_file", filepath.Join(dir, "errors.log"),
		// Our scenarios have no calls to clean up; a stray OPTIONS is answered.
		"-default_behaviors", "all,-bye", "-aa",
		"-au", o.User, "-ap", o.Password,
		"-key", "user", o.User,
	}
	if strings.Contains(o.Scenario+o.OutOfCall, "call_u") {
		args = append(args, mediaArgs(t, o.Codec)...)
	}
	transport := "u1"
	network := "udp"
	if o.TCP {
		transport, network = "t1", "tcp"
	}
	args = append(args, "-t", transport)
	if uri := cmp.Or(o.Keys["to"], o.Keys["domain"]); uri != "" {
		// The digest's uri is the Request-URI (RFC 8760 §2.6 by RFC 7616 §3.4);
		// SIPp would put the address that it sends to.
		args = append(args, "-auth_uri", strings.TrimPrefix(uri, "sip:"))
	}
	if o.OutOfCall != "" {
		args = append(args, "-oocsf", scenarioFile(t, dir, "outofcall.xml", o.OutOfCall, o))
	}
	for key, value := range o.Keys {
		args = append(args, "-key", key, value)
	}
	if o.CSV != "" {
		file := filepath.Join(dir, "fields.csv")
		writeFile(t, file, o.CSV)
		args = append(args, "-inf", file)
	}
	for _, n := range []struct {
		flag  string
		value int
	}{{"-m", o.Calls}, {"-r", o.Rate}, {"-l", o.Limit}} {
		if n.value != 0 {
			args = append(args, n.flag, strconv.Itoa(n.value))
		}
	}
	if o.Stay != 0 {
		args = append(args, "-d", strconv.FormatInt(o.Stay.Milliseconds(), 10))
	}
	args = append(args, o.Args...)
	ready := func() error { return bound(network, o.Port) }
	if o.Remote != "" {
		args = append(args, o.Remote)
		// A client may be through before anyone looks; it has accepted its
		// scenario when it opens its trace.
		ready = func() error {
			_, err := os.Stat(trace)
			return err
		}
	}
	s.Process = newProcess(t, spec{
		name: "sipp", path: path, args: args, dir: dir, ready: ready,
		env:  []string{"TERM=dumb"},
		tail: &tail{file: trace, read: s.read},
	})
	s.Start()
	return s
}

// Address is the host:port it sends from and listens on.
func (s *SIPp) Address() string { return loopback(s.port) }

// Success waits for SIPp to end by itself and fails the test unless every call
// went as its scenario says.
func (s *SIPp) Success(within time.Duration) SIPpStats {
	s.t.Helper()
	code := s.Wait(within)
	stats := s.Stats()
	if code != 0 {
		errors, _ := os.ReadFile(filepath.Join(s.Dir(), "errors.log"))
		s.t.Fatalf("interworktest: sipp ends with %d: %+v\n%s", code, stats, errors)
	}
	return stats
}

// Final waits for the final answer to a request of this method that SIPp sent,
// challenges left out, and takes it.
func (s *SIPp) Final(method string) SIPMessage {
	s.t.Helper()
	return s.Wire.Take(s.t, "a final answer to "+method, func(m SIPMessage) bool {
		code := m.Status()
		return !m.Out && code >= 200 && code != 401 && code != 407 && m.Method() == method
	})
}

// ExpectMessage waits for a MESSAGE request with exactly this body and takes
// it. Retransmissions of a request are entries of their own.
func (s *SIPp) ExpectMessage(body string) SIPMessage {
	s.t.Helper()
	return s.Wire.Take(s.t, fmt.Sprintf("MESSAGE %q at sipp", body), func(m SIPMessage) bool {
		return !m.Out && m.Status() == 0 && m.Method() == "MESSAGE" && m.Body == body
	})
}

// Finish lets SIPp end its calls, so that its statistics are complete (SIGUSR1).
func (s *SIPp) Finish() {
	s.t.Helper()
	s.stopWith(syscall.SIGUSR1)
}

// Stats returns what SIPp counted up to its latest report: once a second, and at
// its end.
func (s *SIPp) Stats() SIPpStats {
	s.t.Helper()
	data, err := os.ReadFile(s.stats)
	if err != nil {
		return SIPpStats{} // no report yet
	}
	r := csv.NewReader(strings.NewReader(string(data)))
	r.Comma, r.FieldsPerRecord, r.LazyQuotes = ';', -1, true
	rows, err := r.ReadAll()
	if err != nil || len(rows) < 2 {
		return SIPpStats{}
	}
	head, last := rows[0], rows[len(rows)-1]
	get := func(name string) int {
		for i, h := range head {
			if h == name+"(C)" && i < len(last) {
				n, err := strconv.Atoi(last[i])
				if err != nil {
					return 0
				}
				return n
			}
		}
		return 0
	}
	return SIPpStats{
		Succeeded: get("SuccessfulCall"), Failed: get("FailedCall"),
		Retransmissions: get("Retransmissions"),
		OutOfCall:       get("OutOfCallMsgs"), DeadCall: get("DeadCallMsgs"),
		Unexpected:    get("FailedUnexpectedMessage"),
		TimeoutOnRecv: get("FailedTimeoutOnRecv"), MaxUDPRetry: get("FailedMaxUDPRetrans"),
	}
}

// traceHead is the line before each message of SIPp's trace: "UDP message
// received [276] bytes :" or "UDP message sent (215 bytes):".
var traceHead = regexp.MustCompile(`^(?:UDP|TCP|TLS) message (received|sent) [\[(](\d+)`)

// read files the messages of SIPp's trace.
func (s *SIPp) read(r io.Reader) {
	in := bufio.NewReader(r)
	for {
		line, err := in.ReadString('\n')
		if err != nil {
			return
		}
		head := traceHead.FindStringSubmatch(line)
		if head == nil {
			continue
		}
		if _, err := in.ReadString('\n'); err != nil { // an empty line
			return
		}
		n, err := strconv.Atoi(head[2])
		if err != nil {
			return
		}
		text := make([]byte, n)
		if _, err := io.ReadFull(in, text); err != nil {
			return
		}
		if m, ok := parseSIPMessage(string(text)); ok {
			m.Out = head[1] == "sent"
			m.Local = s.Address()
			s.Wire.Add(m)
		}
	}
}

// Scenario returns the XML of one of the scenarios of this package, for tests
// that need it a little different.
func Scenario(t TB, name string) string {
	t.Helper()
	data, err := scenarioFiles.ReadFile("scenarios/" + name + ".xml")
	if err != nil {
		t.Fatalf("interworktest: no SIPp scenario %q", name)
	}
	return string(data)
}

// scenarioFile writes a scenario, ours by its name or the given XML, into the
// folder. The status line of an answer, and times, are filled in here: SIPp
// reads them before it looks at keywords.
func scenarioFile(t TB, dir, name, scenario string, o SIPpOptions) string {
	t.Helper()
	if !strings.HasPrefix(strings.TrimSpace(scenario), "<") {
		scenario = Scenario(t, scenario)
	}
	path := filepath.Join(dir, name)
	writeFile(t, path, strings.NewReplacer("[status]", o.Status, "[talk]", strconv.FormatInt(o.Talk.Milliseconds(), 10)).Replace(scenario))
	return path
}
