package main

import (
	"bytes"
	"errors"
	"fmt"
	"os"
	"strings"

	"github.com/stoxgate/stoxgate/jingle"
	"github.com/stoxgate/stoxgate/mapping"
	"github.com/stoxgate/stoxgate/sip"
	"github.com/stoxgate/stoxgate/sip/sdp"
	"github.com/stoxgate/stoxgate/xmpp"
)

// callFlags are what translate has to be told of a call, of which it sees one message only.
type callFlags struct {
	State  string `enum:"calling,ringing,answered" default:"answered" help:"How far the call was before a message that ends it: calling, ringing or answered (${default})."`
	Direct bool   `help:"The client takes calls without Jingle messages (XEP-0353)."`
	SID    string `name:"sid" placeholder:"ID" help:"Session of a SIP message; default: made of its Call-ID, From tag and CSeq, as for an INVITE."`
	Offer  string `placeholder:"FILE" completion:"file" help:"What the input answers: a session-initiate, an INVITE or its SDP."`
}

// Texts for what has no counterpart because the gateway does it by itself.
const (
	nothing     = "nothing to send"
	ownOffer    = "the session description is the gateway's own, for there is none in the message"
	byTheRelay  = "ends at the gateway, whose relay has its own transports on both sides"
	offerUnseen = "what this answers is not known, so nothing is compared with it: give it with --offer"
)

// jingleIQ translates a Jingle stanza towards SIP.
func (c translateCmd) jingleIQ(p *program, iq *xmpp.IQ) error {
	if iq.Type == xmpp.IQError {
		return p.printStatus(mapping.InitiateErrorToStatus(*iq.Error), nil)
	}
	if iq.Type != xmpp.IQSet || !jingle.Is(iq.Payload) {
		return fmt.Errorf("%w: of <iq/>, only a set with <jingle/> and an error that came for one have a counterpart", errUntranslatable)
	}
	j, err := jingle.ParseIQ(iq)
	var refusal *xmpp.StanzaError
	switch {
	case errors.As(err, &refusal):
		fmt.Fprintf(p.stderr, "refused, the sender gets: %s\n", iq.ErrorReply(*refusal).Append(nil))
		return silentError{exitFailed}
	case err != nil:
		return fmt.Errorf("not a Jingle stanza: %w", err)
	}
	switch j.Action {
	case jingle.ActionSessionInitiate:
		return c.initiate(p, iq, j)
	case jingle.ActionSessionAccept:
		return c.sessionAccept(p, iq, j)
	case jingle.ActionSessionTerminate:
		return c.terminate(p, iq, j)
	case jingle.ActionSessionInfo:
		return c.sessionInfo(p, j)
	case jingle.ActionTransportInfo:
		fmt.Fprintln(p.stderr, nothing+": "+string(j.Action)+" "+byTheRelay)
		return nil
	default:
		return fmt.Errorf("%w: %s has no counterpart in this version", errUntranslatable, j.Action)
	}
}

// callHeaders are the names of a request of the call, from the flags or from the stanza.
func (c translateCmd) callHeaders(from, to xmpp.JID, sid string) (mapping.CallHeaders, error) {
	caller, callee, err := c.addresses(from, to)
	if err != nil {
		return mapping.CallHeaders{}, err
	}
	return mapping.InitiateToHeaders(sid, mapping.CallHeaderContext{Sender: from, From: caller, To: callee, Host: c.Component}), nil
}

// callRequest builds a request of the call.
func (c translateCmd) callRequest(method sip.Method, h mapping.CallHeaders, cseq uint64) *sip.Request {
	r := sip.NewRequest(method, h.RequestURI)
	sip.SetMaxForwards(r, maxForwards)
	sip.SetDialogHeaders(r, h.From, h.To, h.CallID, uint32(cseq))
	return r
}

func (c translateCmd) origin() sdp.Origin {
	return sdp.Origin{SessionID: uint64(c.Time.Unix()), Version: c.Seq, Address: c.Component}
}

