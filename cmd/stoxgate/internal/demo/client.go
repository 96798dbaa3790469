package demo

import (
	"context"
	"crypto/rand"
	"fmt"
	"sync"

	"github.com/stoxgate/stoxgate/interwork/relay"
	"github.com/stoxgate/stoxgate/jingle"
	"github.com/stoxgate/stoxgate/xmpp"
	"github.com/stoxgate/stoxgate/xmpp/xmpptest"
)

// client is what mira's Jabber client does in a call: Jingle messages (XEP-0353), Jingle
// with ICE and DTLS-SRTP (XEP-0176, XEP-0320). Its media engine is a relay of its own, with
// the voice at the other side.
type client struct {
	user    *xmpptest.User
	session *relay.Session
	voice   *voice
	local   relay.Local
	up      chan struct{} // closed when ICE and DTLS are through
	peer    xmpp.JID
	sid     string
	n       int
}

// newClient prepares the media of one call. initiator says that she begins the session.
func newClient(user *xmpptest.User, engine *relay.Relay, c relay.Codec, initiator bool) (_ *client, err error) {
	m := &client{user: user, up: make(chan struct{}), sid: newSID()}
	if m.voice, err = newVoice(c); err != nil {
		return nil, err
	}
	var once sync.Once
	m.session = engine.Open("mira", func(e relay.Event) {
		if e.Kind == relay.Connected && e.Side == relay.Jingle {
			once.Do(func() { close(m.up) })
		}
	})
	defer func() {
		if err != nil {
			m.close()
		}
	}()
	if m.local, err = m.session.Prepare(relay.Jingle, 0, relay.Setup{ICE: true, Controlling: initiator, Mux: true, Protection: relay.DTLS}); err != nil {
		return nil, err
	}
	plain, err := m.session.Prepare(relay.SIP, 0, relay.Setup{})
	if err != nil {
		return nil, err
	}
	m.voice.to = plain.RTP
	for _, side := range []relay.Side{relay.Jingle, relay.SIP} {
		if err := m.session.Format(side, 0, relay.Format{Codecs: []relay.Codec{c}, Send: true, Recv: true}); err != nil {
			return nil, err
		}
	}
	return m, m.session.Connect(relay.SIP, 0, relay.Remote{RTP: m.voice.address()})
}

// newSID makes the id of a session: a UUID (RFC 9562 §5.4), as clients have it.
func newSID() string {
	var b [16]byte
	_, _ = rand.Read(b[:]) // never fails
	b[6], b[8] = b[6]&0x0f|0x40, b[8]&0x3f|0x80
	return fmt.Sprintf("%x-%x-%x-%x-%x", b[0:4], b[4:6], b[6:8], b[8:10], b[10:])
}

func (m *client) close() {
	m.session.Close()
	m.voice.close()
}

// content describes her media; setup is her part in the DTLS handshake.
func (m *client) content(setup string) jingle.Content {
	c := m.voice.codec
	content := jingle.Content{
		Creator: jingle.RoleInitiator, Name: "voice", Senders: jingle.SendersBoth,
		Description: &jingle.Description{
			Media: "audio", RTCPMux: true,
			PayloadTypes: []jingle.PayloadType{{ID: c.PayloadType, Name: c.Name, ClockRate: c.ClockRate, Channels: c.Channels}},
		},
		Transport: &jingle.Transport{
			Ufrag: m.local.Ufrag, Pwd: m.local.Pwd,
			Fingerprints: []jingle.Fingerprint{{Hash: m.local.Fingerprint.Hash, Value: m.local.Fingerprint.Value, Setup: setup}},
		},
	}
	for i, k := range m.local.Candidates {
		content.Transport.Candidates = append(content.Transport.Candidates, jingle.Candidate{
			Component: 1, Foundation: k.Foundation, ID: fmt.Sprint("c", i), IP: k.Address, Port: k.Port,
			Priority: k.Priority, Protocol: "udp", Type: k.Type,
		})
	}
	return content
}

// connect starts her media towards what the other side described.
func (m *client) connect(j *jingle.Jingle, active bool) error {
	if len(j.Contents) != 1 || j.Contents[0].Transport == nil || len(j.Contents[0].Transport.Fingerprints) == 0 {
		return fmt.Errorf("%w: %s without a transport", ErrStep, j.Action)
	}
	t := j.Contents[0].Transport
	r := relay.Remote{Ufrag: t.Ufrag, Pwd: t.Pwd, Mux: true, Active: active}
	for _, f := range t.Fingerprints {
		r.Fingerprints = append(r.Fingerprints, relay.Fingerprint{Hash: f.Hash, Value: f.Value})
	}
	for _, k := range t.Candidates {
		r.Candidates = append(r.Candidates, relay.Candidate{
			Foundation: k.Foundation, Component: k.Component, Priority: k.Priority, Address: k.IP, Port: k.Port, Type: k.Type,
		})
	}
	return m.session.Connect(relay.Jingle, 0, r)
}

