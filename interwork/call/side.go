package call

import (
	"errors"
	"fmt"
	"net/netip"
	"strconv"

	"github.com/stoxgate/stoxgate/interwork/relay"
	"github.com/stoxgate/stoxgate/jingle"
	"github.com/stoxgate/stoxgate/mapping"
	"github.com/stoxgate/stoxgate/sip/sdp"
)

// Errors of descriptions.
var (
	errNoAudio = errors.New("call: no sound in the description")
	errNoCodec = errors.New("call: no codec in common")
)

// contentName is what we call the one content of our sessions: a token without white
// space, for clients make a mid of it.
const contentName = "0"

// side is the session of media with one of the two, as offer and answer see it (RFC 3264).
// It is one for both protocols: what Jingle says is SDP here, by package mapping. There is
// one medium with sound; everything else that the peer offers is refused.
type side struct {
	of         relay.Side
	own        []sdp.Codec // what we speak
	n          *sdp.Negotiation
	stream     int // place of the sound, which never changes
	protection relay.Protection
	local      relay.Local
	speak      []sdp.Codec // what the peer is sent, with its numbers; nil: not chosen yet
	hear       []sdp.Codec // what it may send
}

// newSide begins a session; id is that of our o= line.
func newSide(of relay.Side, own []sdp.Codec, id int64) *side {
	return &side{of: of, own: own, n: sdp.NewNegotiation(sdp.Origin{SessionID: uint64(id), Version: 1})}
}

// sound finds the medium that carries the call in a description of the peer: the first
// audio over RTP that is not refused, at the place that was agreed when there is one.
func (s *side) sound(d *sdp.Description) (int, error) {
	err := errNoAudio
	fixed := s.n.Local() != nil || s.n.Pending() == sdp.Local
	for i := range d.Media {
		switch m := d.Effective(i); {
		case fixed && i != s.stream, m.Kind != "audio", !m.IsRTP(), m.Rejected():
		case s.of == relay.Jingle && m.ICE.Ufrag == "":
		case m.Secure() && len(m.Cryptos)+len(m.Fingerprints) == 0:
			// Plain RTP would give away what was to be protected.
		case len(mapping.SharedCodecs(m.Codecs, s.own)) == 0:
			err = errNoCodec
		default:
			return i, nil
		}
	}
	return 0, err
}

// offered takes an offer of the peer, and answered its answer to ours. After an error
// nothing has changed.
func (s *side) offered(d *sdp.Description) error { return s.take(d, s.n.RemoteOffer) }

func (s *side) answered(d *sdp.Description) error { return s.take(d, s.n.RemoteAnswer) }

func (s *side) take(d *sdp.Description, into func(*sdp.Description) error) error {
	i, err := s.sound(d)
	if err != nil {
		return err
	}
	if err := into(d); err != nil {
		return err
	}
	s.stream = i
	return nil
}

// parsed reads SDP for offered or answered.
func parsed(body []byte, into func(*sdp.Description) error) error {
	d, err := sdp.Parse(body)
	if err != nil {
		return err
	}
	return into(d)
}

// theirs is the sound of the peer's last description; the zero Media before there is any.
func (s *side) theirs() sdp.Media {
	d := s.n.Remote()
	if s.n.Pending() == sdp.Remote {
		d = s.n.PendingOffer()
	}
	if d == nil {
		return sdp.Media{}
	}
	return d.Effective(s.stream)
}

// prepare has the relay open what a peer needs, and renew asks it what our next description
// says: of SDES, the one key that was agreed on.
func (s *side) prepare(m Media, p relay.Setup) (err error) {
	s.protection = p.Protection
	s.local, err = m.Prepare(s.of, 0, p)
	return err
}

func (s *side) renew(m Media) error { return s.prepare(m, relay.Setup{Protection: s.protection}) }

// wants reads of the peer's offer how its sound is protected and found. ICE towards SIP is
// only for those who cannot do without: a phone that offers it beside RTP is content with an
// address.
func (s *side) wants() relay.Setup {
	m := s.theirs()
	p := relay.Setup{IPv6: m.Address().Addr().Is6(), Controlling: m.ICE.Lite, Mux: m.RTCPMux}
	switch {
	case len(m.Fingerprints) > 0 && (m.Secure() || len(m.Cryptos) == 0):
		p.Protection = relay.DTLS
	case len(m.Cryptos) > 0:
		p.Protection = relay.SDES
	}
	p.ICE = m.ICE.Ufrag != "" && (s.of == relay.Jingle || p.Protection == relay.DTLS)
	return p
}

