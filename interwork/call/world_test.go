package call

import (
	"fmt"
	"net/netip"
	"strings"
	"testing"
	"time"

	"github.com/rs/zerolog"
	"github.com/stretchr/testify/require"

	"github.com/stoxgate/stoxgate/interwork/relay"
	"github.com/stoxgate/stoxgate/jingle"
	"github.com/stoxgate/stoxgate/mapping"
	"github.com/stoxgate/stoxgate/sip"
	"github.com/stoxgate/stoxgate/sip/sdp"
	"github.com/stoxgate/stoxgate/xmpp"
)

var (
	mira      = xmpp.MustJID("mira@chat.example/phone")
	miraDesk  = xmpp.MustJID("mira@chat.example/desk")
	miraGajim = xmpp.MustJID("mira@chat.example/gajim")
	otto      = xmpp.MustJID("otto@sip.example/sip-1")
)

// world is everything around one call, written down line by line.
type world struct {
	t       *testing.T
	c       *Call
	now     time.Time
	lines   []string
	pending []func(*xmpp.StanzaError) // IQs of ours without answer
	sent    []*jingle.Jingle
	devices []xmpp.JID
	online  bool // one of her devices takes proposals
	media   []*fakeMedia
	offer   []byte // of Dial
	timers  [Timers]time.Duration
	record  *Record
	ids     int
	gone    bool
	openErr error
	iqs     int
}

func newWorld(t *testing.T, dir Direction) *world {
	w := &world{t: t, now: time.Unix(1_800_000_000, 0)}
	set := Settings{}.WithDefaults()
	user := mira
	if dir == SIPToXMPP {
		user = mira.Bare()
	}
	w.c = New(w, &set, dir, otto, user)
	return w
}

func (w *world) say(format string, args ...any) {
	w.lines = append(w.lines, fmt.Sprintf(format, args...))
}

// do hands inputs to the call and checks what comes of them.
func (w *world) do(in Input, want ...string) {
	w.t.Helper()
	w.lines = nil
	w.c.Handle(in)
	w.expect(want...)
}

func (w *world) expect(want ...string) {
	w.t.Helper()
	require.Equal(w.t, strings.Join(want, "\n"), strings.Join(w.lines, "\n"))
	w.lines = nil
}

// quiet hands in an input whose effects are not looked at.
func (w *world) quiet(in Input) {
	w.c.Handle(in)
	w.lines = nil
}

// answer answers the oldest IQ of ours.
func (w *world) answer(e *xmpp.StanzaError, want ...string) {
	w.t.Helper()
	require.NotEmpty(w.t, w.pending)
	f := w.pending[0]
	w.pending = w.pending[1:]
	w.do(Done(func() { f(e) }), want...)
}

func reasonText(r *jingle.Reason) string {
	if r == nil {
		return ""
	}
	s := " " + string(r.Condition)
	if r.Text != "" {
		s += " (" + r.Text + ")"
	}
	return s
}

func (w *world) Request(to xmpp.JID, j *jingle.Jingle, answered func(*xmpp.StanzaError)) {
	what := ""
	for _, e := range j.Info {
		what += " " + e.Name.Local
	}
	w.say("jingle %s to %s%s%s", j.Action, to.Resource(), reasonText(j.Reason), what)
	w.sent = append(w.sent, j)
	w.pending = append(w.pending, answered)
}

func (w *world) Answer(_ *xmpp.IQ, err *xmpp.StanzaError) {
	if err == nil {
		w.say("result")
		return
	}
	app := ""
	if err.App != nil {
		app = " " + err.App.Name.Local
	}
	w.say("error %s%s", err.Condition, app)
}

func (w *world) Send(m *xmpp.Message) {
	j, ok, err := jingle.FromMessage(m)
	if !ok {
		w.say("receipt to %s", m.To.Resource())
		return
	}
	require.NoError(w.t, err)
	to := m.To.Resource()
	if to == "" {
		to = "all"
	}
	w.say("message %s to %s%s", j.Kind, to, reasonText(j.Reason))
}

func (w *world) Devices(xmpp.JID) []xmpp.JID { return w.devices }

func (w *world) TakesProposals(xmpp.JID) bool { return w.online }

func (w *world) Dial(offer []byte) {
	w.offer = offer
	w.say("dial %s", codecsIn(w.t, offer))
}

func (w *world) Transfer(target sip.URI, _ []byte, headers []sip.Header) {
	s := ""
	for _, h := range headers {
		s += " " + h.Name()
	}
	w.say("transfer %s%s", target, s)
}

func (w *world) Address(j xmpp.JID) (sip.URI, error) {
	return sip.URI{Scheme: "sip", User: j.Local(), Host: "sip.example"}, nil
}

func (w *world) Open(int) (Media, error) {
	if w.openErr != nil {
		return nil, w.openErr
	}
	m := &fakeMedia{w: w, port: uint16(20000 + 2*len(w.media))}
	w.media = append(w.media, m)
	return m, nil
}

