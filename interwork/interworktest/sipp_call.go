package interworktest

import (
	"cmp"
	"strconv"
	"strings"
)

// mediaArgs has SIPp send every RTP packet back to where it came from, and its
// scenarios name a codec.
func mediaArgs(t TB, codec string) []string {
	codec = cmp.Or(codec, CodecPCMA)
	formats := map[string]string{CodecPCMU: "0", CodecPCMA: "8", CodecG722: "9", CodecOpus: "111"}
	encoding := strings.TrimSuffix(codec, "/1")
	if codec == CodecG722 {
		encoding = "G722/8000" // RFC 3551 §4.5.2: a mistake that stays
	}
	return []string{
		"-mi", "127.0.0.1", "-mp", strconv.Itoa(FreePorts(t, 4)), "-rtp_echo",
		"-key", "format", formats[codec], "-key", "encoding", encoding,
	}
}

// CallPhone registers a phone made of SIPp that treats calls as one of the
// server scenarios says; the options may have Status, Talk and Codec.
func (r *Rig) CallPhone(name, scenario string, o SIPpOptions) *SIPp {
	r.t.Helper()
	o.Scenario, o.OutOfCall = Register, scenario
	o.Remote, o.User, o.Calls, o.Stay = r.Gateway.SIPAddress(), name, 1, stay
	o.Keys = map[string]string{"aor": r.URI(name), "domain": r.Gateway.Domain(), "expires": "600"}
	p := StartSIPp(r.t, o)
	if m := p.Final("REGISTER"); m.Status() != 200 {
		r.t.Fatalf("interworktest: %s can't register: %v", name, m)
	}
	return p
}

// SIPpCalls has a phone made of SIPp call a URI, with the digest of an identity,
// as one of the client scenarios says.
func (r *Rig) SIPpCalls(name, to, scenario string, o SIPpOptions) *SIPp {
	r.t.Helper()
	o.Scenario, o.Remote, o.User, o.Calls, o.Rate = scenario, r.Gateway.SIPAddress(), name, 1, 1
	o.Keys = map[string]string{"to": to, "from": r.URI(name)}
	return StartSIPp(r.t, o)
}