// initiate makes an INVITE of a session-initiate.
func (c translateCmd) initiate(p *program, iq *xmpp.IQ, j *jingle.Jingle) error {
	h, err := c.callHeaders(iq.From, iq.To, j.SID)
	if err != nil {
		return err
	}
	d, loss, err := mapping.ContentsToSDP(j, mapping.CallContext{Author: jingle.RoleInitiator, Origin: c.origin()})
	p.lost(loss)
	if err != nil {
		return p.noMedia(err)
	}
	r := c.callRequest(sip.INVITE, h, c.Seq)
	sip.SetContact(r, h.Contact)
	if err := sip.SetBody(r, sdpType, d.Append(nil)); err != nil {
		return fmt.Errorf("%w: %w", errUntranslatable, err)
	}
	return p.printSIP(0, r)
}

const (
	sdpType     = "application/sdp"
	maxForwards = 70
)

// noMedia tells a Jingle client that nothing of what it wants can be done.
func (p *program) noMedia(err error) error {
	if !errors.Is(err, mapping.ErrNoMedia) {
		return fmt.Errorf("%w: %w", errUntranslatable, err)
	}
	fmt.Fprintf(p.stderr, "refused, the sender gets: session-terminate %s\n", (&jingle.Reason{Condition: jingle.ReasonUnsupportedApplications}).Element())
	return silentError{exitFailed}
}

// sessionAccept makes a 200 of a session-accept.
func (c translateCmd) sessionAccept(p *program, iq *xmpp.IQ, j *jingle.Jingle) error {
	ctx := mapping.CallContext{Author: jingle.RoleResponder, Origin: c.origin()}
	offer, _, err := c.offer()
	switch {
	case err != nil:
		return err
	case offer == nil:
		fmt.Fprintln(p.stderr, offerUnseen)
	}
	ctx.Offer = offer
	d, loss, err := mapping.ContentsToSDP(j, ctx)
	p.lost(loss)
	if err != nil {
		return p.noMedia(err)
	}
	contact, err := uriOf(c.FromURI, iq.From, "")
	if err != nil {
		return fmt.Errorf("sender: %w", err)
	}
	s := sip.Status{Code: 200, Body: d.Append(nil)}
	s.Headers = append(s.Headers, sip.NewContact(sip.NameAddr{URI: contact}), sip.MustHeader("Content-Type", sdpType))
	return p.printStatus(s, s.Body)
}

// terminate makes CANCEL, BYE or a final response of a session-terminate.
func (c translateCmd) terminate(p *program, iq *xmpp.IQ, j *jingle.Jingle) error {
	reason := jingle.Reason{Condition: jingle.ReasonSuccess}
	if j.Reason != nil {
		reason = *j.Reason
	}
	if called := !j.Initiator.IsZero() && j.Initiator.Bare() != iq.From.Bare(); called && c.State != stateAnswered {
		return p.printStatus(mapping.ReasonToStatus(reason, c.State == stateRinging), nil)
	}
	return c.end(p, iq.From, iq.To, j.SID, reason)
}

// States of a call.
const (
	stateRinging  = "ringing"
	stateAnswered = "answered"
)

// end is CANCEL before somebody has answered, BYE afterwards.
func (c translateCmd) end(p *program, from, to xmpp.JID, sid string, reason jingle.Reason) error {
	h, err := c.callHeaders(from, to, sid)
	if err != nil {
		return err
	}
	method, seq, answered := sip.CANCEL, c.Seq, c.State == stateAnswered
	if answered {
		method, seq = sip.BYE, c.Seq+1
	}
	r := c.callRequest(method, h, seq)
	for _, v := range mapping.ReasonToReasons(reason, answered) {
		if err := sip.Add(r, "Reason", v.String()); err != nil {
			return fmt.Errorf("%w: %w", errUntranslatable, err)
		}
	}
	return p.printSIP(0, r)
}

// sessionInfo makes what is known of a session-info; the rest the gateway does by itself.
func (c translateCmd) sessionInfo(p *program, j *jingle.Jingle) error {
	if len(j.Info) > 0 {
		info, err := jingle.ParseInfo(j.Info[0])
		if _, rings := info.(jingle.Ringing); err == nil && rings {
			return p.printStatus(sip.Status{Code: 180}, nil)
		}
		return fmt.Errorf("%w: of session-info, only ringing has a counterpart that is one message", errUntranslatable)
	}
	fmt.Fprintln(p.stderr, nothing+": an empty session-info asks whether the session is still there")
	return nil
}

