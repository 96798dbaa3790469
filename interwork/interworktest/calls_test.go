package interworktest

import (
	"cmp"
	"fmt"
	"strings"
	"testing"
	"text/tabwriter"
	"time"
)

// callHouse is a house with browsers on one side and phones on the other.
type callHouse struct {
	*Rig
	stage   *stage
	clients map[string]*WebClient // by manner of calling: "JMI", "direct"
	phones  map[string]*Baresip   // by codec
	patient *Baresip              // calls those who don't answer; who is being called can't be called back
	lines   int
}

// phoneTones are the codecs of the phones, and what their microphones hear.
var phoneTones = map[string]float64{CodecPCMA: 1020, CodecPCMU: 880, CodecG722: 1240, CodecOpus: 740}

// phoneName is who has the phone with a codec: its name in small letters.
func phoneName(codec string) string {
	name, _, _ := strings.Cut(codec, "/")
	return strings.ToLower(name)
}

// clientTones are those of the clients' microphones.
var clientTones = map[string]float64{"JMI": 440, "direct": 620}

func newCallHouse(t *testing.T) *callHouse {
	t.Helper()
	h := &callHouse{stage: newStage(t), clients: map[string]*WebClient{}, phones: map[string]*Baresip{}}
	o := RigOptions{Server: ServerOptions{WebSocket: true}, Phones: []string{"patient"}}
	for codec := range phoneTones {
		o.Phones = append(o.Phones, phoneName(codec))
	}
	o.Gateway = callGateway(t)
	// An account that is gone.
	o.Gateway.Identities = []Identity{{JID: "ghost@" + DefaultDomain, AORs: []string{"sip:ghost@" + DefaultComponent}}}
	h.Rig = NewRig(h.stage, o)
	browser := StartBrowser(h.stage)
	server := h.Server.(*Prosody)
	for kind, name := range map[string]string{"JMI": "mira", "direct": "jonas"} {
		h.clients[kind] = browser.Client(h.stage, WebClientOptions{Server: server, Name: name, JMI: kind == "JMI", Tone: clientTones[kind]})
	}
	for codec, tone := range phoneTones {
		h.phones[codec] = h.Phone(phoneName(codec), BaresipOptions{Codecs: []string{codec}, Tone: tone, Record: true})
		// Who knows no JMI is only called where it is seen on line.
		h.clients["direct"].Show(h.JID(phoneName(codec)))
	}
	asked(h.clients["direct"])
	h.patient = h.Phone("patient", BaresipOptions{})
	return h
}

// callGateway are the options of a gateway for calls.
func callGateway(t *testing.T) GatewayOptions {
	t.Helper()
	const ports = 200
	first := FreePorts(t, ports)
	return GatewayOptions{Set: map[string]any{
		"media.ring_timeout": "10s",
		"media.ports":        fmt.Sprintf("%d-%d", first, first+ports-1),
	}}
}

// callRow is a row of the matrix: who calls whom, how, and what became of it.
type callRow struct {
	fromPhone bool
	client    string // "JMI" or "direct"
	codec     string // of the phone
	only      string // codec of the client, when it has only one: the gateway transcodes
	outcome   string
	hangsUp   string // "caller" or "callee"

	// What the row must show.
	status    int    // final answer to the INVITE
	condition string // of the reason that the client is told, or tells

	// What it did show.
	gotStatus    int
	gotReason    string // of BYE or CANCEL
	gotCondition string
	codecs       string
	hears, phone Sound
}

func (r *callRow) name() string {
	direction := r.client + "-to-" + phoneName(r.codec)
	if r.fromPhone {
		direction = phoneName(r.codec) + "-to-" + r.client
	}
	name := strings.Join([]string{direction, r.only, r.outcome, r.hangsUp}, " ")
	return strings.Join(strings.Fields(name), "-")
}

const noAnswer = "no answer"

