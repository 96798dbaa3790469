package main

import (
	"errors"
	"fmt"
	"strings"

	"github.com/stoxgate/stoxgate/jingle"
	"github.com/stoxgate/stoxgate/mapping"
	"github.com/stoxgate/stoxgate/sip"
	"github.com/stoxgate/stoxgate/sip/sdp"
	"github.com/stoxgate/stoxgate/xmpp"
)

// parties are the JIDs of a SIP message, from the flags or made of its addresses: who
// speaks on SIP and who hears it on XMPP.
func (c translateCmd) parties(speaker, hearer sip.URI) (from, to xmpp.JID, err error) {
	if from, err = jidOf(c.FromJID, speaker, c.Component, true); err != nil {
		return from, to, fmt.Errorf("sender: %w", err)
	}
	if to, err = jidOf(c.ToJID, hearer, c.Component, false); err != nil {
		return from, to, fmt.Errorf("receiver: %w", err)
	}
	return from, to, nil
}

// session is the id of the session that a message belongs to.
func (c translateCmd) session(m sip.Message) string {
	if c.SID != "" {
		return c.SID
	}
	n, _ := sip.CSeq(m)
	sid, _ := mapping.CallIDToSID(sip.CallID(m), sip.FromTag(m), n)
	return sid
}

// callOf translates a request of a call towards XMPP; false: it is of none.
func (c translateCmd) callOf(p *program, r *sip.Request) (bool, error) {
	switch r.Method {
	case sip.INVITE, sip.CANCEL, sip.BYE:
	case sip.ACK, sip.PRACK:
		fmt.Fprintf(p.stderr, "%s: %s is between the phone and the gateway\n", nothing, r.Method)
		return true, nil
	default:
		return false, nil
	}
	speaker, err := sip.FromOf(r)
	if err != nil {
		return true, fmt.Errorf("%w: From: %w", errUntranslatable, err)
	}
	hearer, err := sip.ToOf(r)
	if err != nil {
		return true, fmt.Errorf("%w: To: %w", errUntranslatable, err)
	}
	target := hearer.URI // that of a request in a dialog is a Contact
	if r.Method == sip.INVITE && sip.ToTag(r) == "" {
		target = sip.RequestURI(r)
	}
	from, to, err := c.parties(speaker.URI, target)
	if err != nil {
		return true, err
	}
	from = mapping.DeviceOf(r, from)
	switch r.Method {
	case sip.INVITE:
		return true, c.invite(p, r, from, to)
	case sip.CANCEL:
		return true, c.cancel(p, r, from, to)
	default:
		return true, c.bye(p, r, from, to)
	}
}

// invite makes a proposal and a session-initiate of an INVITE.
func (c translateCmd) invite(p *program, r *sip.Request, from, to xmpp.JID) error {
	if sip.ToTag(r) != "" {
		return fmt.Errorf("%w: a re-INVITE %s", errUntranslatable, byTheRelay)
	}
	j := mapping.InviteToInitiate(r, from, to)
	j.SID = c.session(r)
	media := []string{"audio"}
	if len(r.Body()) == 0 {
		fmt.Fprintln(p.stderr, ownOffer)
	} else {
		var err error
		if j.Contents, j.Groups, err = c.contents(p, r.Body(), mapping.CallContext{Author: jingle.RoleInitiator}); err != nil {
			return err
		}
		media = mediaOf(j.Contents)
	}
	if !c.Direct {
		if err := p.printJMI(&jingle.Message{Kind: jingle.KindPropose, ID: j.SID, Media: media}, j.Initiator, to.Bare()); err != nil {
			return err
		}
	}
	if j.Contents == nil {
		return nil
	}
	return c.printJingle(p, j, j.Initiator, to)
}

func mediaOf(contents []jingle.Content) []string {
	list := make([]string, 0, len(contents))
	for i := range contents {
		if d := contents[i].Description; d != nil {
			list = append(list, d.Media)
		}
	}
	return list
}

// contents reads a session description; its refusal is told.
func (c translateCmd) contents(p *program, body []byte, ctx mapping.CallContext) ([]jingle.Content, []jingle.Group, error) {
	d, err := sdp.Parse(body)
	if err == nil {
		var loss []string
		var contents []jingle.Content
		var groups []jingle.Group
		contents, groups, loss, err = mapping.SDPToContents(d, ctx)
		p.lost(loss)
		if err == nil {
			return contents, groups, nil
		}
	}
	refusal := sip.Status{Code: 400}
	if errors.Is(err, mapping.ErrNoMedia) {
		refusal.Code = 488
	}
	fmt.Fprintf(p.stderr, "refused, the sender gets: %d %s (%v)\n", refusal.Code, refusal.Phrase(), err)
	return nil, nil, silentError{exitFailed}
}

// cancel makes a retraction of a CANCEL, or the end of a session that has begun.
func (c translateCmd) cancel(p *program, r *sip.Request, from, to xmpp.JID) error {
	reason := mapping.CancelToReason(sip.Reasons(r))
	if c.Direct {
		return c.printJingle(p, &jingle.Jingle{Action: jingle.ActionSessionTerminate, SID: c.session(r), Reason: &reason}, from, to)
	}
	return p.printJMI(&jingle.Message{Kind: jingle.KindRetract, ID: c.session(r), Reason: &reason}, from, to.Bare())
}

