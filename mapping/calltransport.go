package mapping

import (
	"net/netip"
	"slices"
	"strconv"
	"strings"

	"github.com/stoxgate/stoxgate/jingle"
	"github.com/stoxgate/stoxgate/sip/sdp"
)

// RTP and RTCP as components of a transport (RFC 8839).
const (
	componentRTP  = 1
	componentRTCP = 2
	// discardPort stands where no port is known yet (RFC 8840 §4.1.1).
	discardPort = 9
)

// candidateTypes with their type preferences (RFC 8445 §5.1.2.2) and how good a default address they make:
// the more a stranger can reach it, the better (RFC 8839).
var candidateTypes = map[string]struct {
	preference uint32
	reach      int
}{"host": {126, 1}, "prflx": {110, 2}, "srflx": {100, 3}, "relay": {0, 4}}

// candidateToSDP translates a candidate of XEP-0176 or XEP-0177. ok is false for those that SIP peers can do
// nothing with: names of mDNS, TCP, unknown types. For missing values stand a foundation and the priority of the type,
// and 0.0.0.0 with port 9 as the base of what is no host candidate (RFC 8839 §5.1).
func candidateToSDP(c jingle.Candidate) (sdp.Candidate, bool) {
	out := sdp.Candidate{
		Foundation: iceWord(c.Foundation), Component: uint16(max(c.Component, 1)), Protocol: or(strings.ToLower(c.Protocol), "udp"),
		Priority: c.Priority, Address: strings.Trim(c.IP, "[] "), Port: c.Port, Type: or(strings.ToLower(c.Type), "host"),
	}
	kind, known := candidateTypes[out.Type]
	if addr, err := netip.ParseAddr(out.Address); err != nil || addr.Zone() != "" || !known || out.Protocol != "udp" || out.Port == 0 {
		return sdp.Candidate{}, false
	}
	if out.Foundation == "" {
		out.Foundation = strconv.Itoa(kind.reach) // one for each type, as RFC 8445 §5.1.1.3 wants at least
	}
	if out.Priority == 0 {
		out.Priority = kind.preference<<24 | 65535<<8 | (256 - uint32(out.Component))
	}
	if out.Type != "host" {
		out.RelAddr, out.RelPort = or(strings.Trim(c.RelAddr, "[] "), "0.0.0.0"), c.RelPort
		if out.RelPort == 0 {
			out.RelPort = discardPort
		}
	}
	out.Extensions = append(out.Extensions, sdp.Parameter{Name: "generation", Value: strconv.FormatUint(uint64(c.Generation), 10)})
	if c.Network != 0 {
		out.Extensions = append(out.Extensions, sdp.Parameter{Name: "network", Value: strconv.FormatUint(uint64(c.Network), 10)})
	}
	return out, true
}

// iceWord keeps the ice-chars of a foundation, 32 at most (RFC 8839 §5.1).
func iceWord(s string) string {
	s = strings.Map(func(c rune) rune {
		if 'a' <= c && c <= 'z' || 'A' <= c && c <= 'Z' || '0' <= c && c <= '9' || c == '+' || c == '/' {
			return c
		}
		return -1
	}, s)
	return s[:min(len(s), 32)]
}

// candidateToJingle translates an a=candidate line to XEP-0176. ok is false for TCP, for names, and for components
// other than RTP and RTCP. The id is made of what the candidate is, so that the same candidate has the same id; it
// begins with a letter, since an NCName may not begin with a digit.
func candidateToJingle(c sdp.Candidate) (jingle.Candidate, bool) {
	out := jingle.Candidate{
		Component: uint8(min(c.Component, 255)), Foundation: c.Foundation, IP: c.Address, Port: c.Port, Priority: c.Priority,
		Protocol: strings.ToLower(c.Protocol), Type: strings.ToLower(c.Type),
	}
	if _, known := candidateTypes[out.Type]; !known || out.Protocol != "udp" || out.Component == 0 || out.Component > componentRTCP || out.Port == 0 {
		return jingle.Candidate{}, false
	}
	if _, err := netip.ParseAddr(out.IP); err != nil {
		return jingle.Candidate{}, false
	}
	if out.Type != "host" && c.RelAddr != "" {
		out.RelAddr, out.RelPort = c.RelAddr, c.RelPort
	}
	out.Generation = extensionNumber(c, "generation")
	if out.Network = extensionNumber(c, "network"); out.Network == 0 {
		out.Network = extensionNumber(c, "network-id")
	}
	key := strings.Join([]string{c.Foundation, strconv.Itoa(int(c.Component)), out.Type, c.Address, strconv.Itoa(int(c.Port)), strconv.Itoa(int(out.Generation))}, " ")
	out.ID = string(appendHash([]byte{'c'}, fnv(fnvStart, key), 10))
	return out, true
}

func extensionNumber(c sdp.Candidate, name string) uint32 {
	n, err := strconv.ParseUint(c.Extension(name), 10, 32)
	if err != nil {
		return 0
	}
	return uint32(n)
}