// callMatrix is every row that is tried. Codecs take turns in who hangs up;
// G.711 A-law, which nearly every phone prefers, has all combinations.
func callMatrix() []*callRow {
	var rows []*callRow
	for _, fromPhone := range []bool{false, true} {
		for _, client := range []string{"JMI", "direct"} {
			for i, codec := range []string{CodecPCMA, CodecPCMU, CodecG722, CodecOpus} {
				for j, hangsUp := range []string{"caller", "callee"} {
					if codec == CodecPCMA || (i+j)%2 == 0 {
						rows = append(rows, &callRow{
							fromPhone: fromPhone, client: client, codec: codec, outcome: "answered", hangsUp: hangsUp,
							status: 200, condition: "success",
						})
					}
				}
			}
			if client == "JMI" {
				for _, pair := range [][2]string{{CodecPCMA, "opus"}, {CodecG722, "opus"}, {CodecG722, "PCMU"}} {
					rows = append(rows, &callRow{
						fromPhone: fromPhone, client: client, codec: pair[0], only: pair[1], outcome: "answered", hangsUp: "caller",
						status: 200, condition: "success",
					})
				}
			}
			failures := []struct {
				outcome   string
				status    int
				condition string
			}{{"busy", 486, "busy"}, {"declined", 603, "decline"}, {noAnswer, 487, "timeout"}, {"not found", 404, "gone"}, {"unreachable", 480, "gone"}, {"cancelled", 487, "cancel"}}
			if fromPhone {
				failures[2].status = 480 // by the gateway; the other way round it is the phone that answers CANCEL
			}
			for _, f := range failures {
				rows = append(rows, &callRow{
					fromPhone: fromPhone, client: client, codec: CodecPCMA, outcome: f.outcome,
					status: f.status, condition: f.condition,
				})
			}
		}
	}
	return rows
}

// TestCallMatrix calls in both directions between browsers and phones, in every
// way a call can go.
func TestCallMatrix(t *testing.T) {
	h := newCallHouse(t)
	rows := callMatrix()
	// Those that nobody answers wait side by side.
	waiting := map[*callRow]func(){}
	for _, row := range rows {
		if row.outcome == noAnswer {
			waiting[row] = h.tries(t, row)
		}
	}
	for _, row := range rows {
		h.stage.run(row.name(), func(t *testing.T) {
			from := h.clients[row.client].Stanzas.Len()
			t.Cleanup(func() {
				if t.Failed() {
					for _, s := range h.clients[row.client].Stanzas.All()[from:] {
						t.Log(s)
					}
					h.rest()
				}
			})
			switch {
			case row.outcome != "answered" && row.outcome != noAnswer:
				h.tries(t, row)()
			case row.outcome == noAnswer:
				waiting[row]()
			case row.fromPhone:
				h.phoneCalls(t, row)
			default:
				h.clientCalls(t, row)
			}
			if row.gotStatus != row.status {
				t.Errorf("INVITE is answered by %d instead of %d", row.gotStatus, row.status)
			}
			if row.gotCondition != row.condition {
				t.Errorf("Jingle reason is %q instead of %q", row.gotCondition, row.condition)
			}
		})
	}
	t.Log("\n" + callTable(rows))
}

// callTable prints the matrix as it turned out.
func callTable(rows []*callRow) string {
	var b strings.Builder
	w := tabwriter.NewWriter(&b, 0, 0, 2, ' ', 0)
	fmt.Fprintln(w, "caller\tcallee\toutcome\tends\tSIP\tReason\tJingle\tcodecs\tclient hears\tphone hears")
	for _, r := range rows {
		if r.gotStatus == 0 {
			continue // not run
		}
		phone, sound := phoneName(r.codec), func(s Sound) string {
			if s.Frequency == 0 {
				return ""
			}
			return s.String()
		}
		caller, callee := r.client, phone
		if r.fromPhone {
			caller, callee = callee, caller
		}
		fmt.Fprintf(w, "%s\t%s\t%s\t%s\t%d\t%s\t%s\t%s\t%s\t%s\n", caller, callee, r.outcome, r.hangsUp,
			r.gotStatus, r.gotReason, r.gotCondition, r.codecs, sound(r.hears), sound(r.phone))
	}
	w.Flush()
	return b.String()
}