// choose settles what the peer is sent: what like has too, if it can be, so that nothing
// is transcoded. answered says that the peer answered us, so it may send all that it named;
// our own answer leaves it no other.
func (s *side) choose(like []sdp.Codec, answered bool) {
	theirs := s.theirs().Codecs
	c, _ := mapping.ChooseCodec(mapping.SharedCodecs(theirs, s.own), like) // sound has found one
	s.speak = mapping.WithEvents(c, theirs)
	if s.hear = s.speak; answered {
		s.hear = mapping.HeardCodecs(theirs, s.own)
	}
}

// connect tells the relay of the peer's last description.
func (s *side) connect(m Media) error {
	t := s.theirs()
	return m.Connect(s.of, 0, s.remote(&t))
}

// remote is what the relay must know of a medium of the peer.
func (s *side) remote(m *sdp.Media) relay.Remote {
	r := relay.Remote{
		RTP: m.Address(), RTCP: m.RTCPAddress(), Mux: m.RTCPMux, Lite: m.ICE.Lite, Ufrag: m.ICE.Ufrag, Pwd: m.ICE.Pwd,
		Candidates: relayCandidates(m.Candidates), Active: s.n.Role(s.stream) == sdp.SetupActive,
		Plain: s.protection == relay.None,
	}
	for _, f := range m.Fingerprints {
		r.Fingerprints = append(r.Fingerprints, relay.Fingerprint(f))
	}
	for _, k := range m.Cryptos {
		if tag, err := strconv.Atoi(k.Tag); err == nil {
			r.Cryptos = append(r.Cryptos, relay.Crypto{Tag: tag, Suite: k.Suite, KeyParams: k.KeyParams, SessionParams: k.SessionParams})
		}
	}
	return r
}

// offer makes our first offer, and answer our answer to the peer's.
func (s *side) offer(codecs []sdp.Codec, d sdp.Direction) (*sdp.Description, error) {
	return s.n.LocalOffer(s.describe(codecs, d))
}

func (s *side) answer(d sdp.Direction) (*sdp.Description, error) {
	return s.n.LocalAnswer(s.describe(s.speak, d))
}

// reoffer offers the session again, with another direction, and other codecs unless that
// is nil.
func (s *side) reoffer(d sdp.Direction, codecs []sdp.Codec) (*sdp.Description, error) {
	if s.n.Local() == nil {
		return nil, fmt.Errorf("call: nothing is agreed: %w", sdp.ErrNoOffer)
	}
	out := s.n.Local().Clone()
	m := &out.Media[s.stream]
	out.Connection, m.Connection = sdp.NewConnection(s.local.RTP.Addr()), nil
	if m.Direction = d; codecs != nil {
		m.Codecs = codecs
	}
	if len(m.Fingerprints) > 0 {
		m.Setup = sdp.SetupActpass
	}
	return s.n.LocalOffer(out)
}

