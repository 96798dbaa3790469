package sdp

import (
	"bytes"
	"fmt"
	"net/netip"
	"strconv"
	"strings"
	"unicode/utf8"
)

// Parse reads a session description as tolerantly as the package comment says. The errors are ErrSyntax and
// ErrTooLarge. Bytes that are no UTF-8 become U+FFFD, and control characters blanks, so that whoever writes a part of
// it into another protocol need not look for them.
func Parse(b []byte) (*Description, error) {
	if len(b) > MaxSize {
		return nil, fmt.Errorf("%w: %d bytes", ErrTooLarge, len(b))
	}
	b = bytes.TrimPrefix(b, []byte("\xef\xbb\xbf"))
	text := string(b)
	if !utf8.ValidString(text) {
		text = strings.ToValidUTF8(text, "\uFFFD")
	}
	text = strings.Map(visible, text)
	p := parser{d: &Description{}}
	for text != "" {
		var line string
		if i := strings.IndexAny(text, "\r\n"); i >= 0 {
			line, text = text[:i], text[i+1:]
		} else {
			line, text = text, ""
		}
		kind, value, ok := split(line)
		if !ok {
			if !p.begun && strings.TrimSpace(line) != "" {
				return nil, fmt.Errorf("%w: it starts with %.32q", ErrSyntax, line)
			}
			continue // blank lines and folded remains of broken ones
		}
		p.begun = true
		if err := p.line(kind, value); err != nil {
			return nil, err
		}
	}
	if !p.begun {
		return nil, fmt.Errorf("%w: empty", ErrSyntax)
	}
	p.finish()
	return p.d, nil
}

func visible(c rune) rune {
	switch {
	case c == '\r' || c == '\n':
		return c
	case c < ' ', c >= 0x7f && c < 0xa0, c == 0xfffe, c == 0xffff:
		return ' '
	}
	return c
}

// split takes a line apart. Blanks around the type, the equal sign and the value are dropped.
func split(line string) (kind byte, value string, ok bool) {
	name, value, ok := strings.Cut(line, "=")
	if name = strings.TrimSpace(name); !ok || len(name) != 1 {
		return 0, "", false
	}
	kind = name[0] | 0x20 // lower case
	return kind, strings.TrimSpace(value), 'a' <= kind && kind <= 'z'
}

type parser struct {
	d       *Description
	m       *Media // the one that is being read; nil before the first m= line
	begun   bool
	mapped  [128]bool   // payload types of m that have an rtpmap
	late    []Attribute // rtpmap, fmtp and rtcp-fb of m, applied when all of them are known
	session []Attribute // ptime and maxptime at session level, where they hold for every medium
}

func (p *parser) line(kind byte, value string) error {
	switch kind {
	case 'v':
		if value != "0" {
			return fmt.Errorf("%w: version %.16q", ErrSyntax, value)
		}
	case 'o':
		p.d.Origin = parseOrigin(value)
	case 's':
		if p.m == nil && value != "-" {
			p.d.Name = value
		}
	case 'c':
		c, err := parseConnection(value)
		if err != nil {
			return err
		}
		if p.m != nil {
			p.m.Connection = c
		} else {
			p.d.Connection = c
		}
	case 'b':
		p.bandwidth(value)
	case 'm':
		return p.media(value)
	case 'a':
		name, value, _ := strings.Cut(value, ":")
		a := Attribute{strings.TrimSpace(name), strings.TrimSpace(value)}
		switch {
		case a.Name == "":
		case p.m != nil:
			p.mediaAttribute(a)
		default:
			p.sessionAttribute(a)
		}
	}
	return nil
}