// tell sends a Jingle message.
func (m *client) tell(k jingle.Kind, to xmpp.JID, r *jingle.Reason) error {
	v := &jingle.Message{Kind: k, ID: m.sid, Reason: r}
	if k == jingle.KindPropose {
		v.Media = []string{"audio"}
	}
	return m.user.Send(v.Wrap(xmpp.JID{}, to))
}

// told waits for a Jingle message, and learns who the other side is and which call this is.
func (m *client) told(ctx context.Context, k jingle.Kind) (*jingle.Message, error) {
	s, err := m.user.Await(ctx, xmpptest.Extension(xmpp.NSJingleMessage, string(k)))
	if err != nil {
		return nil, err
	}
	w, ok := s.(*xmpp.Message)
	if !ok {
		return nil, fmt.Errorf("%w: <%s/> is in no message", ErrStep, k)
	}
	v, _, err := jingle.FromMessage(w)
	if err != nil {
		return nil, err
	}
	m.peer, m.sid = w.From, v.ID
	return v, nil
}

// do sends a Jingle action and wants a result.
func (m *client) do(ctx context.Context, j *jingle.Jingle) error {
	m.n++
	j.SID = m.sid
	res, err := m.user.IQ(ctx, &xmpp.IQ{To: m.peer, ID: fmt.Sprint("call-", m.sid, "-", m.n), Type: xmpp.IQSet, Payload: j.Element()})
	if err != nil {
		return err
	}
	if res.Error != nil {
		return fmt.Errorf("%w: %s was refused: %w", ErrStep, j.Action, res.Error)
	}
	return nil
}

// done waits for a Jingle action of the other side and answers it with a result.
func (m *client) done(ctx context.Context, a jingle.Action) (*jingle.Jingle, error) {
	s, err := m.user.Await(ctx, xmpptest.Match("jingle "+string(a), func(s xmpp.Stanza) bool {
		iq, ok := s.(*xmpp.IQ)
		return ok && iq.Type == xmpp.IQSet && jingle.Is(iq.Payload) && iq.Payload.Attribute("action") == string(a)
	}))
	if err != nil {
		return nil, err
	}
	iq, _ := s.(*xmpp.IQ)
	if err := m.user.Send(iq.Result(nil)); err != nil {
		return nil, err
	}
	m.peer = iq.From
	return jingle.ParseIQ(iq)
}

// initiate begins the session that was proposed, and waits until it is accepted.
func (m *client) initiate(ctx context.Context) error {
	if err := m.do(ctx, &jingle.Jingle{
		Action: jingle.ActionSessionInitiate, Initiator: m.user.JID(), Contents: []jingle.Content{m.content("actpass")},
	}); err != nil {
		return err
	}
	a, err := m.done(ctx, jingle.ActionSessionAccept)
	if err != nil {
		return err
	}
	if err := m.connect(a, setupOf(a) == "passive"); err != nil {
		return err
	}
	return m.connected(ctx)
}

func setupOf(j *jingle.Jingle) string {
	for _, c := range j.Contents {
		if c.Transport != nil && len(c.Transport.Fingerprints) > 0 {
			return c.Transport.Fingerprints[0].Setup
		}
	}
	return ""
}

// accept takes the session that the other side begins.
func (m *client) accept(ctx context.Context) error {
	offer, err := m.done(ctx, jingle.ActionSessionInitiate)
	if err != nil {
		return err
	}
	content := m.content("active")
	for _, c := range offer.Contents {
		content.Creator, content.Name = c.Creator, c.Name
	}
	if err := m.do(ctx, &jingle.Jingle{
		Action: jingle.ActionSessionAccept, Responder: m.user.JID(), Contents: []jingle.Content{content},
	}); err != nil {
		return err
	}
	return m.connect(offer, true)
}

// connected waits for ICE and DTLS.
func (m *client) connected(ctx context.Context) error {
	select {
	case <-m.up:
		return nil
	case <-ctx.Done():
		return fmt.Errorf("%w: no ICE and DTLS between mira and the gateway", ErrStep)
	}
}
