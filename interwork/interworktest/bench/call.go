package main

import (
	"context"
	"errors"
	"fmt"
	"net"
	"strconv"
	"strings"

	"github.com/stoxgate/stoxgate/jingle"
	"github.com/stoxgate/stoxgate/jingle/jingletest"
	"github.com/stoxgate/stoxgate/sip/sdp"
	"github.com/stoxgate/stoxgate/sip/siptest"
	"github.com/stoxgate/stoxgate/xmpp"
)

// callKind is how a call is made.
type callKind struct {
	fromSIP bool // the telephone calls and hangs up; otherwise the Jabber user does both
	direct  bool // by session-initiate, without a proposal; of calls of the Jabber user
	media   bool // ICE and DTLS are done
	sdes    bool // SRTP towards the telephone, with keys in SDP
	opus    bool // Jabber users have nothing else, telephones nothing but PCMU
}

func (k callKind) String() string {
	s := "XMPP→SIP, proposed"
	switch {
	case k.fromSIP:
		s = "SIP→XMPP, proposed"
	case k.direct:
		s = "XMPP→SIP, direct"
	}
	if k.media {
		s += ", ICE and DTLS"
	}
	return s
}

// exchange is the two sides and what calls need of them.
type exchange struct {
	*parties
	sockets *sockets
	cert    certificate
	nowhere *socket // where telephones without media want theirs
}

// placedCall is one call that stands.
type placedCall struct {
	x    *exchange
	kind callKind
	n    int
	in   *inboxes

	mira, otto xmpp.JID // otto: who answers for him
	sid        string
	ids        int
	dialog     siptest.Message // headers of the telephone's requests
	contact    string          // of the gateway
	cseq       int

	client *client
	phone  *phone
}

// place makes a call and returns when both sides have it, and media where the kind says.
func (x *exchange) place(ctx context.Context, n int, kind callKind) (*placedCall, error) {
	ctx, cancel := context.WithTimeout(ctx, callPatience)
	defer cancel()
	c := &placedCall{x: x, kind: kind, n: n, in: x.join(n), sid: "s" + x.token()}
	c.mira = xmpp.MustJID("mira" + strconv.Itoa(n) + "@chat.bench.example/desk")
	c.otto = xmpp.MustJID("otto" + strconv.Itoa(n) + `\40voice.bench.example@sip.bench.example`)
	err := c.open()
	if err == nil {
		if kind.fromSIP {
			err = c.callFromSIP(ctx)
		} else {
			err = c.callFromXMPP(ctx)
		}
	}
	if err != nil {
		c.release()
		return nil, fmt.Errorf("call %d: %w", n, err)
	}
	return c, nil
}

// open makes the ends of media.
func (c *placedCall) open() (err error) {
	if !c.kind.media {
		return nil
	}
	if c.phone, err = newPhone(c.x.sockets, c.kind.sdes); err != nil {
		return err
	}
	c.client, err = newClient(c.x.sockets)
	return err
}

func (c *placedCall) release() {
	c.x.leave(c.n)
	if c.client != nil {
		c.client.close()
	}
	if c.phone != nil {
		c.phone.close()
	}
}

// iq sends an action and returns the id of the stanza.
func (c *placedCall) iq(j *jingle.Jingle) string {
	c.ids++
	id := c.sid + "-" + strconv.Itoa(c.ids)
	j.SID = c.sid
	c.x.inject(&xmpp.IQ{From: c.mira, To: c.otto, ID: id, Type: xmpp.IQSet, Payload: j.Element()})
	return id
}

func (c *placedCall) jmi(k jingle.Kind, to xmpp.JID) {
	c.x.inject((&jingle.Message{Kind: k, ID: c.sid, Media: []string{"audio"}}).Wrap(c.mira, to))
}

// description is what the client says of itself.
func (c *placedCall) description(setup string) jingle.Content {
	d := &jingle.Description{Media: "audio", RTCPMux: true, PayloadTypes: []jingle.PayloadType{{ID: 0, Name: "PCMU", ClockRate: 8000}}}
	if c.kind.opus {
		d.PayloadTypes = []jingle.PayloadType{{ID: opusType, Name: "opus", ClockRate: 48000, Channels: 2}}
	}
	t := jingletest.Transport(setup, c.x.nowhere.local.Port())
	t.Candidates[0].IP = c.x.nowhere.local.Addr().String()
	if c.client != nil {
		t = c.client.transport(c.x.cert, setup)
	}
	return jingle.Content{Creator: jingle.RoleInitiator, Name: "0", Senders: jingle.SendersBoth, Description: d, Transport: t}
}