// parseOrigin reads what it can of an o= line. It names no place that media go to, so that nothing in it is worth
// an error; numbers beyond 64 bits are taken modulo.
func parseOrigin(value string) (o Origin) {
	f := strings.Fields(value)
	if len(f) > 0 && f[0] != "-" {
		o.Username = f[0]
	}
	if len(f) > 1 {
		o.SessionID = number(f[1])
	}
	if len(f) > 2 {
		o.Version = number(f[2])
	}
	if len(f) > 5 {
		o.Address = f[5]
	}
	return o
}

func number(s string) (n uint64) {
	for i := 0; i < len(s) && '0' <= s[i] && s[i] <= '9'; i++ {
		n = n*10 + uint64(s[i]-'0')
	}
	return n
}

func parseConnection(value string) (*Connection, error) {
	f := strings.Fields(value)
	if len(f) == 1 { // COMPAT: some SIP testers write the address alone
		if _, err := netip.ParseAddr(f[0]); err == nil {
			return &Connection{Address: f[0]}, nil
		}
	}
	if len(f) < 3 || !strings.EqualFold(f[0], "IN") {
		return nil, fmt.Errorf("%w: c=%.64s", ErrSyntax, value)
	}
	address, _, _ := strings.Cut(f[2], "/")
	if address = strings.Trim(address, "[]"); address == "" {
		return nil, fmt.Errorf("%w: c=%.64s", ErrSyntax, value)
	}
	return &Connection{Address: address}, nil
}

func (p *parser) bandwidth(value string) {
	kind, amount, ok := strings.Cut(value, ":")
	kind, amount = strings.TrimSpace(kind), strings.TrimSpace(amount)
	if !ok || kind == "" || amount == "" || strings.ContainsAny(kind+amount, " \t") {
		return
	}
	list := &p.d.Bandwidths
	if p.m != nil {
		list = &p.m.Bandwidths
	}
	push(list, Bandwidth{kind, amount})
}

// media begins a medium: "m=audio 49170/2 RTP/AVP 0 8 101".
func (p *parser) media(value string) error {
	p.finishMedia()
	if len(p.d.Media) == MaxMedia {
		return fmt.Errorf("%w: more than %d media", ErrTooLarge, MaxMedia)
	}
	f := strings.Fields(value)
	if len(f) < 3 {
		return fmt.Errorf("%w: m=%.64s", ErrSyntax, value)
	}
	port, ports, _ := strings.Cut(f[1], "/")
	n, err := strconv.ParseUint(port, 10, 16)
	if err != nil {
		return fmt.Errorf("%w: port in m=%.64s", ErrSyntax, value)
	}
	m := Media{Kind: strings.ToLower(f[0]), Port: int(n), Protocol: f[2]}
	if upper := strings.ToUpper(f[2]); isRTP(upper) {
		m.Protocol = upper
	}
	if n, err := strconv.ParseUint(ports, 10, 16); err == nil && n > 1 {
		m.Ports = int(n)
	}
	var seen [128]bool
	for _, format := range f[3:] {
		if !isRTP(m.Protocol) {
			if len(m.Formats) < maxFormats && format != "*" {
				m.Formats = append(m.Formats, format)
			}
			continue
		}
		if pt, ok := payloadType(strings.Trim(format, ",")); ok && !seen[pt] {
			seen[pt] = true
			m.Codecs = append(m.Codecs, Codec{PayloadType: pt})
		}
	}
	p.d.Media = append(p.d.Media, m)
	p.m = &p.d.Media[len(p.d.Media)-1]
	return nil
}

func payloadType(s string) (uint8, bool) {
	n, err := strconv.ParseUint(s, 10, 8)
	return uint8(n), err == nil && n < 128
}

// finish closes the last medium and hands down what some phones say at session level.
func (p *parser) finish() {
	p.finishMedia()
	for _, a := range p.session {
		for i := range p.d.Media {
			m := &p.d.Media[i]
			switch n := int(number(a.Value)); {
			case !m.IsRTP():
			case a.Name == "ptime" && m.PTime == 0:
				m.PTime = packetTime(n)
			case a.Name == "maxptime" && m.MaxPTime == 0:
				m.MaxPTime = packetTime(n)
			}
		}
	}
}

