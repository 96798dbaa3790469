package sdp

import (
	"slices"
	"strconv"
	"strings"
)

// sessionAttribute takes an a= line before the first m= line.
func (p *parser) sessionAttribute(a Attribute) {
	d := p.d
	switch name := strings.ToLower(a.Name); name {
	case "sendrecv", "sendonly", "recvonly", "inactive":
		d.Direction = Direction(name)
	case "group":
		if f := strings.Fields(a.Value); len(f) > 0 {
			push(&d.Groups, Group{Semantics: f[0], MIDs: f[1:len(f):len(f)]})
		}
	case "extmap-allow-mixed":
		d.ExtmapAllowMixed = true
	case "ptime", "maxptime":
		p.session = append(p.session, Attribute{name, a.Value})
	default:
		if !security(name, a.Value, &d.ICE, &d.Fingerprints, &d.Setup) {
			push(&d.Attributes, a)
		}
	}
}

// security takes what stands at either level.
func security(name, value string, ice *ICE, keys *[]Fingerprint, setup *Setup) bool {
	switch name {
	case "ice-ufrag":
		ice.Ufrag, _ = word(value)
	case "ice-pwd":
		ice.Pwd, _ = word(value)
	case "ice-lite":
		ice.Lite = true
	case "ice-options":
		ice.Options = strings.Fields(value)
		ice.Options = ice.Options[:min(len(ice.Options), maxEach)]
	case "fingerprint":
		hash, sum := word(value)
		if sum = strings.ToUpper(sum); sum == "" || strings.ContainsAny(sum, " \t") {
			return false
		}
		if f := (Fingerprint{strings.ToLower(hash), sum}); !slices.Contains(*keys, f) {
			push(keys, f)
		}
	case "setup":
		switch s := Setup(strings.ToLower(value)); s {
		case SetupActive, SetupPassive, SetupActpass, SetupHoldconn:
			*setup = s
		default:
			return false
		}
	default:
		return false
	}
	return true
}

// mediaAttribute takes an a= line after an m= line.
func (p *parser) mediaAttribute(a Attribute) {
	m, value, ok := p.m, a.Value, true
	switch name := strings.ToLower(a.Name); name {
	case "rtpmap", "fmtp", "rtcp-fb":
		if m.IsRTP() {
			// Bounded by the size of the text.
			p.late = append(p.late, Attribute{name, value})
			return
		}
		ok = false
	case "ptime":
		ok = setTime(&m.PTime, value)
	case "maxptime":
		ok = setTime(&m.MaxPTime, value)
	case "sendrecv", "sendonly", "recvonly", "inactive":
		m.Direction = Direction(name)
	case "mid":
		m.MID, _ = word(value)
	case "msid":
		if m.MSID == "" {
			m.MSID = value
		}
	case "rtcp-mux":
		m.RTCPMux = true
	case "rtcp-mux-only":
		m.RTCPMuxOnly = true
	case "rtcp-rsize":
		m.RTCPRSize = true
	case "rtcp":
		ok = m.setRTCP(value)
	case "candidate":
		ok = m.addCandidate(value)
	case "remote-candidates":
		m.setRemoteCandidates(value)
	case "end-of-candidates":
		m.EndOfCandidates = true
	case "crypto":
		m.addCrypto(value) // a broken one is skipped: nobody blanks keys where none are looked for
	case "extmap":
		ok = m.addExtension(value)
	case "extmap-allow-mixed":
		m.ExtmapAllowMixed = true
	case "ssrc":
		ok = m.addSSRC(value)
	case "ssrc-group":
		ok = m.addSSRCGroup(value)
	case "content":
		for c := range strings.SplitSeq(value, ",") {
			if c = strings.TrimSpace(c); c != "" && !strings.ContainsAny(c, " \t") {
				push(&m.Content, c)
			}
		}
	case "bundle-only":
		m.BundleOnly = true
	case "ice-lite":
		p.d.ICE.Lite = true // it has meaning for the session only (RFC 8839 §5.3)
	default:
		ok = security(name, value, &m.ICE, &m.Fingerprints, &m.Setup)
	}
	if !ok {
		push(&m.Attributes, a)
	}
}

// setTime reads milliseconds; some phones write "20.0" or "20ms".
func setTime(ms *int, value string) bool {
	n := packetTime(int(min(number(value), 1<<20)))
	if n > 0 && *ms == 0 {
		*ms = n
	}
	return n > 0
}

// packetTime keeps packet times that can be meant: up to ten seconds.
func packetTime(ms int) int {
	if ms < 0 || ms > 10000 {
		return 0
	}
	return ms
}

