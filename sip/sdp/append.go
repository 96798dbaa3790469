package sdp

import (
	"net/netip"
	"strconv"
	"strings"
)

// String is the text of the description.
func (d *Description) String() string { return string(d.Append(nil)) }

// Append writes the description with lines ended by CRLF and returns the extended buffer. The same value gives the
// same bytes.
func (d *Description) Append(dst []byte) []byte {
	w := writer{b: dst}
	o := d.Origin
	w.line("v=0")
	w.begin("o=").word(or(o.Username, "-")).uint(o.SessionID).uint(o.Version).address(or(o.Address, "0.0.0.0")).end()
	w.begin("s=").text(or(strings.TrimSpace(d.Name), "-")).end()
	w.content(d)
	return w.b
}

// content writes everything after the s= line: what a refresh leaves as it is.
func (w *writer) content(d *Description) {
	w.connection(d.Connection)
	w.bandwidths(d.Bandwidths)
	w.line("t=0 0")
	for _, g := range d.Groups {
		w.begin("a=group:").word(g.Semantics).words(g.MIDs).end()
	}
	if d.ICE.Lite {
		w.line("a=ice-lite")
	}
	w.ice(d.ICE)
	w.keys(d.Fingerprints, d.Setup)
	w.direction(d.Direction)
	w.flag(d.ExtmapAllowMixed, "extmap-allow-mixed")
	w.attributes(d.Attributes)
	for i := range d.Media {
		w.media(&d.Media[i])
	}
}

func (w *writer) media(m *Media) {
	w.begin("m=").word(or(m.Kind, "audio"))
	if w.int(m.Port); m.Ports > 1 {
		w.glue('/').int(m.Ports)
	}
	w.word(or(m.Protocol, "RTP/AVP"))
	rtp := isRTP(or(m.Protocol, "RTP/AVP"))
	switch {
	case rtp && len(m.Codecs) == 0:
		w.word("0") // a refused medium may have lost its formats; the line needs one
	case rtp:
		for _, c := range m.Codecs {
			w.int(int(c.PayloadType))
		}
	case len(m.Formats) == 0:
		w.word("*")
	default:
		w.words(m.Formats)
	}
	w.end()
	w.connection(m.Connection)
	w.bandwidths(m.Bandwidths)
	w.pair("mid", m.MID)
	if rtp {
		w.codecs(m)
	}
	if len(m.Content) > 0 {
		w.begin("a=content:").word(strings.Join(m.Content, ",")).end()
	}
	w.direction(m.Direction)
	if m.MSID != "" {
		w.begin("a=msid:").text(m.MSID).end()
	}
	w.flag(m.BundleOnly, "bundle-only")
	w.rtcp(m)
	for _, c := range m.Cryptos {
		w.begin("a=crypto:").word(c.Tag).word(c.Suite).word(c.KeyParams).rest(c.SessionParams).end()
	}
	w.ice(m.ICE)
	w.keys(m.Fingerprints, m.Setup)
	w.candidates(m)
	w.sources(m)
	w.attributes(m.Attributes)
}

func (w *writer) codecs(m *Media) {
	for _, c := range m.Codecs {
		if c.Name == "" {
			continue
		}
		w.begin("a=rtpmap:").int(int(c.PayloadType)).word(c.Name)
		if w.glue('/').uint(uint64(c.ClockRate)); c.Channels > 1 {
			w.glue('/').uint(uint64(c.Channels))
		}
		w.end()
	}
	for _, c := range m.Codecs {
		if c.Format != "" {
			w.begin("a=fmtp:").int(int(c.PayloadType)).rest(c.Format).end()
		}
	}
	for _, f := range m.Feedback {
		w.begin("a=rtcp-fb:").word("*").feedback(f).end()
	}
	for _, c := range m.Codecs {
		for _, f := range c.Feedback {
			w.begin("a=rtcp-fb:").int(int(c.PayloadType)).feedback(f).end()
		}
	}
	if m.PTime > 0 {
		w.begin("a=ptime:").int(m.PTime).end()
	}
	if m.MaxPTime > 0 {
		w.begin("a=maxptime:").int(m.MaxPTime).end()
	}
	w.flag(m.ExtmapAllowMixed, "extmap-allow-mixed")
	for _, e := range m.Extensions {
		w.begin("a=extmap:").int(int(e.ID))
		if e.Direction != "" {
			w.glue('/').word(string(e.Direction))
		}
		w.word(e.URI).rest(e.Attributes).end()
	}
}

func (w *writer) feedback(f Feedback) *writer {
	w.word(f.Type)
	if f.Subtype != "" {
		w.word(f.Subtype)
	}
	return w.rest(f.Parameter)
}

func (w *writer) rtcp(m *Media) {
	if r := m.RTCP; r != nil {
		w.begin("a=rtcp:").int(r.Port)
		if r.Connection != nil {
			w.address(r.Connection.Address)
		}
		w.end()
	}
	w.flag(m.RTCPMux, "rtcp-mux")
	w.flag(m.RTCPMuxOnly, "rtcp-mux-only")
	w.flag(m.RTCPRSize, "rtcp-rsize")
}