// TransportToMedia writes a transport into a medium: credentials, fingerprints, role and candidates, and as address
// the default candidate, which is the one that can be reached from farthest. Without one it is 0.0.0.0 and port 9,
// which with ICE says that candidates are still to come (RFC 8840 §4.1.1). It sets the protocol too.
func TransportToMedia(t *jingle.Transport, m *sdp.Media) []string {
	l := losses{where: m.Kind}
	var best [componentRTCP + 1]*sdp.Candidate
	list := make([]sdp.Candidate, 0, len(t.Candidates))
	for _, c := range t.Candidates {
		v, ok := candidateToSDP(c)
		if !ok {
			l.add("candidate " + c.IP)
			continue
		}
		list = append(list, v)
	}
	for i := range list {
		if c := &list[i]; c.Component <= componentRTCP && better(c, best[c.Component]) {
			best[c.Component] = c
		}
	}
	m.Connection, m.Port, m.RTCP = &sdp.Connection{Address: "0.0.0.0"}, discardPort, nil
	if c := best[componentRTP]; c != nil {
		m.Connection, m.Port = &sdp.Connection{Address: c.Address}, int(c.Port)
	}
	if c := best[componentRTCP]; c != nil && !m.RTCPMux && (int(c.Port) != m.Port+1 || c.Address != m.Connection.Address) {
		m.RTCP = &sdp.RTCP{Port: int(c.Port)}
		if c.Address != m.Connection.Address {
			m.RTCP.Connection = &sdp.Connection{Address: c.Address}
		}
	}
	if t.Kind == jingle.TransportICE {
		m.ICE.Ufrag, m.ICE.Pwd, m.Candidates = iceText(t.Ufrag), iceText(t.Pwd), list
		for _, c := range t.RemoteCandidates {
			m.RemoteCandidates = append(m.RemoteCandidates, sdp.RemoteCandidate{Component: uint16(c.Component), Address: c.IP, Port: c.Port})
		}
		for _, f := range t.Fingerprints {
			m.Fingerprints = append(m.Fingerprints, fingerprintToSDP(f))
			if m.Setup == "" {
				m.Setup = sdp.Setup(f.Setup)
			}
		}
	}
	for _, e := range t.Other {
		l.add("element " + e.Name.Local)
	}
	m.Protocol = profile(m)
	return l.list
}

// better reports whether a makes a better default than b: reach first, then IPv4, which more phones speak, then
// priority.
func better(a, b *sdp.Candidate) bool {
	if b == nil {
		return true
	}
	if x, y := candidateTypes[a.Type].reach, candidateTypes[b.Type].reach; x != y {
		return x > y
	}
	if x, y := strings.Contains(a.Address, ":"), strings.Contains(b.Address, ":"); x != y {
		return y
	}
	return a.Priority > b.Priority
}

// iceText is a credential without white space, which pretty-printers and people add.
func iceText(s string) string { return strings.Join(strings.Fields(s), "") }

// fingerprintToSDP writes hash names in lower case and bytes in upper case (RFC 8122 §5).
func fingerprintToSDP(f jingle.Fingerprint) sdp.Fingerprint {
	return sdp.Fingerprint{Hash: strings.ToLower(f.Hash), Value: strings.ToUpper(iceText(f.Value))}
}

// fingerprintToJingle is the element for an a=fingerprint line with the a=setup of its medium (XEP-0320 §2). The
// role holdconn has no counterpart.
func fingerprintToJingle(f sdp.Fingerprint, s sdp.Setup) jingle.Fingerprint {
	if s == sdp.SetupHoldconn {
		s = ""
	}
	return jingle.Fingerprint{Hash: strings.ToLower(f.Hash), Setup: string(s), Value: strings.ToUpper(iceText(f.Value))}
}

// MediaToTransport reads the transport of an effective medium: ICE when it has credentials, else raw UDP with its
// address, which is the zero transport when it has none either.
func MediaToTransport(m *sdp.Media) (*jingle.Transport, []string) {
	l := losses{where: m.Kind}
	t := &jingle.Transport{Kind: jingle.TransportRawUDP}
	if m.ICE.Ufrag == "" {
		for i, a := range []netip.AddrPort{m.Address(), m.RTCPAddress()} {
			if a.IsValid() && !(i == 1 && m.RTCPMux) {
				t.Candidates = append(t.Candidates, jingle.Candidate{
					Component: uint8(i + 1), ID: string(appendHash([]byte{'c'}, fnv(fnvStart, strconv.Itoa(i)+a.String()), 10)),
					IP: a.Addr().String(), Port: a.Port(), Type: "host",
				})
			}
		}
		if len(m.Fingerprints) > 0 {
			l.add("a=fingerprint without ICE")
		}
		return t, l.list
	}
	t.Kind, t.Ufrag, t.Pwd = jingle.TransportICE, m.ICE.Ufrag, m.ICE.Pwd
	for _, c := range m.Candidates {
		v, ok := candidateToJingle(c)
		switch {
		case !ok:
			l.add("candidate " + c.Protocol + " " + c.Address)
		case slices.ContainsFunc(t.Candidates, func(o jingle.Candidate) bool { return o.ID == v.ID }):
		default:
			t.Candidates = append(t.Candidates, v)
		}
	}
	for _, c := range m.RemoteCandidates {
		t.RemoteCandidates = append(t.RemoteCandidates, jingle.Candidate{Component: uint8(min(c.Component, 255)), IP: c.Address, Port: c.Port})
	}
	for _, f := range m.Fingerprints {
		t.Fingerprints = append(t.Fingerprints, fingerprintToJingle(f, m.Setup))
	}
	return t, l.list
}
