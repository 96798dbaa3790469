package jingle

import (
	"strconv"
	"strings"

	"github.com/stoxgate/stoxgate/xmpp"
)

// firstDynamic is the lowest payload type that has no meaning of its own (XEP-0167 §4), and so needs a name.
const firstDynamic = 96

// description reads an RTP <description/> (XEP-0167 §4).
func (r *reader) description(e *xmpp.Element) *Description {
	d := &Description{Media: r.attr(e, "media"), SSRC: r.attr(e, "ssrc")}
	for c := range e.Elements() {
		switch c.Name.Space {
		case xmpp.NSJingleRTP:
			r.ownChild(d, c)
		case xmpp.NSJingleRTCPFB:
			r.feedback(c, &d.Feedback, &d.TRRInt, &d.Other)
		case xmpp.NSJingleRTPHdrExt, xmpp.NSJingleSources, xmpp.NSJingleCategory:
			r.extension(d, c)
		default:
			r.other(&d.Other, c)
		}
	}
	return d
}

// other keeps a child that has no field.
func (r *reader) other(list *[]*xmpp.Element, c *xmpp.Element) {
	if r.room(len(*list), maxItems, "unknown child") {
		*list = append(*list, c)
	}
}

// ownChild reads a child of a description in its namespace.
func (r *reader) ownChild(d *Description, c *xmpp.Element) {
	switch c.Name.Local {
	case "payload-type":
		r.payloadType(d, c)
	case "bandwidth":
		if r.room(len(d.Bandwidths), maxItems, "bandwidth") {
			d.Bandwidths = append(d.Bandwidths, Bandwidth{r.attr(c, "type"), strings.TrimSpace(clip(strings.TrimSpace(c.Text())))})
		}
	case "rtcp-mux":
		d.RTCPMux = true
	case "encryption":
		if d.Encryption == nil {
			d.Encryption = r.encryption(c)
		}
	default:
		r.other(&d.Other, c)
	}
}

// payloadType adds a codec. One that can not be used is no reason to refuse the others.
func (r *reader) payloadType(d *Description, e *xmpp.Element) {
	id, ok := r.number(e, "id", 7)
	if !ok || r.attr(e, "id") == "" {
		r.ignore("payload-type without a usable id")
		return
	}
	p := PayloadType{
		ID: uint8(id), Name: r.attr(e, "name"),
		ClockRate: uint32(r.hint(e, "clockrate", 32)), Channels: uint8(r.hint(e, "channels", 8)),
		PTime: uint32(r.hint(e, "ptime", 32)), MaxPTime: uint32(r.hint(e, "maxptime", 32)),
	}
	if p.Name == "" && p.ID >= firstDynamic {
		r.ignore("payload-type " + strconv.Itoa(int(p.ID)) + " without name")
		return
	}
	for i := range d.PayloadTypes {
		if d.PayloadTypes[i].ID == p.ID {
			r.ignore("second payload-type " + strconv.Itoa(int(p.ID)))
			return
		}
	}
	if !r.room(len(d.PayloadTypes), maxPayloadTypes, "payload-type") {
		return
	}
	p.Parameters = r.parameters(e, xmpp.NSJingleRTP)
	for c := range e.Elements() {
		if c.Name.Space == xmpp.NSJingleRTCPFB {
			r.feedback(c, &p.Feedback, &p.TRRInt, nil)
		}
	}
	d.PayloadTypes = append(d.PayloadTypes, p)
}

// feedback reads an element of XEP-0293; unknown ones go to other, which may be nil.
func (r *reader) feedback(e *xmpp.Element, list *[]Feedback, trrInt **uint32, other *[]*xmpp.Element) {
	switch e.Name.Local {
	case "rtcp-fb":
		if e.Attribute("type") == "" {
			r.ignore("rtcp-fb without type")
		} else if r.room(len(*list), maxItems, "rtcp-fb") {
			*list = append(*list, Feedback{
				Type: r.attr(e, "type"), Subtype: r.attr(e, "subtype"),
				Parameters: r.parameters(e, xmpp.NSJingleRTCPFB),
			})
		}
	case "rtcp-fb-trr-int":
		n := uint32(r.hint(e, "value", 32))
		*trrInt = &n
	default:
		if other != nil {
			r.other(other, e)
		}
	}
}

