package mapping

import (
	"slices"
	"strconv"
	"strings"

	"github.com/stoxgate/stoxgate/jingle"
	"github.com/stoxgate/stoxgate/sip/sdp"
)

// descriptionToMedia translates an RTP application (XEP-0167 and its relatives) to a medium without address,
// direction and name, written by the party with the role author. The protocol is that of plain RTP or SDES;
// see profile. What SDP cannot say is in the loss.
func descriptionToMedia(d *jingle.Description, author jingle.Role) (sdp.Media, []string) {
	l := losses{where: d.Media}
	m := sdp.Media{Kind: strings.ToLower(d.Media), RTCPMux: d.RTCPMux, ExtmapAllowMixed: d.ExtmapAllowMixed, Content: slices.Clone(d.Categories)}
	for i := range d.PayloadTypes {
		p := &d.PayloadTypes[i]
		m.Codecs = append(m.Codecs, l.payloadToCodec(p))
		l.packetTime(&m.PTime, p.PTime, "ptime", p.ID)
		l.packetTime(&m.MaxPTime, p.MaxPTime, "maxptime", p.ID)
	}
	for _, b := range d.Bandwidths {
		m.Bandwidths = append(m.Bandwidths, sdp.Bandwidth(b))
	}
	m.Feedback = feedbackToSDP(d.Feedback, d.TRRInt)
	for _, x := range d.HeaderExtensions {
		e := sdp.Extension{ID: x.ID, URI: x.URI}
		if x.Senders != "" && x.Senders != jingle.SendersBoth {
			e.Direction = SendersToDirection(x.Senders, author)
		}
		e.Attributes = joinParameters(x.Parameters)
		m.Extensions = append(m.Extensions, e)
	}
	for _, s := range d.Sources {
		v := sdp.SSRC{ID: s.SSRC}
		for _, p := range s.Parameters {
			v.Attributes = append(v.Attributes, sdp.Attribute(p))
			if p.Name == "msid" && m.MSID == "" {
				m.MSID = p.Value // RFC 8830 §2: what was of the source is of the medium now
			}
		}
		m.SSRCs = append(m.SSRCs, v)
	}
	for _, g := range d.SourceGroups {
		m.SSRCGroups = append(m.SSRCGroups, sdp.SSRCGroup{Semantics: g.Semantics, IDs: slices.Clone(g.Sources)})
	}
	if d.Encryption != nil {
		for _, c := range d.Encryption.Cryptos {
			m.Cryptos = append(m.Cryptos, sdp.Crypto(c))
		}
	}
	if d.SSRC != "" && len(d.Sources) == 0 {
		l.add("ssrc without a cname")
	}
	for _, e := range d.Other {
		l.add("element " + e.Name.Local)
	}
	m.Protocol = profile(&m)
	return m, l.list
}

// profile is the protocol of the m= line for what the medium has: DTLS-SRTP with a fingerprint, SRTP with crypto
// keys, plain RTP with neither; with feedback where the medium has any (RFC 3551, RFC 3711, RFC 4585, RFC 5764).
func profile(m *sdp.Media) string {
	p := "RTP/AVP"
	switch {
	case len(m.Fingerprints) > 0:
		p = "UDP/TLS/RTP/SAVP"
	case len(m.Cryptos) > 0:
		p = "RTP/SAVP"
	}
	if len(m.Feedback) > 0 || slices.ContainsFunc(m.Codecs, func(c sdp.Codec) bool { return len(c.Feedback) > 0 }) {
		p += "F"
	}
	return p
}

// payloadToCodec names the codec in full: what is missing comes from the static table, or is what everybody means.
func (l *losses) payloadToCodec(p *jingle.PayloadType) sdp.Codec {
	c := sdp.Codec{PayloadType: p.ID, Name: p.Name, ClockRate: p.ClockRate, Channels: p.Channels}
	if static, ok := sdp.StaticCodec(p.ID); ok && (c.Name == "" || strings.EqualFold(c.Name, static.Name)) {
		c.Name, c.ClockRate = or(c.Name, static.Name), static.ClockRate
		c.Channels = max(c.Channels, static.Channels)
	}
	switch {
	case strings.EqualFold(c.Name, "opus"):
		c.ClockRate, c.Channels = 48000, 2 // RFC 7587 §7
	case c.ClockRate == 0 && l.where == "video":
		c.ClockRate = 90000
	case c.ClockRate == 0:
		c.ClockRate = 8000
	}
	if c.Channels == 1 {
		c.Channels = 0
	}
	c.Format = l.parametersToFormat(c, p.Parameters)
	c.Feedback = feedbackToSDP(p.Feedback, p.TRRInt)
	return c
}