// describe is what we say of ourselves. What an answer must not say, the negotiation drops.
// The source has a stream and a track, without which some web clients find no stream to play.
func (s *side) describe(codecs []sdp.Codec, d sdp.Direction) *sdp.Description {
	l, theirs, her := &s.local, s.theirs(), s.of == relay.Jingle
	m := s.transport(s.local.Candidates)
	m.Kind, m.Port, m.Codecs, m.Direction, m.MID = "audio", int(l.RTP.Port()), codecs, d, theirs.MID
	m.RTCPMux = her || l.Ufrag != "" || theirs.RTCPMux
	if m.MID == "" && her {
		m.MID = contentName
	}
	if !her || s.n.Pending() != sdp.Remote {
		m.PTime = 20
	}
	if l.RTCP.IsValid() && l.RTCP.Port() != l.RTP.Port()+1 && l.RTCP != l.RTP && !m.RTCPMux {
		m.RTCP = &sdp.RTCP{Port: int(l.RTCP.Port())}
	}
	switch s.protection {
	case relay.None:
		m.Protocol = "RTP/AVP"
	case relay.SDES:
		m.Protocol = "RTP/SAVP"
		for _, c := range l.Cryptos {
			m.Cryptos = append(m.Cryptos, sdp.Crypto{Tag: strconv.Itoa(c.Tag), Suite: c.Suite, KeyParams: c.KeyParams, SessionParams: c.SessionParams})
		}
	case relay.DTLS:
		m.Protocol, m.Setup = "UDP/TLS/RTP/SAVP", sdp.SetupActpass
		m.Fingerprints = []sdp.Fingerprint{sdp.Fingerprint(l.Fingerprint)}
	}
	if her && l.SSRC != 0 && l.CNAME != "" {
		m.SSRCs = []sdp.SSRC{{ID: l.SSRC, Attributes: []sdp.Attribute{{Name: "cname", Value: l.CNAME}}}}
		m.MSID = "stoxgate audio"
	}
	out := &sdp.Description{Connection: sdp.NewConnection(l.RTP.Addr()), Media: make([]sdp.Media, s.stream+1)}
	out.Media[s.stream] = m
	if m.MID != "" {
		out.Groups = []sdp.Group{{Semantics: "BUNDLE", MIDs: []string{m.MID}}}
	}
	return out
}

// transport is where we receive with ICE, by these candidates; empty without.
func (s *side) transport(candidates []relay.Candidate) sdp.Media {
	if s.local.Ufrag == "" {
		return sdp.Media{}
	}
	m := sdp.Media{ICE: sdp.ICE{Ufrag: s.local.Ufrag, Pwd: s.local.Pwd}, EndOfCandidates: true}
	for _, c := range candidates {
		m.Candidates = append(m.Candidates, sdpCandidate(c))
	}
	return m
}

// ownTransport is the same for a transport-info.
func (s *side) ownTransport(candidates []relay.Candidate) *jingle.Transport {
	m := s.transport(candidates)
	t, _ := mapping.MediaToTransport(&m)
	return t
}

// RFC 8839 §5.1: only a host candidate has no base.
func sdpCandidate(c relay.Candidate) sdp.Candidate {
	out := sdp.Candidate{
		Foundation: c.Foundation, Component: uint16(max(c.Component, 1)), Protocol: "udp", Priority: c.Priority, Address: c.Address, Port: c.Port, Type: c.Type,
	}
	if c.Generation > 0 {
		out.Extensions = []sdp.Parameter{{Name: "generation", Value: strconv.FormatUint(uint64(c.Generation), 10)}}
	}
	switch {
	case c.Related.IsValid():
		out.RelAddr, out.RelPort = c.Related.Addr().String(), c.Related.Port()
	case c.Type != "host":
		out.RelAddr, out.RelPort = "0.0.0.0", 9
	}
	return out
}

func relayCandidates(list []sdp.Candidate) []relay.Candidate {
	out := make([]relay.Candidate, 0, len(list))
	for i := range list {
		c := &list[i]
		r := relay.Candidate{
			Foundation: c.Foundation, Component: uint8(min(c.Component, 255)), Priority: c.Priority, Address: c.Address, Port: c.Port, Type: c.Type,
			Protocol: c.Protocol,
		}
		if a, err := netip.ParseAddr(c.RelAddr); err == nil {
			r.Related = netip.AddrPortFrom(a, c.RelPort)
		}
		out = append(out, r)
	}
	return out
}

func relayCodecs(list []sdp.Codec) []relay.Codec {
	out := make([]relay.Codec, 0, len(list))
	for _, c := range list {
		r := relay.Codec{PayloadType: c.PayloadType, Name: c.Name, ClockRate: c.ClockRate, Channels: c.Channels}
		for _, p := range c.Parameters() {
			r.Parameters = append(r.Parameters, relay.Parameter(p))
		}
		out = append(out, r)
	}
	return out
}

// audioContent finds the content that carries the call: the first with sound over ICE.
func audioContent(j *jingle.Jingle) *jingle.Content {
	if j == nil {
		return nil
	}
	for i := range j.Contents {
		c := &j.Contents[i]
		if c.Description != nil && c.Description.Media == "audio" && c.Transport != nil && c.Transport.Kind == jingle.TransportICE &&
			(c.Disposition == "" || c.Disposition == "session") {
			return c
		}
	}
	return nil
}
