package jingle

import (
	"strings"
	"unicode"

	"github.com/stoxgate/stoxgate/xmpp"
)

// maxFingerprints is how many certificates one transport may name.
const maxFingerprints = 8

// transport reads a <transport/> (XEP-0176, XEP-0177).
func (r *reader) transport(e *xmpp.Element, kind TransportKind) *Transport {
	t := &Transport{Kind: kind}
	if kind == TransportICE {
		t.Ufrag, t.Pwd = r.attr(e, "ufrag"), r.attr(e, "pwd")
	}
	space := e.Name.Space
	for c := range e.Elements() {
		switch {
		case c.Is(space, "candidate"):
			if v, ok := r.candidate(c, kind); ok && r.moreCandidates() {
				t.Candidates = append(t.Candidates, v)
			}
		case kind == TransportICE && c.Is(space, "remote-candidate"):
			if v, ok := r.endpoint(c); ok && r.moreCandidates() {
				t.RemoteCandidates = append(t.RemoteCandidates, v)
			}
		case kind == TransportICE && c.Is(xmpp.NSJingleDTLS, "fingerprint"):
			r.fingerprint(t, c)
		default:
			r.other(&t.Other, c)
		}
	}
	return t
}

// moreCandidates counts the candidates of the stanza.
func (r *reader) moreCandidates() bool {
	if !r.room(r.candidates, maxCandidates, "candidate") {
		return false
	}
	r.candidates++
	return true
}

// candidate reads a candidate. Defaults stand for what clients leave out; one without a usable address, or of
// TCP, is left out: there are others.
func (r *reader) candidate(e *xmpp.Element, kind TransportKind) (Candidate, bool) {
	c, ok := r.endpoint(e)
	if !ok {
		return Candidate{}, false
	}
	c.Generation, c.ID, c.Type = uint32(r.hint(e, "generation", 32)), r.attr(e, "id"), r.attr(e, "type")
	if kind == TransportRawUDP {
		return c, true
	}
	c.Foundation, c.Network = r.attr(e, "foundation"), uint32(r.hint(e, "network", 32))
	c.Priority, c.Protocol = uint32(r.hint(e, "priority", 32)), strings.ToLower(r.attr(e, "protocol"))
	c.RelAddr, c.RelPort = r.attr(e, "rel-addr"), uint16(r.hint(e, "rel-port", 16))
	if c.Protocol == "" {
		c.Protocol = "udp"
	}
	if c.Type == "" {
		c.Type = "host"
	}
	if c.Protocol != "udp" {
		r.ignore("candidate of protocol " + c.Protocol) // XEP-0176 §5.3: only udp
		return Candidate{}, false
	}
	return c, true
}

// endpoint reads component, ip and port. An absent component is that of RTP.
func (r *reader) endpoint(e *xmpp.Element) (Candidate, bool) {
	component, ok1 := r.number(e, "component", 8)
	port, ok2 := r.number(e, "port", 16)
	ip := strings.TrimSpace(r.attr(e, "ip"))
	if !ok1 || !ok2 || ip == "" || e.Attribute("port") == "" {
		r.ignore(e.Name.Local + " without a usable address")
		return Candidate{}, false
	}
	if component == 0 {
		component = 1
	}
	return Candidate{Component: uint8(component), IP: ip, Port: uint16(port)}, true
}

// fingerprint adds a fingerprint (XEP-0320). White space inside comes from pretty-printers.
func (r *reader) fingerprint(t *Transport, e *xmpp.Element) {
	f := Fingerprint{Hash: strings.ToLower(r.attr(e, "hash")), Setup: r.attr(e, "setup")}
	if text := e.Text(); len(text) <= maxText {
		f.Value = strings.ToUpper(strings.Map(dropSpace, text))
	}
	switch f.Setup {
	case "", "active", "passive", "actpass":
	default:
		r.ignore("setup of fingerprint: unknown role")
		f.Setup = ""
	}
	if f.Hash == "" || f.Value == "" || strings.Trim(f.Value, "0123456789ABCDEF:") != "" {
		r.ignore("fingerprint without hash or value")
		return
	}
	if r.room(len(t.Fingerprints), maxFingerprints, "fingerprint") {
		t.Fingerprints = append(t.Fingerprints, f)
	}
}

func dropSpace(c rune) rune {
	if unicode.IsSpace(c) {
		return -1
	}
	return c
}