func (c *placedCall) callFromXMPP(ctx context.Context) error {
	initiate := func() string {
		return c.iq(&jingle.Jingle{Action: jingle.ActionSessionInitiate, Initiator: c.mira, Contents: []jingle.Content{c.description("actpass")}})
	}
	if c.kind.direct {
		full, err := c.otto.WithResource("any")
		if err != nil {
			return err
		}
		c.otto = full
		if _, err := c.in.awaitStanza(ctx, "result", resultOf(initiate())); err != nil {
			return err
		}
	} else {
		c.jmi(jingle.KindPropose, c.otto)
	}
	invite, err := c.in.awaitMessage(ctx, "INVITE", nil, method("INVITE"))
	if err != nil {
		return err
	}
	if err := c.answer(ctx, invite); err != nil {
		return err
	}
	if !c.kind.direct {
		s, err := c.in.awaitStanza(ctx, "proceed", kind(jingle.KindProceed))
		if err != nil {
			return err
		}
		c.otto = s.from
		id := initiate()
		if _, err := c.in.awaitStanza(ctx, "result", resultOf(id)); err != nil {
			return err
		}
	}
	s, err := c.in.awaitStanza(ctx, "session-accept", action(jingle.ActionSessionAccept))
	if err != nil {
		return err
	}
	return c.connect(ctx, s.action, true)
}

// answer rings, and answers the gateway's INVITE until the ACK comes.
func (c *placedCall) answer(ctx context.Context, invite *siptest.Message) error {
	from, err := net.ResolveUDPAddr("udp4", invite.Source)
	if err != nil {
		return err
	}
	if err := c.heard(invite.Body); err != nil {
		return err
	}
	tag := ";tag=phone" + c.x.token()
	respond := func(status int, body []byte) {
		c.x.reply(c.in, invite, status, from, func(res *siptest.Message) {
			res.Set("To", invite.Get("To")+tag).Add("Contact", c.phoneContact())
			if body != nil {
				res.Add("Content-Type", "application/sdp")
				res.Body = body
			}
		})
	}
	respond(180, nil)
	ok := func() { respond(200, c.sdp()) }
	ok()
	// From and To of the telephone's own requests are those of the INVITE turned round.
	c.dialog.Add("From", invite.Get("To")+tag).Add("To", invite.Get("From")).Add("Call-ID", invite.Get("Call-ID"))
	c.contact = invite.URI("Contact")
	_, err = c.in.awaitMessage(ctx, "ACK", ok, method("ACK"))
	return err
}

func (c *placedCall) callFromSIP(ctx context.Context) error {
	n := strconv.Itoa(c.n)
	to := "sip:mira" + n + "@chat.bench.example"
	c.dialog.Add("From", "<sip:otto"+n+"@voice.bench.example>;tag=phone"+c.x.token()).Add("To", "<"+to+">").Add("Call-ID", c.sid+"@phone.bench.example")
	c.contact = to
	invite := c.request("INVITE", "")
	invite.Add("Contact", c.phoneContact()).Add("Allow", "INVITE, ACK, CANCEL, BYE, OPTIONS, UPDATE").Add("Content-Type", "application/sdp")
	invite.Body = c.sdp()
	send := func() { c.x.request(invite) }
	send()
	s, err := c.in.awaitStanza(ctx, "propose", kind(jingle.KindPropose))
	if err != nil {
		return err
	}
	c.otto, c.sid = s.from, s.message.ID
	c.jmi(jingle.KindRinging, c.otto)
	c.jmi(jingle.KindProceed, c.otto)
	s, err = c.in.awaitStanza(ctx, "session-initiate", action(jingle.ActionSessionInitiate))
	if err != nil {
		return err
	}
	if len(s.action.Contents) == 0 {
		return errors.New("session-initiate without contents")
	}
	content := c.description("active")
	content.Name = s.action.Contents[0].Name
	if _, err := c.in.awaitStanza(ctx, "result", resultOf(c.iq(&jingle.Jingle{
		Action: jingle.ActionSessionAccept, Responder: c.mira, Contents: []jingle.Content{content},
	}))); err != nil {
		return err
	}
	ok, err := c.in.awaitMessage(ctx, "200", send, success("INVITE"))
	if err != nil {
		return err
	}
	c.contact = ok.URI("Contact")
	c.dialog.Set("To", ok.Get("To"))
	c.x.request(c.request("ACK", invite.Get("CSeq")))
	if err := c.heard(ok.Body); err != nil {
		return err
	}
	return c.connect(ctx, s.action, false)
}

