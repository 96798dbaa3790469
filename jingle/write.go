package jingle

import (
	"strconv"

	"github.com/stoxgate/stoxgate/xmpp"
)

// Element returns the <jingle/>. Groups come first, as in XEP-0338, then contents, reason and the rest.
func (j *Jingle) Element() *xmpp.Element {
	e := xmpp.NewElement(xmpp.NSJingle, "jingle").Set("action", string(j.Action))
	setText(e, "initiator", j.Initiator.String())
	setText(e, "responder", j.Responder.String())
	e.Set("sid", j.SID)
	for i := range j.Groups {
		e.Add(j.Groups[i].element())
	}
	for i := range j.Contents {
		e.Add(j.Contents[i].element())
	}
	return e.Add(j.Reason.Element()).Add(j.Info...)
}

// setText sets an attribute unless it is empty.
func setText(e *xmpp.Element, name, value string) {
	if value != "" {
		e.Set(name, value)
	}
}

// setNumber sets an attribute to a number.
func setNumber[N uint8 | uint16 | uint32](e *xmpp.Element, name string, n N) {
	e.Set(name, strconv.FormatUint(uint64(n), 10))
}

// setHint sets an attribute to a number unless that is 0, which means that it is absent.
func setHint[N uint8 | uint16 | uint32](e *xmpp.Element, name string, n N) {
	if n != 0 {
		setNumber(e, name, n)
	}
}

func (g *Group) element() *xmpp.Element {
	e := xmpp.NewElement(xmpp.NSJingleGrouping, "group").Set("semantics", g.Semantics)
	for _, name := range g.Contents {
		e.Add(xmpp.NewElement(xmpp.NSJingleGrouping, "content").Set("name", name))
	}
	return e
}

func (c *Content) element() *xmpp.Element {
	e := xmpp.NewElement(xmpp.NSJingle, "content")
	setText(e, "creator", string(c.Creator))
	e.Set("name", c.Name)
	setText(e, "senders", string(c.Senders))
	setText(e, "disposition", c.Disposition)
	return e.Add(c.Description.Element(), c.Transport.Element()).Add(c.Other...)
}

// Element returns the <description/>, nil for nil.
func (d *Description) Element() *xmpp.Element {
	if d == nil {
		return nil
	}
	e := xmpp.NewElement(xmpp.NSJingleRTP, "description")
	setText(e, "media", d.Media)
	setText(e, "ssrc", d.SSRC)
	for i := range d.PayloadTypes {
		e.Add(d.PayloadTypes[i].element())
	}
	if d.RTCPMux {
		e.Add(xmpp.NewElement(xmpp.NSJingleRTP, "rtcp-mux"))
	}
	e.Add(d.Encryption.element())
	for _, b := range d.Bandwidths {
		e.Add(xmpp.NewElement(xmpp.NSJingleRTP, "bandwidth").Set("type", b.Type).AddText(b.Value))
	}
	addFeedback(e, d.Feedback, d.TRRInt)
	for i := range d.HeaderExtensions {
		e.Add(d.HeaderExtensions[i].element())
	}
	if d.ExtmapAllowMixed {
		e.Add(xmpp.NewElement(xmpp.NSJingleRTPHdrExt, "extmap-allow-mixed"))
	}
	for i := range d.SourceGroups {
		e.Add(d.SourceGroups[i].element())
	}
	for i := range d.Sources {
		e.Add(addParameters(sourceElement(d.Sources[i].SSRC), d.Sources[i].Parameters))
	}
	for _, name := range d.Categories {
		e.Add(xmpp.NewElement(xmpp.NSJingleCategory, "category").Set("name", name))
	}
	return e.Add(d.Other...)
}

func (p *PayloadType) element() *xmpp.Element {
	e := xmpp.NewElement(xmpp.NSJingleRTP, "payload-type")
	setNumber(e, "id", p.ID)
	setText(e, "name", p.Name)
	setHint(e, "clockrate", p.ClockRate)
	setHint(e, "channels", p.Channels)
	setHint(e, "ptime", p.PTime)
	setHint(e, "maxptime", p.MaxPTime)
	addParameters(e, p.Parameters)
	addFeedback(e, p.Feedback, p.TRRInt)
	return e
}

// addParameters adds <parameter/> children in the namespace of e. Both attributes are required but for XEP-0339,
// where a value that is not there is left off.
func addParameters(e *xmpp.Element, list []Parameter) *xmpp.Element {
	for _, p := range list {
		c := xmpp.NewElement(e.Name.Space, "parameter").Set("name", p.Name)
		if p.Value != "" || e.Name.Space != xmpp.NSJingleSources {
			c.Set("value", p.Value)
		}
		e.Add(c)
	}
	return e
}

