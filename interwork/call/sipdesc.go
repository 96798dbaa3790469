package call

import (
	"slices"
	"strconv"

	"github.com/stoxgate/stoxgate/interwork/relay"
	"github.com/stoxgate/stoxgate/sip/sdp"
)

// sipSide is the session with him as offer and answer see it (RFC 3264): one medium with
// sound, whose place in the description never changes, and the places of everything that
// he ever offered besides, with port 0.
type sipSide struct {
	origin sdp.Origin
	local  *sdp.Description // ours as it was sent last
	remote *sdp.Description // his
	stream int              // place of the sound
	// protection towards him, and whether he speaks ICE.
	protection relay.Protection
	ice        bool
	leg        relay.Local
	codecs     []sdp.Codec // what he is sent, with his numbers; before her codecs are known, all of his
	hear       []sdp.Codec // what he may send
}

// readSDP parses a description of his and finds the sound in it: the first audio over RTP
// that is not refused, at the place that was agreed when there is one.
func (s *sipSide) readSDP(body []byte) (*sdp.Description, sdp.Media, error) {
	d, err := sdp.Parse(body)
	if err != nil {
		return nil, sdp.Media{}, err
	}
	if s.local != nil {
		if s.stream < len(d.Media) {
			if m := d.Effective(s.stream); m.Kind == "audio" && m.IsRTP() {
				return d, m, keyed(&m)
			}
		}
		return d, sdp.Media{}, errNoAudio
	}
	for i := range d.Media {
		if m := d.Effective(i); m.Kind == "audio" && m.IsRTP() && !m.Rejected() {
			s.stream = i
			return d, m, keyed(&m)
		}
	}
	return d, sdp.Media{}, errNoAudio
}

// keyed refuses a medium that asks for SRTP and tells no keys: sending it plain RTP would
// give away what was to be protected.
func keyed(m *sdp.Media) error {
	if m.Secure() && !m.Rejected() && len(m.Cryptos)+len(m.Fingerprints) == 0 {
		return errNoAudio
	}
	return nil
}

// wants reads of an offer of his how its sound is protected and found.
func (s *sipSide) wants(m *sdp.Media) relay.Setup {
	switch {
	case len(m.Fingerprints) > 0 && (m.Secure() || len(m.Cryptos) == 0):
		s.protection = relay.DTLS
	case len(m.Cryptos) > 0:
		s.protection = relay.SDES
	default:
		s.protection = relay.None
	}
	// ICE only with those who cannot do without: a phone that offers it beside RTP is
	// content with an address.
	s.ice = m.ICE.Ufrag != "" && s.protection == relay.DTLS
	return relay.Setup{
		ICE: s.ice, Mux: m.RTCPMux, Protection: s.protection, IPv6: m.Address().Addr().Is6(), Controlling: m.ICE.Lite,
	}
}

// remoteMedia is what the relay must know of his description. active says that we are the
// client of DTLS.
func remoteMedia(m *sdp.Media, answer bool, ice bool) relay.Remote {
	r := relay.Remote{RTP: m.Address(), RTCP: m.RTCPAddress(), Mux: m.RTCPMux, Lite: m.ICE.Lite}
	if ice {
		r.Ufrag, r.Pwd = m.ICE.Ufrag, m.ICE.Pwd
		for i := range m.Candidates {
			c := &m.Candidates[i]
			r.Candidates = append(r.Candidates, relay.Candidate{
				Foundation: c.Foundation, Component: uint8(min(c.Component, 255)), Priority: c.Priority, Address: c.Address, Port: c.Port,
				Type: c.Type, Protocol: c.Protocol,
			})
		}
	}
	for _, f := range m.Fingerprints {
		r.Fingerprints = append(r.Fingerprints, relay.Fingerprint(f))
	}
	for _, k := range m.Cryptos {
		if tag, err := strconv.Atoi(k.Tag); err == nil {
			r.Cryptos = append(r.Cryptos, relay.Crypto{Tag: tag, Suite: k.Suite, KeyParams: k.KeyParams, SessionParams: k.SessionParams})
		}
	}
	r.Active = m.Setup != sdp.SetupActive
	if answer && m.Setup == "" {
		r.Active = false // RFC 4145 §4: an answer without setup is active
	}
	return r
}

// offer makes a description of ours that offers sound.
func (s *sipSide) offer(l relay.Local, codecs []sdp.Codec, d sdp.Direction) []byte {
	s.leg = l
	m := s.audio(l, codecs, d)
	if s.protection == relay.DTLS {
		m.Setup = sdp.SetupActpass
	}
	desc := &sdp.Description{Origin: s.next(), Connection: sdp.NewConnection(l.RTP.Addr()), Media: []sdp.Media{m}}
	s.local = desc
	return desc.Append(nil)
}