func (w *world) SetTimer(t Timer, after time.Duration) { w.timers[t] = after }
func (w *world) NewID() string                         { w.ids++; return fmt.Sprintf("id-%d", w.ids) }
func (w *world) Now() time.Time                        { return w.now }
func (w *world) Bridged()                              { w.say("bridged") }
func (w *world) Note(string)                           {}
func (w *world) Log() *zerolog.Logger                  { l := zerolog.Nop(); return &l }

func (w *world) Recorded(r Record) {
	w.record = &r
	w.say("recorded %s by %s", r.Reason, r.EndedBy)
}

func (w *world) Forget() {
	w.gone = true
	w.say("forget")
}

// fakeMedia is a session of the relay that writes down what it is told.
type fakeMedia struct {
	w      *world
	port   uint16
	closed bool
	remote [2]relay.Remote
	format [2]relay.Format
	setup  [2]relay.Setup
	ready  [2]bool
	stats  [2]relay.LegStats
	noDTMF bool
	digits string
	fresh  int
}

func (m *fakeMedia) Prepare(side relay.Side, _ int, p relay.Setup) (relay.Local, error) {
	if m.ready[side] {
		p = m.setup[side]
	}
	m.ready[side] = true
	m.setup[side] = p
	l := relay.Local{
		RTP: netip.AddrPortFrom(netip.MustParseAddr("192.0.2.1"), m.port), RTCP: netip.AddrPortFrom(netip.MustParseAddr("192.0.2.1"), m.port+1),
		SSRC: 7, CNAME: "cname",
	}
	if p.ICE {
		l.Ufrag, l.Pwd = "uf", "password"
		l.Candidates = []relay.Candidate{{Foundation: "1", Component: 1, Priority: 1, Address: "192.0.2.1", Port: m.port, Type: "host"}}
	}
	if p.Protection == relay.DTLS {
		l.Fingerprint = relay.Fingerprint{Hash: "sha-256", Value: "AA:BB"}
	}
	return l, nil
}

func (m *fakeMedia) Connect(side relay.Side, _ int, r relay.Remote) error {
	m.remote[side] = r
	return nil
}

func (m *fakeMedia) AddCandidates(_ relay.Side, _ int, c []relay.Candidate) error {
	m.w.say("candidates %d", len(c))
	return nil
}

func (m *fakeMedia) Restart(relay.Side, int) (relay.Local, error) {
	m.fresh++
	return relay.Local{Ufrag: "uf2", Pwd: "password2", Candidates: []relay.Candidate{{Component: 1, Address: "192.0.2.1", Port: m.port, Type: "host"}}}, nil
}

func (m *fakeMedia) Format(side relay.Side, _ int, f relay.Format) error {
	if !m.ready[side] {
		return relay.ErrNotPrepared
	}
	m.format[side] = f
	return nil
}

func (m *fakeMedia) SendDTMF(side relay.Side, d byte, _ time.Duration) error {
	if m.noDTMF {
		return relay.ErrEvent
	}
	m.digits += string(d)
	m.w.say("digit %c to %s", d, side)
	return nil
}

func (m *fakeMedia) Stats() [2]relay.LegStats { return m.stats }
func (m *fakeMedia) Close()                   { m.closed = true }

// fakeLeg is one dialog.
type fakeLeg struct {
	w    *world
	name string
	body []byte // last that we sent
}

func (l *fakeLeg) Ring(s sip.Status) { l.w.say("%s ring %d", l.name, s.Code) }

func (l *fakeLeg) Accept(b []byte) {
	l.body = b
	l.w.say("%s accept %s", l.name, codecsIn(l.w.t, b))
}

func (l *fakeLeg) Reject(s sip.Status) { l.w.say("%s reject %d", l.name, s.Code) }

func (l *fakeLeg) End(reasons ...sip.Reason) {
	s := ""
	for _, r := range reasons {
		s += fmt.Sprintf(" %s;%d", r.Protocol, r.Cause)
	}
	l.w.say("%s end%s", l.name, s)
}

func (l *fakeLeg) Offer(b []byte) {
	l.body = b
	l.w.say("%s offer %s", l.name, codecsIn(l.w.t, b))
}

func (l *fakeLeg) Answer(b []byte) {
	l.body = b
	l.w.say("%s answer %s", l.name, codecsIn(l.w.t, b))
}

func (l *fakeLeg) Refuse(s sip.Status) { l.w.say("%s refuse %d", l.name, s.Code) }
func (l *fakeLeg) Info(_ string, b []byte) {
	l.w.say("%s info %s", l.name, strings.Fields(string(b))[0])
}
func (l *fakeLeg) Refer(u sip.URI)          { l.w.say("%s refer %s", l.name, u) }
func (l *fakeLeg) AnswerRefer(s sip.Status) { l.w.say("%s refer-answer %d", l.name, s.Code) }
func (l *fakeLeg) Progress(s sip.Status)    { l.w.say("%s progress %d", l.name, s.Code) }
func (l *fakeLeg) CallID() string           { return l.name }

func (w *world) leg(name string) *fakeLeg { return &fakeLeg{w: w, name: name} }

