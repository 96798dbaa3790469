package sdp

import (
	"slices"
	"strings"
)

// static are the payload types with a fixed meaning (RFC 3551 §6). G722 counts 8000 although it samples at 16000.
var static = [35]Codec{
	0: {Name: "PCMU", ClockRate: 8000}, 3: {Name: "GSM", ClockRate: 8000}, 4: {Name: "G723", ClockRate: 8000},
	5: {Name: "DVI4", ClockRate: 8000}, 6: {Name: "DVI4", ClockRate: 16000}, 7: {Name: "LPC", ClockRate: 8000},
	8: {Name: "PCMA", ClockRate: 8000}, 9: {Name: "G722", ClockRate: 8000}, 10: {Name: "L16", ClockRate: 44100, Channels: 2},
	11: {Name: "L16", ClockRate: 44100}, 12: {Name: "QCELP", ClockRate: 8000}, 13: {Name: "CN", ClockRate: 8000},
	14: {Name: "MPA", ClockRate: 90000}, 15: {Name: "G728", ClockRate: 8000}, 16: {Name: "DVI4", ClockRate: 11025},
	17: {Name: "DVI4", ClockRate: 22050}, 18: {Name: "G729", ClockRate: 8000}, 25: {Name: "CelB", ClockRate: 90000},
	26: {Name: "JPEG", ClockRate: 90000}, 28: {Name: "nv", ClockRate: 90000}, 31: {Name: "H261", ClockRate: 90000},
	32: {Name: "MPV", ClockRate: 90000}, 33: {Name: "MP2T", ClockRate: 90000}, 34: {Name: "H263", ClockRate: 90000},
}

// StaticCodec is the codec that RFC 3551 §6 ties to a payload type.
func StaticCodec(payloadType uint8) (Codec, bool) {
	if int(payloadType) >= len(static) || static[payloadType].Name == "" {
		return Codec{}, false
	}
	c := static[payloadType]
	c.PayloadType = payloadType
	return c, true
}

// Is reports whether the codec has this name and clock rate in Hz; names are compared without case.
func (c *Codec) Is(name string, clockRate uint32) bool {
	return c.ClockRate == clockRate && strings.EqualFold(c.Name, name)
}

// Parameters reads the fmtp text: parts between semicolons, name and value at the first "=", blanks around both
// dropped. A part without "=" is a value without name.
func (c *Codec) Parameters() []Parameter {
	var list []Parameter
	for part := range strings.SplitSeq(c.Format, ";") {
		if part = strings.TrimSpace(part); part == "" {
			continue
		}
		name, value, ok := strings.Cut(part, "=")
		if !ok {
			name, value = "", part
		}
		list = append(list, Parameter{strings.TrimSpace(name), strings.TrimSpace(value)})
	}
	return list
}

// Parameter is the value of the first fmtp parameter of this name, compared without case since phones vary it.
func (c *Codec) Parameter(name string) (string, bool) {
	for _, p := range c.Parameters() {
		if strings.EqualFold(p.Name, name) {
			return p.Value, true
		}
	}
	return "", false
}

// FormatParameters writes fmtp text, the reverse of Parameters.
func FormatParameters(list []Parameter) string {
	var b strings.Builder
	for _, p := range list {
		if p.Name == "" && p.Value == "" {
			continue
		}
		if b.Len() > 0 {
			b.WriteByte(';')
		}
		b.WriteString(p.Name)
		if p.Name != "" {
			b.WriteByte('=')
		}
		b.WriteString(p.Value)
	}
	return b.String()
}

// Codec finds a payload type.
func (m *Media) Codec(payloadType uint8) (Codec, bool) {
	if i := slices.IndexFunc(m.Codecs, func(c Codec) bool { return c.PayloadType == payloadType }); i >= 0 {
		return m.Codecs[i], true
	}
	return Codec{}, false
}