// moved takes over that the relay uses our address of the other family, because his is of
// that; the gateway offered it to him already.
func (s *sipSide) moved(l relay.Local) {
	if s.local == nil || l.RTP.Addr() == s.leg.RTP.Addr() {
		return
	}
	s.leg = l
	s.local.Connection = sdp.NewConnection(l.RTP.Addr())
}

// reoffer offers the session again with another direction.
func (s *sipSide) reoffer(d sdp.Direction) []byte {
	desc := s.local.Clone()
	desc.Origin = s.next()
	m := &desc.Media[s.stream]
	m.Direction = d
	if s.protection == relay.DTLS {
		m.Setup = sdp.SetupActpass
	}
	s.local = desc
	return desc.Append(nil)
}

// answer answers his offer: sound at its place, everything else refused.
func (s *sipSide) answer(theirs *sdp.Description, l relay.Local, codecs []sdp.Codec, active bool, d sdp.Direction) []byte {
	s.leg = l
	desc := &sdp.Description{Origin: s.next(), Connection: sdp.NewConnection(l.RTP.Addr())}
	offered := theirs.Effective(s.stream)
	for i := range theirs.Media {
		if i != s.stream {
			desc.Media = append(desc.Media, refusedMedia(&theirs.Media[i]))
			continue
		}
		m := s.audio(l, codecs, d)
		m.MID, m.RTCPMux, m.Protocol = offered.MID, offered.RTCPMux, offered.Protocol
		if s.protection == relay.SDES {
			m.Cryptos = sdpCryptos(l.Cryptos) // the relay keeps the one that was agreed on
		}
		if s.protection == relay.DTLS {
			m.Setup = sdp.SetupPassive
			if active {
				m.Setup = sdp.SetupActive
			}
		}
		if offered.RTCPMux {
			m.RTCP = nil
		}
		desc.Media = append(desc.Media, m)
		if g := theirs.Group("BUNDLE"); g != nil && slices.Contains(g.MIDs, offered.MID) {
			desc.Groups = []sdp.Group{{Semantics: "BUNDLE", MIDs: []string{offered.MID}}}
		}
	}
	s.local = desc
	return desc.Append(nil)
}

// refusedMedia is an offered medium that we do not take (RFC 3264 §6).
func refusedMedia(m *sdp.Media) sdp.Media {
	r := sdp.Media{Kind: m.Kind, Protocol: m.Protocol, Formats: m.Formats, MID: m.MID}
	if len(m.Codecs) > 0 {
		r.Codecs = m.Codecs[:1]
		r.Codecs[0].Feedback = nil
	}
	return r
}

func (s *sipSide) audio(l relay.Local, codecs []sdp.Codec, d sdp.Direction) sdp.Media {
	m := sdp.Media{
		Kind: "audio", Port: int(l.RTP.Port()), Protocol: "RTP/AVP", Codecs: codecs, PTime: 20, Direction: d,
	}
	if l.RTCP.IsValid() && l.RTCP.Port() != l.RTP.Port()+1 && l.RTCP != l.RTP {
		m.RTCP = &sdp.RTCP{Port: int(l.RTCP.Port())}
	}
	switch s.protection {
	case relay.SDES:
		m.Protocol, m.Cryptos = "RTP/SAVP", sdpCryptos(l.Cryptos)
	case relay.DTLS:
		m.Protocol = "UDP/TLS/RTP/SAVP"
		m.Fingerprints = []sdp.Fingerprint{sdp.Fingerprint(l.Fingerprint)}
	}
	if s.ice {
		m.ICE = sdp.ICE{Ufrag: l.Ufrag, Pwd: l.Pwd}
		m.RTCPMux, m.EndOfCandidates = true, true
		for _, c := range l.Candidates {
			k := sdp.Candidate{
				Foundation: c.Foundation, Component: uint16(max(c.Component, 1)), Protocol: "udp", Priority: c.Priority,
				Address: c.Address, Port: c.Port, Type: c.Type,
			}
			if c.Related.IsValid() {
				k.RelAddr, k.RelPort = c.Related.Addr().String(), c.Related.Port()
			}
			m.Candidates = append(m.Candidates, k)
		}
	}
	return m
}

func sdpCryptos(list []relay.Crypto) []sdp.Crypto {
	out := make([]sdp.Crypto, 0, len(list))
	for _, c := range list {
		out = append(out, sdp.Crypto{Tag: strconv.Itoa(c.Tag), Suite: c.Suite, KeyParams: c.KeyParams, SessionParams: c.SessionParams})
	}
	return out
}

// next counts the version of our description (RFC 3264 §8).
func (s *sipSide) next() sdp.Origin {
	s.origin.Version++
	o := s.origin
	o.Address = s.leg.RTP.Addr().Unmap().String()
	return o
}