// codecsIn sums up the sound of a description.
func codecsIn(t *testing.T, b []byte) string {
	t.Helper()
	d, err := sdp.Parse(b)
	require.NoError(t, err)
	var parts []string
	for i := range d.Media {
		m := d.Effective(i)
		if m.Rejected() {
			parts = append(parts, m.Kind+" refused")
			continue
		}
		var names []string
		for _, c := range m.Codecs {
			if !mapping.IsEvents(c) {
				names = append(names, c.Name)
			}
		}
		parts = append(parts, fmt.Sprintf("%s %s %s", strings.Join(names, ","), m.Protocol, m.Direction))
	}
	return strings.Join(parts, "; ")
}

const pcma = "v=0\r\no=- 1 1 IN IP4 198.51.100.7\r\ns=-\r\nc=IN IP4 198.51.100.7\r\nt=0 0\r\nm=audio 4000 RTP/AVP 8 101\r\n" +
	"a=rtpmap:8 PCMA/8000\r\na=rtpmap:101 telephone-event/8000\r\na=sendrecv\r\n"

func withDirection(s string, d sdp.Direction) []byte {
	return []byte(strings.Replace(s, "a=sendrecv", "a="+string(d), 1))
}

func message(kind jingle.Kind, sid string, r *jingle.Reason) *jingle.Message {
	return &jingle.Message{Kind: kind, ID: sid, Media: []string{"audio"}, Reason: r}
}

// from is a Jingle stanza of hers.
func (w *world) from(jid xmpp.JID, j *jingle.Jingle) StanzaReceived {
	w.iqs++
	return StanzaReceived{
		IQ:     &xmpp.IQ{From: jid, To: otto, ID: fmt.Sprint("q", w.iqs), Type: xmpp.IQSet, Payload: j.Element()},
		Jingle: j,
	}
}

func sound(creator jingle.Role, setup string) jingle.Content {
	return jingle.Content{
		Creator: creator, Name: contentName, Senders: jingle.SendersBoth,
		Description: &jingle.Description{Media: "audio", RTCPMux: true, PayloadTypes: []jingle.PayloadType{
			{ID: 111, Name: "opus", ClockRate: 48000, Channels: 2}, {ID: 8, Name: "PCMA", ClockRate: 8000}, {ID: 126, Name: "telephone-event", ClockRate: 8000},
		}},
		Transport: &jingle.Transport{
			Ufrag: "hers", Pwd: "herpassword", Fingerprints: []jingle.Fingerprint{{Hash: "sha-256", Value: "CC:DD", Setup: setup}},
			Candidates: []jingle.Candidate{{Component: 1, ID: "a", IP: "203.0.113.5", Port: 5000, Protocol: "udp", Type: "host", Priority: 1, Foundation: "1"}},
		},
	}
}

func initiate(sid string) *jingle.Jingle {
	return &jingle.Jingle{
		Action: jingle.ActionSessionInitiate, SID: sid, Initiator: mira, Contents: []jingle.Content{sound(jingle.RoleInitiator, "actpass")},
		Groups: []jingle.Group{{Semantics: "BUNDLE", Contents: []string{contentName}}},
	}
}

func accept(sid string) *jingle.Jingle {
	return &jingle.Jingle{Action: jingle.ActionSessionAccept, SID: sid, Contents: []jingle.Content{sound(jingle.RoleInitiator, "active")}}
}

func terminate(sid string, c jingle.Condition) *jingle.Jingle {
	return &jingle.Jingle{Action: jingle.ActionSessionTerminate, SID: sid, Reason: &jingle.Reason{Condition: c}}
}

func info(sid string, i jingle.Info) *jingle.Jingle {
	return &jingle.Jingle{Action: jingle.ActionSessionInfo, SID: sid, Info: []*xmpp.Element{i.Element()}}
}

// talkX2S is a call of hers that both talk in, begun with a proposal.
func talkX2S(t *testing.T) (*world, *fakeLeg) {
	w := newWorld(t, XMPPToSIP)
	l := w.leg("leg")
	w.quiet(MessageReceived{From: mira, Message: message(jingle.KindPropose, "s1", nil)})
	w.quiet(Dialling{Leg: l})
	w.quiet(Dialled{})
	w.quiet(LegRang{Leg: l, Code: 180})
	w.quiet(LegAnswered{Leg: l, Body: []byte(pcma)})
	w.quiet(w.from(mira, initiate("s1")))
	w.answer(nil, "bridged")
	require.Equal(t, Active, w.c.State())
	return w, l
}

// talkS2X is a call of his that both talk in.
func talkS2X(t *testing.T) (*world, *fakeLeg) {
	w := newWorld(t, SIPToXMPP)
	l := w.leg("leg")
	w.quiet(InviteReceived{Leg: l, Offer: []byte(pcma)})
	w.quiet(MessageReceived{From: mira, Message: message(jingle.KindRinging, "id-1", nil)})
	w.quiet(MessageReceived{From: mira, Message: message(jingle.KindProceed, "id-1", nil)})
	w.answer(nil)
	w.quiet(w.from(mira, accept("id-1")))
	w.quiet(LegConfirmed{Leg: l})
	require.Equal(t, Active, w.c.State())
	return w, l
}