// parametersToFormat writes fmtp. A value without name stands as name=” with value, as a name without value, or
// for telephone events as name='events': no specification fixes the form, so all of them are read.
func (l *losses) parametersToFormat(c sdp.Codec, params []jingle.Parameter) string {
	var list []sdp.Parameter
	for _, p := range params {
		name, value := strings.TrimSpace(p.Name), strings.TrimSpace(p.Value)
		switch {
		case name == "" && value == "":
			continue
		case IsEvents(c) && strings.EqualFold(name, "events") && value != "":
			name = ""
		case value == "":
			name, value = "", name
		}
		if strings.ContainsAny(name+value, ";\r\n") || strings.ContainsAny(name, " \t=") {
			l.add("parameter " + p.Name + " of payload type " + strconv.Itoa(int(c.PayloadType)))
			continue
		}
		list = append(list, sdp.Parameter{Name: name, Value: value})
	}
	return sdp.FormatParameters(list)
}

// packetTime takes the value of the first payload type that has one: SDP has one for all.
func (l *losses) packetTime(to *int, ms uint32, what string, id uint8) {
	switch {
	case ms == 0 || ms > 10000 || int(ms) == *to:
	case *to == 0:
		*to = int(ms)
	default:
		l.add(what + " of payload type " + strconv.Itoa(int(id)))
	}
}

func feedbackToSDP(list []jingle.Feedback, trrInt *uint32) []sdp.Feedback {
	var out []sdp.Feedback
	for _, f := range list {
		out = append(out, sdp.Feedback{Type: f.Type, Subtype: f.Subtype, Parameter: joinParameters(f.Parameters)})
	}
	if trrInt != nil {
		out = append(out, sdp.Feedback{Type: "trr-int", Subtype: strconv.FormatUint(uint64(*trrInt), 10)})
	}
	return out
}

// joinParameters writes parameters as words: "smaxpr=120 x".
func joinParameters(list []jingle.Parameter) string {
	words := make([]string, 0, len(list))
	for _, p := range list {
		switch name, value := strings.TrimSpace(p.Name), strings.TrimSpace(p.Value); {
		case name == "" && value == "":
		case name == "" || value == "":
			words = append(words, name+value)
		default:
			words = append(words, name+"="+value)
		}
	}
	return strings.Join(words, " ")
}

func splitParameters(s string) []jingle.Parameter {
	var list []jingle.Parameter
	for w := range strings.FieldsSeq(s) {
		name, value, _ := strings.Cut(w, "=")
		list = append(list, jingle.Parameter{Name: name, Value: value})
	}
	return list
}

// mediaToDescription translates an effective medium (sdp.Description.Effective) of the party with the role author
// to an RTP application. Every payload type has name and clock rate, since clients ignore those without; codecs
// without a name are left out. What Jingle cannot say, or what clients fail on, is in the loss.
func mediaToDescription(m *sdp.Media, author jingle.Role) (*jingle.Description, []string) {
	l := losses{where: m.Kind}
	d := &jingle.Description{Media: m.Kind, RTCPMux: m.RTCPMux, ExtmapAllowMixed: m.ExtmapAllowMixed, Categories: slices.Clone(m.Content)}
	for i := range m.Codecs {
		if p, ok := l.codecToPayload(&m.Codecs[i], m); ok {
			d.PayloadTypes = append(d.PayloadTypes, p)
		}
	}
	for _, b := range m.Bandwidths {
		d.Bandwidths = append(d.Bandwidths, jingle.Bandwidth(b))
	}
	d.Feedback, d.TRRInt = feedbackToJingle(m.Feedback)
	for _, e := range m.Extensions {
		d.HeaderExtensions = append(d.HeaderExtensions, jingle.HeaderExtension{
			ID: e.ID, URI: e.URI, Senders: directionToSenders(e.Direction, author), Parameters: splitParameters(e.Attributes),
		})
	}
	for _, s := range m.SSRCs {
		v := jingle.Source{SSRC: s.ID}
		for _, a := range s.Attributes {
			if a.Value == "" { // COMPAT: Conversations throws on a parameter without value
				l.add("ssrc attribute " + a.Name)
				continue
			}
			v.Parameters = append(v.Parameters, jingle.Parameter(a))
		}
		if m.MSID != "" && !slices.ContainsFunc(v.Parameters, func(p jingle.Parameter) bool { return p.Name == "msid" }) {
			v.Parameters = append(v.Parameters, jingle.Parameter{Name: "msid", Value: m.MSID})
		}
		d.Sources = append(d.Sources, v)
	}
	for _, g := range m.SSRCGroups {
		d.SourceGroups = append(d.SourceGroups, jingle.SourceGroup{Semantics: g.Semantics, Sources: slices.Clone(g.IDs)})
	}
	if len(m.Cryptos) > 0 {
		d.Encryption = &jingle.Encryption{Required: m.Secure()}
		for _, c := range m.Cryptos {
			d.Encryption.Cryptos = append(d.Encryption.Cryptos, jingle.Crypto(c))
		}
	}
	if m.MSID != "" && len(m.SSRCs) == 0 {
		l.add("a=msid")
	}
	if m.RTCPRSize {
		l.add("a=rtcp-rsize")
	}
	for _, a := range m.Attributes {
		l.attribute(a.Name)
	}
	return d, l.list
}

