package sdp

import (
	"net/netip"
	"slices"
	"strings"
)

// Effective is a copy of the medium with everything filled in that the session level says for it, and with the
// direction it has in truth: no direction is sendrecv, a port of 0 is inactive, and so is the address 0.0.0.0 or
// :: of RFC 2543, which no media can be sent to. With ICE that address only says that candidates are still to
// come (RFC 8840 §4.1.1), and an author who is sendonly as well goes on sending. What a bundled medium leaves out
// of credentials, keys and multiplexing is that of the first one in its bundle (RFC 9143 §7.1.3); its address and
// candidates are not filled in, since it has no use for them.
func (d *Description) Effective(i int) Media {
	m := d.Media[i]
	if first := d.tagged(&m); first != nil {
		if m.ICE.Ufrag == "" && m.ICE.Pwd == "" {
			m.ICE, m.RTCPMux = first.ICE, m.RTCPMux || first.RTCPMux
		}
		if len(m.Fingerprints) == 0 {
			m.Fingerprints = first.Fingerprints
		}
		if m.Setup == "" {
			m.Setup = first.Setup
		}
	}
	if m.Connection == nil {
		m.Connection = d.Connection
	}
	if m.Direction == "" {
		m.Direction = d.Direction
	}
	if m.ICE.Ufrag == "" && m.ICE.Pwd == "" {
		m.ICE.Ufrag, m.ICE.Pwd = d.ICE.Ufrag, d.ICE.Pwd
	}
	m.ICE.Lite = d.ICE.Lite
	if len(m.ICE.Options) == 0 {
		m.ICE.Options = d.ICE.Options
	}
	if len(m.Fingerprints) == 0 {
		m.Fingerprints = d.Fingerprints
	}
	if m.Setup == "" {
		m.Setup = d.Setup
	}
	m.ExtmapAllowMixed = m.ExtmapAllowMixed || d.ExtmapAllowMixed
	m.Direction = DirectionOf(m.Direction.Sends(), m.Direction.Receives())
	if m.Direction.Receives() && m.ICE.Ufrag == "" && m.Connection.Addr().IsUnspecified() || m.Rejected() {
		m.Direction = Inactive
	}
	return m
}

// tagged is the first medium of the bundle that m is in; nil when m is that itself, or in none.
func (d *Description) tagged(m *Media) *Media {
	if m.MID == "" {
		return nil
	}
	for _, g := range d.Groups {
		if !strings.EqualFold(g.Semantics, "BUNDLE") || !slices.Contains(g.MIDs, m.MID) || g.MIDs[0] == m.MID {
			continue
		}
		if i := slices.IndexFunc(d.Media, func(o Media) bool { return o.MID == g.MIDs[0] }); i >= 0 {
			return &d.Media[i]
		}
	}
	return nil
}

// Rejected reports whether the medium is refused or removed: port 0, but not in the sense of bundle-only.
func (m *Media) Rejected() bool { return m.Port == 0 && !m.BundleOnly }

// IsRTP reports whether the formats are RTP payload types.
func (m *Media) IsRTP() bool { return isRTP(m.Protocol) }

func isRTP(protocol string) bool {
	return strings.Contains(protocol, "RTP/")
}

// Secure reports whether the protocol of the m= line asks for SRTP.
func (m *Media) Secure() bool { return strings.Contains(m.Protocol, "SAVP") }

// Address is where the author wants RTP; the zero AddrPort when there is no address, when it is a domain name, or
// when it is 0.0.0.0 or ::. Of a medium without a connection of its own ask Effective.
func (m *Media) Address() netip.AddrPort { return addrPort(m.Connection, m.Port) }

// RTCPAddress is where the author wants RTCP: with rtcp-mux the address of RTP, else that of a=rtcp, else the
// next port.
func (m *Media) RTCPAddress() netip.AddrPort {
	switch {
	case m.RTCPMux || m.Port == 0:
		return m.Address()
	case m.RTCP != nil && m.RTCP.Connection != nil:
		return addrPort(m.RTCP.Connection, m.RTCP.Port)
	case m.RTCP != nil:
		return addrPort(m.Connection, m.RTCP.Port)
	}
	return addrPort(m.Connection, m.Port+1)
}

func addrPort(c *Connection, port int) netip.AddrPort {
	a := c.Addr()
	if !a.IsValid() || a.IsUnspecified() || port <= 0 || port > 65535 {
		return netip.AddrPort{}
	}
	return netip.AddrPortFrom(a, uint16(port))
}

// Group finds the first group of these semantics, nil if there is none.
func (d *Description) Group(semantics string) *Group {
	for i := range d.Groups {
		if strings.EqualFold(d.Groups[i].Semantics, semantics) {
			return &d.Groups[i]
		}
	}
	return nil
}

// Clone is a deep copy.
func (d *Description) Clone() *Description {
	if d == nil {
		return nil
	}
	c := *d
	c.Connection = clonePointer(d.Connection)
	c.Bandwidths = slices.Clone(d.Bandwidths)
	c.ICE.Options = slices.Clone(d.ICE.Options)
	c.Fingerprints = slices.Clone(d.Fingerprints)
	c.Groups = slices.Clone(d.Groups)
	for i := range c.Groups {
		c.Groups[i].MIDs = slices.Clone(c.Groups[i].MIDs)
	}
	c.Attributes = slices.Clone(d.Attributes)
	c.Media = slices.Clone(d.Media)
	for i := range c.Media {
		c.Media[i] = c.Media[i].Clone()
	}
	return &c
}

// Clone is a deep copy.
func (m *Media) Clone() Media {
	c := *m
	c.Formats = slices.Clone(m.Formats)
	c.Codecs = slices.Clone(m.Codecs)
	for i := range c.Codecs {
		c.Codecs[i].Feedback = slices.Clone(c.Codecs[i].Feedback)
	}
	c.Connection = clonePointer(m.Connection)
	c.Bandwidths = slices.Clone(m.Bandwidths)
	if c.RTCP = clonePointer(m.RTCP); c.RTCP != nil {
		c.RTCP.Connection = clonePointer(c.RTCP.Connection)
	}
	c.ICE.Options = slices.Clone(m.ICE.Options)
	c.Candidates = slices.Clone(m.Candidates)
	for i := range c.Candidates {
		c.Candidates[i].Extensions = slices.Clone(c.Candidates[i].Extensions)
	}
	c.RemoteCandidates = slices.Clone(m.RemoteCandidates)
	c.Fingerprints = slices.Clone(m.Fingerprints)
	c.Cryptos = slices.Clone(m.Cryptos)
	c.Feedback = slices.Clone(m.Feedback)
	c.Extensions = slices.Clone(m.Extensions)
	c.SSRCs = slices.Clone(m.SSRCs)
	for i := range c.SSRCs {
		c.SSRCs[i].Attributes = slices.Clone(c.SSRCs[i].Attributes)
	}
	c.SSRCGroups = slices.Clone(m.SSRCGroups)
	for i := range c.SSRCGroups {
		c.SSRCGroups[i].IDs = slices.Clone(c.SSRCGroups[i].IDs)
	}
	c.Content = slices.Clone(m.Content)
	c.Attributes = slices.Clone(m.Attributes)
	return c
}

func clonePointer[T any](p *T) *T {
	if p == nil {
		return nil
	}
	c := *p
	return &c
}