// jingleMessage translates a message of XEP-0353 towards SIP; false: it is none.
func (c translateCmd) jingleMessage(p *program, m *xmpp.Message) (bool, error) {
	if kind, _, ok := jingle.Bounced(m); ok && m.Error != nil {
		if kind != jingle.KindPropose {
			fmt.Fprintln(p.stderr, nothing)
			return true, nil
		}
		return true, p.printStatus(mapping.ProposeErrorToStatus(*m.Error), nil)
	}
	v, ok, err := jingle.FromMessage(m)
	switch {
	case !ok:
		return false, nil
	case err != nil:
		return true, fmt.Errorf("not a Jingle message: %w", err)
	}
	switch v.Kind {
	case jingle.KindPropose:
		h, err := c.callHeaders(m.From, m.To, v.ID)
		if err != nil {
			return true, err
		}
		fmt.Fprintln(p.stderr, ownOffer)
		r := c.callRequest(sip.INVITE, h, c.Seq)
		sip.SetContact(r, h.Contact)
		return true, p.printSIP(0, r)
	case jingle.KindRinging:
		return true, p.printStatus(sip.Status{Code: 180}, nil)
	case jingle.KindReject:
		return true, p.printStatus(mapping.RejectToStatus(v.Reason), nil)
	case jingle.KindRetract:
		reason := jingle.Reason{Condition: jingle.ReasonCancel}
		if v.Reason != nil {
			reason = *v.Reason
		}
		c.State = stateRinging // what was answered is not retracted
		return true, c.end(p, m.From, m.To, v.ID, reason)
	default:
		fmt.Fprintf(p.stderr, "%s: <%s/> is between the client and the gateway\n", nothing, v.Kind)
		return true, nil
	}
}

// offer reads the file with what the input answers, both ways of saying it; nil without one.
func (c translateCmd) offer() (*sdp.Description, *jingle.Jingle, error) {
	if c.Offer == "" {
		return nil, nil, nil
	}
	text, err := os.ReadFile(c.Offer)
	if err != nil {
		return nil, nil, fmt.Errorf("--offer: %w", err)
	}
	text = bytes.TrimLeft(text, " \t\r\n\ufeff")
	if bytes.HasPrefix(text, []byte("<")) {
		j, err := jingleIn(text)
		if err != nil {
			return nil, nil, fmt.Errorf("--offer: %w", err)
		}
		d, _, err := mapping.ContentsToSDP(j, mapping.CallContext{Author: jingle.RoleInitiator, Origin: c.origin()})
		return d, j, err
	}
	if !bytes.HasPrefix(text, []byte("v=")) {
		msg, err := sip.ParseMessage(wireForm(text))
		if err != nil {
			return nil, nil, fmt.Errorf("--offer: %w", err)
		}
		text = msg.Body()
	}
	d, err := sdp.Parse(text)
	if err != nil {
		return nil, nil, fmt.Errorf("--offer: %w", err)
	}
	contents, groups, _, err := mapping.SDPToContents(d, mapping.CallContext{Author: jingle.RoleInitiator})
	return d, &jingle.Jingle{Contents: contents, Groups: groups}, err
}

// jingleIn finds the <jingle/> of a stanza, or reads it alone.
func jingleIn(text []byte) (*jingle.Jingle, error) {
	e, err := xmpp.ParseElement(bytes.TrimSpace(text))
	if err != nil {
		return nil, err
	}
	if child := e.Child(xmpp.NSJingle, "jingle"); child != nil {
		e = child
	}
	return jingle.Parse(e)
}

// printStatus writes a response: what the request has in common with it is not known.
func (p *program) printStatus(s sip.Status, body []byte) error {
	var b strings.Builder
	fmt.Fprintf(&b, "SIP/2.0 %d %s\r\n", s.Code, s.Phrase())
	if s.RetryAfter > 0 {
		fmt.Fprintf(&b, "Retry-After: %d\r\n", int(s.RetryAfter.Seconds()))
	}
	for _, h := range s.Headers {
		fmt.Fprintf(&b, "%s: %s\r\n", h.Name(), h.Value())
	}
	if len(body) > 0 {
		fmt.Fprintf(&b, "Content-Length: %d\r\n\r\n%s", len(body), body)
	}
	_, err := p.stdout.Write([]byte(b.String()))
	return err
}