// addFeedback adds the elements of XEP-0293.
func addFeedback(e *xmpp.Element, list []Feedback, trrInt *uint32) {
	for i := range list {
		c := xmpp.NewElement(xmpp.NSJingleRTCPFB, "rtcp-fb").Set("type", list[i].Type)
		setText(c, "subtype", list[i].Subtype)
		e.Add(addParameters(c, list[i].Parameters))
	}
	if trrInt != nil {
		c := xmpp.NewElement(xmpp.NSJingleRTCPFB, "rtcp-fb-trr-int")
		setNumber(c, "value", *trrInt)
		e.Add(c)
	}
}

func (x *HeaderExtension) element() *xmpp.Element {
	e := xmpp.NewElement(xmpp.NSJingleRTPHdrExt, "rtp-hdrext")
	setNumber(e, "id", x.ID)
	e.Set("uri", x.URI)
	if x.Senders != SendersBoth {
		setText(e, "senders", string(x.Senders))
	}
	return addParameters(e, x.Parameters)
}

func sourceElement(ssrc uint32) *xmpp.Element {
	e := xmpp.NewElement(xmpp.NSJingleSources, "source")
	setNumber(e, "ssrc", ssrc)
	return e
}

func (g *SourceGroup) element() *xmpp.Element {
	e := xmpp.NewElement(xmpp.NSJingleSources, "ssrc-group").Set("semantics", g.Semantics)
	for _, ssrc := range g.Sources {
		e.Add(sourceElement(ssrc))
	}
	return e
}

func (enc *Encryption) element() *xmpp.Element {
	if enc == nil {
		return nil
	}
	e := xmpp.NewElement(xmpp.NSJingleRTP, "encryption")
	if enc.Required {
		e.Set("required", "1")
	}
	for _, c := range enc.Cryptos {
		v := xmpp.NewElement(xmpp.NSJingleRTP, "crypto")
		setText(v, "tag", c.Tag)
		setText(v, "crypto-suite", c.Suite)
		setText(v, "key-params", c.KeyParams)
		setText(v, "session-params", c.SessionParams)
		e.Add(v)
	}
	return e
}

// Element returns the <transport/>, nil for nil.
func (t *Transport) Element() *xmpp.Element {
	if t == nil {
		return nil
	}
	if t.Kind == TransportRawUDP {
		e := xmpp.NewElement(xmpp.NSJingleRawUDP, "transport")
		for i := range t.Candidates {
			e.Add(t.Candidates[i].rawElement())
		}
		return e.Add(t.Other...)
	}
	e := xmpp.NewElement(xmpp.NSJingleICEUDP, "transport")
	setText(e, "ufrag", t.Ufrag)
	setText(e, "pwd", t.Pwd)
	for _, f := range t.Fingerprints {
		c := xmpp.NewElement(xmpp.NSJingleDTLS, "fingerprint").Set("hash", f.Hash)
		setText(c, "setup", f.Setup)
		e.Add(c.AddText(f.Value))
	}
	for i := range t.Candidates {
		e.Add(t.Candidates[i].iceElement())
	}
	for i := range t.RemoteCandidates {
		e.Add(t.RemoteCandidates[i].endpoint("remote-candidate", xmpp.NSJingleICEUDP))
	}
	return e.Add(t.Other...)
}

func (c *Candidate) endpoint(name, space string) *xmpp.Element {
	e := xmpp.NewElement(space, name)
	setNumber(e, "component", c.Component)
	e.Set("ip", c.IP)
	setNumber(e, "port", c.Port)
	return e
}

func (c *Candidate) rawElement() *xmpp.Element {
	e := c.endpoint("candidate", xmpp.NSJingleRawUDP)
	setNumber(e, "generation", c.Generation)
	setText(e, "id", c.ID)
	setText(e, "type", c.Type)
	return e
}

func (c *Candidate) iceElement() *xmpp.Element {
	e := c.endpoint("candidate", xmpp.NSJingleICEUDP)
	setText(e, "foundation", c.Foundation)
	setNumber(e, "generation", c.Generation)
	setText(e, "id", c.ID)
	setNumber(e, "network", c.Network)
	setNumber(e, "priority", c.Priority)
	setText(e, "protocol", c.Protocol)
	setText(e, "type", c.Type)
	if c.RelAddr != "" || c.RelPort != 0 {
		setText(e, "rel-addr", c.RelAddr)
		setNumber(e, "rel-port", c.RelPort)
	}
	return e
}