// finishMedia applies rtpmap, fmtp and rtcp-fb, which some phones write before and some after each other.
func (p *parser) finishMedia() {
	if p.m == nil {
		return
	}
	for i := range p.m.Codecs {
		c := &p.m.Codecs[i]
		if s, ok := StaticCodec(c.PayloadType); ok {
			*c = s
		}
	}
	for _, a := range p.late {
		p.codecAttribute(a)
	}
	for i := range p.m.Codecs {
		if c := &p.m.Codecs[i]; c.Name == "" && isEvents(c.Format) {
			c.Name, c.ClockRate = "telephone-event", 8000
		}
	}
	p.late, p.mapped = p.late[:0], [128]bool{}
}

// isEvents reports whether fmtp text lists telephone events as "0-15,66".
// COMPAT: some phones leave out the rtpmap and mean just that.
func isEvents(format string) bool {
	return strings.HasPrefix(format, "0-1") && strings.Trim(format, "0123456789-,") == ""
}

// codecAttribute applies an attribute that begins with a payload type; those of types that the m= line does not
// have are skipped.
func (p *parser) codecAttribute(a Attribute) {
	head, rest := word(a.Value)
	if head == "*" {
		if f, ok := parseFeedback(rest); ok && a.Name == "rtcp-fb" {
			push(&p.m.Feedback, f)
		}
		return
	}
	pt, ok := payloadType(head)
	if !ok || rest == "" {
		return
	}
	for i := range p.m.Codecs {
		c := &p.m.Codecs[i]
		if c.PayloadType != pt {
			continue
		}
		switch a.Name {
		case "rtpmap":
			if !p.mapped[pt] {
				p.mapped[pt] = parseMap(c, rest)
			}
		case "fmtp":
			if c.Format == "" {
				c.Format = rest
			} else if len(c.Format)+len(rest) < 4096 {
				c.Format = strings.TrimRight(c.Format, "; ") + ";" + rest
			}
		case "rtcp-fb":
			if f, ok := parseFeedback(rest); ok {
				push(&c.Feedback, f)
			}
		}
		return
	}
}

// parseMap reads "opus/48000/2". A missing or absurd clock rate is that of the static type, or 8000.
func parseMap(c *Codec, value string) bool {
	name, rest, _ := strings.Cut(value, "/")
	if name = strings.TrimSpace(name); name == "" || strings.ContainsAny(name, " \t") {
		return false
	}
	rate, channels, _ := strings.Cut(rest, "/")
	c.Name, c.Channels = name, 0
	if n := number(strings.TrimSpace(rate)); n > 0 && n <= 1<<32-1 {
		c.ClockRate = uint32(n)
	} else if c.ClockRate == 0 {
		c.ClockRate = 8000
	}
	if c.PayloadType == 9 && c.Is("G722", 16000) {
		c.ClockRate = 8000 // COMPAT: phones that write its sampling rate mean the only G722 there is (RFC 3551 §4.5.2)
	}
	if n := number(strings.TrimSpace(channels)); n > 0 && n < 256 {
		c.Channels = uint8(n)
	}
	if c.Channels == 1 {
		c.Channels = 0
	}
	return true
}

func parseFeedback(value string) (Feedback, bool) {
	var f Feedback
	var rest string
	f.Type, rest = word(value)
	f.Subtype, f.Parameter = word(rest)
	return f, f.Type != ""
}

// word splits at the first run of blanks.
func word(s string) (head, rest string) {
	s = strings.TrimLeft(s, " \t")
	if i := strings.IndexAny(s, " \t"); i >= 0 {
		return s[:i], strings.TrimSpace(s[i:])
	}
	return s, ""
}

// push appends unless the list is full.
func push[T any](list *[]T, v T) {
	if len(*list) < maxEach {
		*list = append(*list, v)
	}
}