// setRTCP reads "53020" and "53020 IN IP4 126.16.64.4".
func (m *Media) setRTCP(value string) bool {
	head, rest := word(value)
	n, err := strconv.ParseUint(head, 10, 16)
	if err != nil {
		return false
	}
	m.RTCP = &RTCP{Port: int(n)}
	if rest != "" {
		c, err := parseConnection(rest)
		if err != nil {
			m.RTCP = nil
			return false
		}
		m.RTCP.Connection = c
	}
	return true
}

// ParseCandidate reads the value of an a=candidate line; "candidate:" and "a=candidate:" may stand before it.
func ParseCandidate(value string) (Candidate, bool) {
	value = strings.TrimSpace(value)
	if v, ok := strings.CutPrefix(value, "a=candidate:"); ok {
		value = v
	} else {
		value = strings.TrimPrefix(value, "candidate:")
	}
	f := strings.Fields(value)
	if len(f) < 8 || !strings.EqualFold(f[6], "typ") {
		return Candidate{}, false
	}
	component, err1 := strconv.ParseUint(f[1], 10, 16)
	priority, err2 := strconv.ParseUint(f[3], 10, 32)
	port, err3 := strconv.ParseUint(f[5], 10, 16)
	if err1 != nil || err2 != nil || err3 != nil || component == 0 || component > 256 {
		return Candidate{}, false
	}
	c := Candidate{
		Foundation: f[0], Component: uint16(component), Protocol: strings.ToLower(f[2]), Priority: uint32(priority),
		Address: strings.Trim(f[4], "[]"), Port: uint16(port), Type: strings.ToLower(f[7]),
	}
	if c.Address == "" {
		return Candidate{}, false
	}
	for f = f[8:]; len(f) >= 2 && len(c.Extensions) < 32; f = f[2:] {
		switch strings.ToLower(f[0]) {
		case "raddr":
			c.RelAddr = strings.Trim(f[1], "[]")
		case "rport":
			c.RelPort = uint16(min(number(f[1]), 65535))
		default:
			c.Extensions = append(c.Extensions, Parameter{f[0], f[1]})
		}
	}
	if c.RelAddr == "" {
		c.RelPort = 0
	}
	return c, true
}

func (m *Media) addCandidate(value string) bool {
	c, ok := ParseCandidate(value)
	if ok {
		push(&m.Candidates, c)
	}
	return ok
}

func (m *Media) setRemoteCandidates(value string) {
	f := strings.Fields(value)
	for ; len(f) >= 3; f = f[3:] {
		component, err1 := strconv.ParseUint(f[0], 10, 16)
		port, err2 := strconv.ParseUint(f[2], 10, 16)
		if err1 == nil && err2 == nil {
			push(&m.RemoteCandidates, RemoteCandidate{uint16(component), f[1], uint16(port)})
		}
	}
}

// addCrypto reads "1 AES_CM_128_HMAC_SHA1_80 inline:… [session parameters]".
func (m *Media) addCrypto(value string) {
	var c Crypto
	c.Tag, value = word(value)
	c.Suite, value = word(value)
	c.KeyParams, c.SessionParams = word(value)
	if c.KeyParams != "" {
		push(&m.Cryptos, c)
	}
}

// addExtension reads "2/recvonly URI [attributes]".
func (m *Media) addExtension(value string) bool {
	var e Extension
	head, rest := word(value)
	e.URI, e.Attributes = word(rest)
	id, direction, _ := strings.Cut(head, "/")
	n, err := strconv.ParseUint(id, 10, 16)
	if err != nil || e.URI == "" {
		return false
	}
	e.ID = uint16(n)
	switch d := Direction(strings.ToLower(direction)); d {
	case SendRecv, SendOnly, RecvOnly, Inactive:
		e.Direction = d
	}
	push(&m.Extensions, e)
	return true
}

// addSSRC reads "1234 cname:x"; the lines of one source become one value.
func (m *Media) addSSRC(value string) bool {
	head, rest := word(value)
	n, err := strconv.ParseUint(head, 10, 32)
	name, text, _ := strings.Cut(rest, ":")
	if name = strings.TrimSpace(name); err != nil || name == "" || strings.ContainsAny(name, " \t") {
		return false
	}
	a := Attribute{name, strings.TrimSpace(text)}
	for i := range m.SSRCs {
		if m.SSRCs[i].ID == uint32(n) {
			push(&m.SSRCs[i].Attributes, a)
			return true
		}
	}
	push(&m.SSRCs, SSRC{ID: uint32(n), Attributes: []Attribute{a}})
	return true
}

// addSSRCGroup reads "FID 1234 5678".
func (m *Media) addSSRCGroup(value string) bool {
	f := strings.Fields(value)
	if len(f) < 2 {
		return false
	}
	g := SSRCGroup{Semantics: f[0]}
	for _, s := range f[1:] {
		n, err := strconv.ParseUint(s, 10, 32)
		if err != nil {
			return false
		}
		push(&g.IDs, uint32(n))
	}
	push(&m.SSRCGroups, g)
	return true
}