// request builds a request of the telephone; cseq is given for an ACK.
func (c *placedCall) request(method, cseq string) *siptest.Message {
	if cseq == "" {
		c.cseq++
		cseq = strconv.Itoa(c.cseq)
	}
	cseq, _, _ = strings.Cut(cseq, " ")
	m := &siptest.Message{Method: method, RequestURI: c.contact}
	m.Add("Via", fmt.Sprintf("SIP/2.0/UDP %s;branch=z9hG4bK%s;rport", c.x.sip.LocalAddr(), c.x.token()))
	m.Add("Max-Forwards", "70").Add("CSeq", cseq+" "+method)
	m.Headers = append(m.Headers, c.dialog.Headers...)
	return m
}

func (c *placedCall) phoneContact() string {
	return "<sip:otto" + strconv.Itoa(c.n) + "@" + c.x.sip.LocalAddr().String() + ">"
}

// sdp is what the telephone says of its media.
func (c *placedCall) sdp() []byte {
	profile, port, key := "RTP/AVP", c.x.nowhere.local.Port(), ""
	if c.phone != nil {
		port = c.phone.k.local.Port()
		if c.phone.key != nil {
			profile, key = "RTP/SAVP", "a=crypto:1 "+sdesSuite+" "+c.phone.keyParams()+"\r\n"
		}
	}
	return fmt.Appendf(nil, "v=0\r\no=- %d 1 IN IP4 127.0.0.1\r\ns=-\r\nc=IN IP4 127.0.0.1\r\nt=0 0\r\nm=audio %d %s 0\r\n"+
		"a=rtpmap:0 PCMU/8000\r\na=ptime:20\r\n%sa=sendrecv\r\n", c.n+1, port, profile, key)
}

// heard takes the gateway's SDP.
func (c *placedCall) heard(body []byte) error {
	if c.phone == nil {
		return nil
	}
	d, err := sdp.Parse(body)
	if err != nil {
		return err
	}
	if len(d.Media) == 0 {
		return errors.New("no medium in the gateway's SDP")
	}
	m := d.Effective(0)
	return c.phone.aim(&m)
}

// connect brings up ICE and DTLS with the gateway's description.
func (c *placedCall) connect(ctx context.Context, j *jingle.Jingle, initiator bool) error {
	if c.client == nil {
		return nil
	}
	if len(j.Contents) == 0 || j.Contents[0].Transport == nil || len(j.Contents[0].Transport.Fingerprints) == 0 {
		return fmt.Errorf("%s without transport or fingerprint", j.Action)
	}
	t := j.Contents[0].Transport
	active := !initiator || t.Fingerprints[0].Setup == "passive"
	return c.client.connect(ctx, t, initiator, active, c.x.cert)
}

// hangUp ends the call and returns when both sides know.
func (c *placedCall) hangUp(ctx context.Context) error {
	defer c.release()
	c.in.ending = true
	ctx, cancel := context.WithTimeout(ctx, callPatience)
	defer cancel()
	if c.kind.fromSIP {
		bye := c.request("BYE", "")
		send := func() { c.x.request(bye) }
		send()
		if _, err := c.in.awaitMessage(ctx, "200 of BYE", send, success("BYE")); err != nil {
			return fmt.Errorf("call %d: %w", c.n, err)
		}
		if _, err := c.in.awaitStanza(ctx, "session-terminate", action(jingle.ActionSessionTerminate)); err != nil {
			return fmt.Errorf("call %d: %w", c.n, err)
		}
		return nil
	}
	id := c.iq(&jingle.Jingle{Action: jingle.ActionSessionTerminate, Reason: &jingle.Reason{Condition: jingle.ReasonSuccess}})
	if _, err := c.in.awaitStanza(ctx, "result", resultOf(id)); err != nil {
		return fmt.Errorf("call %d: %w", c.n, err)
	}
	if _, err := c.in.awaitMessage(ctx, "BYE", nil, method("BYE")); err != nil {
		return fmt.Errorf("call %d: %w", c.n, err)
	}
	return nil
}