func (l *losses) codecToPayload(c *sdp.Codec, m *sdp.Media) (jingle.PayloadType, bool) {
	if c.Name == "" {
		l.add("payload type " + strconv.Itoa(int(c.PayloadType)) + " without rtpmap")
		return jingle.PayloadType{}, false
	}
	p := jingle.PayloadType{ID: c.PayloadType, Name: c.Name, ClockRate: c.ClockRate, Channels: c.Channels}
	if !isAuxiliary(*c) {
		p.PTime, p.MaxPTime = uint32(max(m.PTime, 0)), uint32(max(m.MaxPTime, 0))
	}
	p.Parameters = l.formatToParameters(c)
	p.Feedback, p.TRRInt = feedbackToJingle(c.Feedback)
	return p, true
}

// formatToParameters reads fmtp for clients that build SDP from it again. COMPAT: Conversations ends the call over
// white space and over missing values, and writes a single parameter without name as it stands, which others write
// as "=0-15"; so the range of telephone events, which is the same when it is left out, is left out.
func (l *losses) formatToParameters(c *sdp.Codec) []jingle.Parameter {
	if IsEvents(*c) {
		return nil
	}
	params := c.Parameters()
	var list []jingle.Parameter
	for _, p := range params {
		if strings.ContainsAny(p.Name+p.Value, " \t") || p.Value == "" || p.Name == "" && len(params) > 1 {
			l.add("parameter " + p.Name + p.Value + " of payload type " + strconv.Itoa(int(c.PayloadType)))
			continue
		}
		list = append(list, jingle.Parameter(p))
	}
	return list
}

func feedbackToJingle(list []sdp.Feedback) (out []jingle.Feedback, trrInt *uint32) {
	for _, f := range list {
		if f.Type == "trr-int" {
			if n, err := strconv.ParseUint(f.Subtype, 10, 32); err == nil && trrInt == nil {
				v := uint32(n)
				trrInt = &v
			}
			continue
		}
		out = append(out, jingle.Feedback{Type: f.Type, Subtype: f.Subtype, Parameters: splitParameters(f.Parameter)})
	}
	return out, trrInt
}

// losses collects what is lost, each thing once.
type losses struct {
	where string // medium or content; may be empty
	list  []string
}

// maxLosses bounds the list: a hostile description has thousands of lines.
const maxLosses = 64

func (l *losses) add(what string) {
	if l.where != "" {
		what = l.where + ": " + what
	}
	if what = cleanLine(what, maxReason); len(l.list) < maxLosses && !slices.Contains(l.list, what) {
		l.list = append(l.list, what)
	}
}

func (l *losses) join(more []string) {
	for _, what := range more {
		if len(l.list) < maxLosses && !slices.Contains(l.list, what) {
			l.list = append(l.list, what)
		}
	}
}

// attribute names an SDP attribute that Jingle has no word for. Those that only describe, and mean nothing to a
// call, are left out in silence.
func (l *losses) attribute(name string) {
	switch strings.ToLower(name) {
	case "tool", "cat", "keywds", "type", "charset", "label", "msid-semantic", "sdplang", "lang", "silencesupp", "record", "rtcp-xr":
	default:
		l.add("a=" + name)
	}
}