// bye makes a session-terminate of a BYE.
func (c translateCmd) bye(p *program, r *sip.Request, from, to xmpp.JID) error {
	sid := c.session(r)
	if _, ours := mapping.CallIDToSID(sip.CallID(r), "", 0); c.SID == "" && !ours {
		fmt.Fprintln(p.stderr, "the session is that of the INVITE, which a BYE does not name: give it with --sid")
	}
	reason := mapping.ReasonsToReason(sip.Reasons(r))
	if err := c.printJingle(p, &jingle.Jingle{Action: jingle.ActionSessionTerminate, SID: sid, Reason: &reason}, from, to); err != nil || c.Direct {
		return err
	}
	return p.printJMI(&jingle.Message{Kind: jingle.KindFinish, ID: sid, Reason: &reason}, from, to)
}

// answered translates a response to an INVITE towards XMPP.
func (c translateCmd) answered(p *program, r *sip.Response) error {
	caller, err := sip.FromOf(r)
	if err != nil {
		return fmt.Errorf("%w: From: %w", errUntranslatable, err)
	}
	callee, err := sip.ToOf(r)
	if err != nil {
		return fmt.Errorf("%w: To: %w", errUntranslatable, err)
	}
	from, to, err := c.parties(callee.URI, caller.URI)
	if err != nil {
		return err
	}
	from = mapping.DeviceOf(r, from)
	sid := c.session(r)
	switch s := sip.StatusOf(r); {
	case s.Code == 180 || s.Code == 183 && len(r.Body()) > 0:
		if c.Direct {
			return c.printJingle(p, &jingle.Jingle{Action: jingle.ActionSessionInfo, SID: sid, Info: []*xmpp.Element{jingle.Ringing{}.Element()}}, from, to)
		}
		return p.printJMI(&jingle.Message{Kind: jingle.KindRinging, ID: sid}, from, to)
	case s.Code < 200:
		fmt.Fprintln(p.stderr, nothing+": only what rings is told")
		return nil
	case s.Code < 300:
		return c.accepted(p, r, sid, from, to)
	default:
		reason := mapping.StatusToReason(s, c.State == stateRinging)
		if c.Direct {
			return c.printJingle(p, &jingle.Jingle{Action: jingle.ActionSessionTerminate, SID: sid, Reason: &reason}, from, to)
		}
		return p.printJMI(&jingle.Message{Kind: jingle.KindReject, ID: sid, Reason: &reason}, from, to)
	}
}

// accepted makes a session-accept of a 2xx, after the word that the call is taken.
func (c translateCmd) accepted(p *program, r *sip.Response, sid string, from, to xmpp.JID) error {
	if len(r.Body()) == 0 {
		return fmt.Errorf("%w: a %d without a session description", errUntranslatable, r.StatusCode)
	}
	_, offered, err := c.offer()
	switch {
	case err != nil:
		return err
	case offered == nil:
		fmt.Fprintln(p.stderr, offerUnseen)
	}
	j := &jingle.Jingle{Action: jingle.ActionSessionAccept, SID: sid, Responder: from}
	if j.Contents, j.Groups, err = c.contents(p, r.Body(), mapping.CallContext{Author: jingle.RoleResponder, Offered: offered}); err != nil {
		return err
	}
	if !c.Direct {
		if err := p.printJMI(&jingle.Message{Kind: jingle.KindProceed, ID: sid}, from, to); err != nil {
			return err
		}
	}
	return c.printJingle(p, j, from, to)
}

// printJMI writes a message of XEP-0353.
func (p *program) printJMI(m *jingle.Message, from, to xmpp.JID) error {
	_, err := fmt.Fprintf(p.stdout, "%s\n", m.Wrap(from, to).Append(nil))
	return err
}

// printJingle writes a Jingle stanza, one element per line: they are long.
func (c translateCmd) printJingle(p *program, j *jingle.Jingle, from, to xmpp.JID) error {
	iq := &xmpp.IQ{From: from, To: to, ID: fmt.Sprintf("jingle-%d", c.Seq), Type: xmpp.IQSet, Payload: j.Element()}
	var b strings.Builder
	e := iq.Element()
	writeIndented(&b, e, e.Name.Space, "")
	_, err := p.stdout.Write([]byte(b.String()))
	return err
}

// writeIndented writes an element whose children are elements with a line for each; the
// space that this adds between them says nothing in Jingle.
func writeIndented(b *strings.Builder, e *xmpp.Element, parent, indent string) {
	if len(e.Children) == 0 || e.Children[0].Elem == nil {
		fmt.Fprintf(b, "%s%s\n", indent, e.Append(nil, parent))
		return
	}
	open := *e
	open.Children = nil
	fmt.Fprintf(b, "%s%s>\n", indent, strings.TrimSuffix(string(open.Append(nil, parent)), "/>"))
	for child := range e.Elements() {
		writeIndented(b, child, e.Name.Space, indent+" ")
	}
	fmt.Fprintf(b, "%s</%s>\n", indent, e.Name.Local)
}