func (w *writer) ice(i ICE) {
	w.pair("ice-ufrag", i.Ufrag)
	w.pair("ice-pwd", i.Pwd)
	if len(i.Options) > 0 {
		w.begin("a=ice-options:").words(i.Options).end()
	}
}

func (w *writer) keys(list []Fingerprint, s Setup) {
	for _, f := range list {
		w.begin("a=fingerprint:").word(f.Hash).word(f.Value).end()
	}
	w.pair("setup", string(s))
}

func (w *writer) candidates(m *Media) {
	for i := range m.Candidates {
		c := &m.Candidates[i]
		w.begin("a=candidate:").word(c.Foundation).int(int(c.Component)).word(c.Protocol).uint(uint64(c.Priority))
		w.word(c.Address).int(int(c.Port)).word("typ").word(c.Type)
		if c.RelAddr != "" {
			w.word("raddr").word(c.RelAddr).word("rport").int(int(c.RelPort))
		}
		for _, p := range c.Extensions {
			w.word(p.Name).word(p.Value)
		}
		w.end()
	}
	if len(m.RemoteCandidates) > 0 {
		w.begin("a=remote-candidates:")
		for _, c := range m.RemoteCandidates {
			w.int(int(c.Component)).word(c.Address).int(int(c.Port))
		}
		w.end()
	}
	w.flag(m.EndOfCandidates, "end-of-candidates")
}

func (w *writer) sources(m *Media) {
	for _, g := range m.SSRCGroups {
		w.begin("a=ssrc-group:").word(g.Semantics)
		for _, id := range g.IDs {
			w.uint(uint64(id))
		}
		w.end()
	}
	for _, s := range m.SSRCs {
		for _, a := range s.Attributes {
			w.begin("a=ssrc:").uint(uint64(s.ID)).attribute(a).end()
		}
	}
}

func (w *writer) attributes(list []Attribute) {
	for _, a := range list {
		w.begin("a=").attribute(a).end()
	}
}

func (w *writer) connection(c *Connection) {
	if c != nil {
		w.begin("c=").address(or(c.Address, "0.0.0.0")).end()
	}
}

func (w *writer) bandwidths(list []Bandwidth) {
	for _, b := range list {
		w.begin("b=").word(plain(b.Type)).glue(':').word(b.Value).end()
	}
}

func (w *writer) direction(d Direction) {
	if d != "" {
		w.begin("a=").word(string(d)).end()
	}
}

// A writer builds lines. fresh is set while the next word needs no space before it.
type writer struct {
	b     []byte
	fresh bool
}

func (w *writer) line(s string) { w.b = append(append(w.b, s...), "\r\n"...) }

func (w *writer) begin(s string) *writer {
	w.b, w.fresh = append(w.b, s...), true
	return w
}

func (w *writer) end() { w.b = append(w.b, "\r\n"...) }

// glue writes a character that belongs to the word before and the word after it.
func (w *writer) glue(c byte) *writer {
	w.b, w.fresh = append(w.b, c), true
	return w
}

func (w *writer) attribute(a Attribute) *writer {
	if w.word(plain(a.Name)); a.Value != "" {
		w.glue(':').text(a.Value)
	}
	return w
}

// plain is a name without the colon, which would end it.
func plain(name string) string { return strings.ReplaceAll(name, ":", "") }

func (w *writer) space() {
	if !w.fresh {
		w.b = append(w.b, ' ')
	}
	w.fresh = false
}

// word writes one field, without the characters that would end it. An empty one is written "-", so that those
// after it keep their places.
func (w *writer) word(s string) *writer {
	w.space()
	n := len(w.b)
	for i := 0; i < len(s); i++ {
		if s[i] > ' ' && s[i] != 0x7f {
			w.b = append(w.b, s[i])
		}
	}
	if len(w.b) == n {
		w.b = append(w.b, '-')
	}
	return w
}

func (w *writer) words(list []string) *writer {
	for _, s := range list {
		w.word(s)
	}
	return w
}

// text writes a value to the end of the line, without the characters that would end it.
func (w *writer) text(s string) *writer {
	w.space()
	for i := 0; i < len(s); i++ {
		if c := s[i]; c != '\r' && c != '\n' && c != 0 {
			w.b = append(w.b, c)
		}
	}
	return w
}

// rest is text that may be missing.
func (w *writer) rest(s string) *writer {
	if s == "" {
		return w
	}
	return w.text(s)
}

func (w *writer) int(n int) *writer {
	w.space()
	w.b = strconv.AppendInt(w.b, int64(n), 10)
	return w
}

func (w *writer) uint(n uint64) *writer {
	w.space()
	w.b = strconv.AppendUint(w.b, n, 10)
	return w
}

// address writes network type, address type and address. A domain name counts as IPv4.
func (w *writer) address(s string) *writer {
	kind := "IP4"
	if a, err := netip.ParseAddr(s); err == nil && a.Is6() {
		kind = "IP6"
	}
	return w.word("IN").word(kind).word(s)
}

func (w *writer) flag(set bool, name string) {
	if set {
		w.begin("a=").word(name).end()
	}
}

func (w *writer) pair(name, value string) {
	if value != "" {
		w.begin("a=" + name + ":").word(value).end()
	}
}

func or(s, fallback string) string {
	if s == "" {
		return fallback
	}
	return s
}