// rest ends what a failed row left.
func (h *callHouse) rest() {
	for _, c := range h.clients {
		c.Clear()
	}
	for _, p := range h.phones {
		p.Command("hangup", "")
	}
}

// clientCalls: a client calls a phone, which answers.
func (h *callHouse) clientCalls(t *testing.T, row *callRow) {
	client, phone := h.clients[row.client], h.phones[row.codec]
	client.Prefer(row.only)
	to := h.JID(phoneName(row.codec))
	if row.hangsUp == "callee" {
		to += "/sip" // as its presence has it; otherwise to the bare JID
	}
	sid := client.Dial(to)
	invite := phone.ExpectInvite()
	phone.ExpectCall("CALL_INCOMING")
	expectRinging(client, sid)
	phone.Accept()
	if row.client == "JMI" {
		client.Expect("proceed", sid)
	}
	client.Expect("answered", sid)
	h.talk(t, row, sid, invite.Get("Call-ID"))
}

// phoneCalls: a phone calls a client, which answers.
func (h *callHouse) phoneCalls(t *testing.T, row *callRow) {
	client, phone := h.clients[row.client], h.phones[row.codec]
	client.Prefer(row.only)
	callID := phone.Call(h.URI(client.options.Name))
	sid := incoming(client)
	phone.expectProvisional(callID, 180)
	client.Answer(sid)
	h.talk(t, row, sid, callID)
}

// talk has both sides of an answered call listen, and ends it.
func (h *callHouse) talk(t *testing.T, row *callRow, sid, callID string) {
	client, phone := h.clients[row.client], h.phones[row.codec]
	answer := phone.FinalOf(callID)
	row.gotStatus = answer.Status()
	phone.ExpectCall("CALL_ESTABLISHED")
	client.ExpectConnected(sid)

	// The first moments are those of jitter buffers.
	client.Listen(sid, 300*time.Millisecond)
	heard := client.Listening(sid, time.Second)
	row.phone = clearly(t, "phone", clientTones[row.client], func() Recording { return phone.Listen(time.Second) })
	row.hears = clearly(t, "client", phoneTones[row.codec], func() Recording {
		if heard == nil {
			return client.Listen(sid, time.Second)
		}
		r := heard()
		heard = nil
		return r
	})
	stats := client.Stats(sid)
	row.codecs = stats.CodecIn + "-" + CodecOf(answer)
	if want := cmp.Or(row.only, row.codec[:4]) + "-" + row.codec[:4]; row.codecs != want || stats.CodecOut != stats.CodecIn {
		t.Errorf("codecs are %s instead of %s: %+v", row.codecs, want, stats)
	}

	byClient := (row.hangsUp == "caller") != row.fromPhone
	if byClient {
		client.End(sid, "")
	} else {
		phone.Hangup()
	}
	bye := phone.Wire.Take(h.stage, "BYE", func(m SIPMessage) bool {
		return m.Status() == 0 && m.Method() == "BYE" && m.Get("Call-ID") == callID
	})
	if bye.Out == byClient {
		t.Error("BYE comes from the wrong side")
	}
	row.gotReason = bye.Get("Reason")
	phone.ExpectCall("CALL_CLOSED")
	row.gotCondition = client.Expect("terminated", sid).Reason
}

// tries has one side call the other in vain, up to the point where somebody
// rings; what it returns sees it through.
func (h *callHouse) tries(t *testing.T, row *callRow) (finish func()) {
	if row.fromPhone {
		return h.phoneTries(row)
	}
	return h.clientTries(t, row)
}