// extension reads an element of XEP-0294, XEP-0339 or XEP-0507.
func (r *reader) extension(d *Description, e *xmpp.Element) {
	switch {
	case e.Is(xmpp.NSJingleRTPHdrExt, "rtp-hdrext"):
		r.headerExtension(d, e)
	case e.Is(xmpp.NSJingleRTPHdrExt, "extmap-allow-mixed"):
		d.ExtmapAllowMixed = true
	case e.Is(xmpp.NSJingleSources, "source"):
		if ssrc, ok := r.ssrc(e); ok && r.room(len(d.Sources), maxItems, "source") {
			d.Sources = append(d.Sources, Source{ssrc, r.parameters(e, xmpp.NSJingleSources)})
		}
	case e.Is(xmpp.NSJingleSources, "ssrc-group"):
		if r.room(len(d.SourceGroups), maxItems, "ssrc-group") {
			d.SourceGroups = append(d.SourceGroups, r.sourceGroup(e))
		}
	case e.Is(xmpp.NSJingleCategory, "category"):
		if name := r.attr(e, "name"); name != "" && r.room(len(d.Categories), maxItems, "category") {
			d.Categories = append(d.Categories, name)
		}
	default:
		r.other(&d.Other, e)
	}
}

func (r *reader) headerExtension(d *Description, e *xmpp.Element) {
	x := HeaderExtension{URI: r.attr(e, "uri"), Senders: Senders(r.attr(e, "senders"))}
	id, ok := r.number(e, "id", 16)
	if !ok || id == 0 || x.URI == "" {
		r.ignore("rtp-hdrext without usable id and uri")
		return
	}
	x.ID = uint16(id)
	switch x.Senders {
	case SendersBoth, SendersInitiator, SendersResponder, SendersNone:
	default:
		x.Senders = SendersBoth
	}
	if r.room(len(d.HeaderExtensions), maxItems, "rtp-hdrext") {
		x.Parameters = r.parameters(e, xmpp.NSJingleRTPHdrExt)
		d.HeaderExtensions = append(d.HeaderExtensions, x)
	}
}

func (r *reader) ssrc(e *xmpp.Element) (uint32, bool) {
	n, ok := r.number(e, "ssrc", 32)
	if !ok || e.Attribute("ssrc") == "" {
		r.ignore("source without a usable ssrc")
		return 0, false
	}
	return uint32(n), true
}

func (r *reader) sourceGroup(e *xmpp.Element) SourceGroup {
	g := SourceGroup{Semantics: r.attr(e, "semantics")}
	for c := range e.Elements() {
		if !c.Is(xmpp.NSJingleSources, "source") {
			continue
		}
		if ssrc, ok := r.ssrc(c); ok && r.room(len(g.Sources), maxItems, "source of ssrc-group") {
			g.Sources = append(g.Sources, ssrc)
		}
	}
	return g
}

// encryption reads the keys of SDES (XEP-0167 §7). Keys of ZRTP, which nobody here speaks, are dropped.
func (r *reader) encryption(e *xmpp.Element) *Encryption {
	enc := &Encryption{}
	switch strings.TrimSpace(r.attr(e, "required")) {
	case "1", "true":
		enc.Required = true
	}
	for c := range e.Elements() {
		switch {
		case !c.Is(xmpp.NSJingleRTP, "crypto"):
			r.ignore("child of encryption: " + clip(c.Name.Local))
		case r.room(len(enc.Cryptos), maxItems, "crypto"):
			enc.Cryptos = append(enc.Cryptos, Crypto{
				Tag: r.attr(c, "tag"), Suite: r.attr(c, "crypto-suite"),
				KeyParams: r.attr(c, "key-params"), SessionParams: r.attr(c, "session-params"),
			})
		}
	}
	return enc
}