func (h *callHouse) clientTries(t *testing.T, row *callRow) (finish func()) {
	client := h.clients[row.client]
	scenario, status := CallUASRings, ""
	switch row.outcome {
	case "busy":
		scenario, status = CallUASRefuses, "486 Busy Here"
	case "declined":
		scenario, status = CallUASRefuses, "603 Decline"
	case "not found":
		scenario, status = CallUASRejects, "404 Not Found"
	case "unreachable":
		scenario, status = CallUASRejects, "480 Temporarily Unavailable"
	}
	// Nobody who had a phone before, for that one is still registered.
	h.lines++
	line := fmt.Sprintf("line%d", h.lines)
	h.Gateway.AddIdentity(Identity{AORs: []string{h.URI(line)}, Password: PasswordOf(line)})
	phone := h.With(t).CallPhone(line, scenario, SIPpOptions{Status: status})
	sid := client.Dial(h.JID(line))
	phone.Wire.Take(h.stage, "INVITE", isRequest("INVITE"))
	if scenario != CallUASRejects {
		expectRinging(client, sid)
	}
	return func() {
		if row.outcome == "cancelled" {
			client.End(sid, "")
			row.gotCondition = "cancel" // its own
		}
		if scenario == CallUASRings {
			row.gotReason = phone.Wire.Take(h.stage, "CANCEL", isRequest("CANCEL")).Get("Reason")
		}
		row.gotStatus = phone.Wire.Take(h.stage, "final answer", func(m SIPMessage) bool {
			return m.Out && m.Status() >= 200 && m.Method() == "INVITE"
		}).Status()
		if row.gotCondition == "" {
			row.gotCondition = client.refusal(sid)
		}
	}
}

func (h *callHouse) phoneTries(row *callRow) (finish func()) {
	client, phone := h.clients[row.client], h.phones[row.codec]
	if row.outcome == noAnswer {
		phone = h.patient
	}
	if user := map[string]string{"not found": "nobody", "unreachable": "ghost"}[row.outcome]; user != "" {
		return func() {
			row.gotCondition = row.condition // nobody's client hears of it
			row.gotStatus = phone.FinalOf(phone.Call(h.URI(user))).Status()
		}
	}
	callID := phone.Call(h.URI(client.options.Name))
	sid := incoming(client)
	phone.expectProvisional(callID, 180)
	return func() {
		switch row.outcome {
		case "busy":
			row.gotCondition = "busy" // its own
			client.End(sid, "busy")
		case "declined":
			row.gotCondition = "decline"
			client.End(sid, "decline")
		case "cancelled":
			phone.Hangup()
		}
		row.gotStatus = phone.FinalOf(callID).Status()
		if row.gotCondition == "" {
			row.gotCondition = client.refusal(sid)
		}
	}
}

// incoming waits for a call at a client and returns its id.
func incoming(w *WebClient) string {
	w.t.Helper()
	if w.options.JMI {
		return w.Expect("propose", "").SID
	}
	return w.Expect("incoming", "").SID
}

func expectRinging(w *WebClient, sid string) {
	w.t.Helper()
	if w.options.JMI {
		w.Expect("ringing", sid)
	} else {
		w.Expect("ringing-info", sid)
	}
}

// refusal waits for the end of a call that never was one, and returns why.
func (w *WebClient) refusal(sid string) string {
	w.t.Helper()
	e := w.Events.Take(w.t, "the end of "+sid+" at "+w.options.Name, func(e WebEvent) bool {
		return e.SID == sid && (e.Kind == "terminated" || e.Kind == "reject" || e.Kind == "retract")
	})
	return cmp.Or(e.Reason, e.Kind)
}

// isRequest matches requests that came in.
func isRequest(method string) func(SIPMessage) bool {
	return func(m SIPMessage) bool { return !m.Out && m.Status() == 0 && m.Method() == method }
}

// expectProvisional waits for a provisional answer to the phone's INVITE.
func (b *Baresip) expectProvisional(callID string, status int) {
	b.t.Helper()
	b.Wire.Take(b.t, fmt.Sprintf("%d for %s", status, callID), func(m SIPMessage) bool {
		return !m.Out && m.Status() == status && m.Get("Call-ID") == callID
	})
}
