package interwork_test

import (
	"bytes"
	"encoding/binary"
	"fmt"
	"net"
	"net/netip"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/rs/zerolog"
	"github.com/stretchr/testify/require"

	"github.com/stoxgate/stoxgate/interwork"
	"github.com/stoxgate/stoxgate/interwork/relay"
	"github.com/stoxgate/stoxgate/jingle"
	"github.com/stoxgate/stoxgate/sip/siptest"
	"github.com/stoxgate/stoxgate/xmpp"
	"github.com/stoxgate/stoxgate/xmpp/disco"
	"github.com/stoxgate/stoxgate/xmpp/xmpptest"
)

// callRig is a rig for calls, with media ports of its own.
func callRig(t *testing.T, change func(*interwork.Config)) *rig {
	t.Helper()
	return newRig(t, func(c *interwork.Config) {
		c.Calls.Relay = relay.Config{Ports: testPorts(), PortRest: time.Millisecond}
		c.Drain = 300 * time.Millisecond
		if change != nil {
			change(c)
		}
	})
}

var (
	portMu   sync.Mutex
	nextPort = uint16(31000)
)

func testPorts() relay.PortRange {
	portMu.Lock()
	defer portMu.Unlock()
	r := relay.PortRange{Min: nextPort, Max: nextPort + 59}
	nextPort += 60
	return r
}

// ear is one end of plain RTP: a socket that sends and hears G.711.
type ear struct {
	t    *testing.T
	conn *net.UDPConn
	seq  uint16
	mu   sync.Mutex
	last []byte // payload heard last
	n    int
	pts  map[byte]int
}

func newEar(t *testing.T) *ear { return newEarAt(t, "127.0.0.1") }

func newEarAt(t *testing.T, address string) *ear {
	t.Helper()
	conn, err := net.ListenUDP("udp", net.UDPAddrFromAddrPort(netip.AddrPortFrom(netip.MustParseAddr(address), 0)))
	require.NoError(t, err)
	e := &ear{t: t, conn: conn, pts: map[byte]int{}}
	done := make(chan struct{})
	go func() {
		defer close(done)
		buf := make([]byte, 2048)
		for {
			n, err := conn.Read(buf)
			if err != nil {
				return
			}
			if n > 12 && buf[0]>>6 == 2 && buf[1]&0x7f < 64 || n > 12 && buf[1]&0x7f >= 96 {
				e.mu.Lock()
				e.n++
				e.pts[buf[1]&0x7f]++
				e.last = bytes.Clone(buf[12:n])
				e.mu.Unlock()
			}
		}
	}()
	t.Cleanup(func() { _ = conn.Close(); <-done })
	return e
}

func (e *ear) port() int { return e.conn.LocalAddr().(*net.UDPAddr).Port }

// say sends one packet with 20 ms of a byte.
func (e *ear) say(to netip.AddrPort, pt, sample byte) {
	p := make([]byte, 172)
	p[0], p[1] = 0x80, pt
	binary.BigEndian.PutUint16(p[2:], e.seq)
	binary.BigEndian.PutUint32(p[4:], uint32(e.seq)*160)
	binary.BigEndian.PutUint32(p[8:], 0x1234)
	for i := 12; i < len(p); i++ {
		p[i] = sample
	}
	e.seq++
	_, _ = e.conn.WriteToUDPAddrPort(p, to)
}

func (e *ear) heard(sample byte) bool {
	e.mu.Lock()
	defer e.mu.Unlock()
	return len(e.last) == 160 && e.last[0] == sample && e.last[159] == sample
}

// milliwatt is one period of 1 kHz in A-law (ITU-T G.711 table 5).
var milliwatt = [8]byte{0x34, 0x21, 0x21, 0x34, 0xb4, 0xa1, 0xa1, 0xb4}

// sing sends 20 ms of 1 kHz.
func (e *ear) sing(to netip.AddrPort) {
	p := make([]byte, 172)
	p[0], p[1] = 0x80, 8
	binary.BigEndian.PutUint16(p[2:], e.seq)
	binary.BigEndian.PutUint32(p[4:], uint32(e.seq)*160)
	binary.BigEndian.PutUint32(p[8:], 0x1234)
	for i := 12; i < len(p); i++ {
		p[i] = milliwatt[(i-12)%8]
	}
	e.seq++
	_, _ = e.conn.WriteToUDPAddrPort(p, to)
}

// hertz is the frequency of what was heard last, by its changes of sign; 0 before anything.
func (e *ear) hertz() int {
	e.mu.Lock()
	defer e.mu.Unlock()
	if len(e.last) != 160 {
		return 0
	}
	n := 0
	for i := 1; i < len(e.last); i++ {
		if (e.last[i]^e.last[i-1])&0x80 != 0 {
			n++
		}
	}
	return n * 25
}

// forget what was heard.
func (e *ear) forget() {
	e.mu.Lock()
	defer e.mu.Unlock()
	e.last = nil
}

func (e *ear) count(pt byte) int {
	e.mu.Lock()
	defer e.mu.Unlock()
	return e.pts[pt]
}

func (e *ear) sdp(kind string) []byte {
	at := "IP4 127.0.0.1"
	if a := e.conn.LocalAddr().(*net.UDPAddr).AddrPort().Addr(); a.Is6() {
		at = "IP6 " + a.String()
	}
	return fmt.Appendf(nil, "v=0\r\no=- 1 1 IN %s\r\ns=-\r\nc=IN %s\r\nt=0 0\r\nm=audio %d RTP/AVP %s\r\na=sendrecv\r\n", at, at, e.port(), kind)
}

// mediaIn finds where a description wants RTP.
func mediaIn(t *testing.T, sdp []byte) netip.AddrPort {
	t.Helper()
	var addr string
	port := 0
	for line := range strings.Lines(string(sdp)) {
		line = strings.TrimSpace(line)
		if f := strings.Fields(line); strings.HasPrefix(line, "c=IN IP") && len(f) == 3 {
			addr = f[2]
		}
		if strings.HasPrefix(line, "m=audio ") {
			_, err := fmt.Sscanf(line, "m=audio %d", &port)
			require.NoError(t, err)
		}
	}
	return netip.AddrPortFrom(netip.MustParseAddr(addr), uint16(port))
}

// device is a client of mira's that speaks Jingle with real media: a relay of its own,
// whose other side is a socket of the test.
type device struct {
	t       *testing.T
	user    *xmpptest.User
	relay   *relay.Relay
	session *relay.Session
	ear     *ear
	mouth   netip.AddrPort // where the ear's packets go
	sid     string
	to      xmpp.JID
	n       int
	up      chan struct{}
}

func newDevice(t *testing.T, user *xmpptest.User) *device {
	t.Helper()
	r, err := relay.New(relay.Config{Ports: testPorts(), PortRest: time.Millisecond, Log: zerolog.Nop()})
	require.NoError(t, err)
	t.Cleanup(func() { _ = r.Close() })
	return &device{t: t, user: user, relay: r, ear: newEar(t), up: make(chan struct{})}
}

// open prepares media; initiator says that the device begins the session.
func (d *device) open(initiator bool, codecs ...relay.Codec) relay.Local {
	d.t.Helper()
	var once sync.Once
	d.session = d.relay.Open("device", func(e relay.Event) {
		if e.Kind == relay.Connected && e.Side == relay.Jingle {
			once.Do(func() { close(d.up) })
		}
	})
	local, err := d.session.Prepare(relay.Jingle, 0, relay.Setup{ICE: true, Controlling: initiator, Mux: true, Protection: relay.DTLS})
	require.NoError(d.t, err)
	plain, err := d.session.Prepare(relay.SIP, 0, relay.Setup{})
	require.NoError(d.t, err)
	d.mouth = plain.RTP
	require.NoError(d.t, d.session.Connect(relay.SIP, 0, relay.Remote{RTP: netip.AddrPortFrom(netip.MustParseAddr("127.0.0.1"), uint16(d.ear.port()))}))
	own := []relay.Codec{pcmaCodec, eventCodec}
	require.NoError(d.t, d.session.Format(relay.Jingle, 0, relay.Format{Codecs: codecs, Send: true, Recv: true}))
	require.NoError(d.t, d.session.Format(relay.SIP, 0, relay.Format{Codecs: own, Send: true, Recv: true}))
	return local
}

func content(l relay.Local, setup string, codecs ...relay.Codec) jingle.Content {
	c := jingle.Content{
		Creator: jingle.RoleInitiator, Name: "0", Senders: jingle.SendersBoth,
		Description: &jingle.Description{Media: "audio", RTCPMux: true},
		Transport: &jingle.Transport{
			Ufrag: l.Ufrag, Pwd: l.Pwd, Fingerprints: []jingle.Fingerprint{{Hash: l.Fingerprint.Hash, Value: l.Fingerprint.Value, Setup: setup}},
		},
	}
	for _, k := range codecs {
		c.Description.PayloadTypes = append(c.Description.PayloadTypes, jingle.PayloadType{ID: k.PayloadType, Name: k.Name, ClockRate: k.ClockRate, Channels: k.Channels})
	}
	for i, k := range l.Candidates {
		c.Transport.Candidates = append(c.Transport.Candidates, jingle.Candidate{
			Component: 1, Foundation: k.Foundation, ID: fmt.Sprint("c", i), IP: k.Address, Port: k.Port, Priority: k.Priority, Protocol: "udp", Type: k.Type,
		})
	}
	return c
}

// connect takes the gateway's description.
func (d *device) connect(c *jingle.Content, active bool) {
	d.t.Helper()
	r := relay.Remote{Ufrag: c.Transport.Ufrag, Pwd: c.Transport.Pwd, Mux: true, Active: active}
	for _, f := range c.Transport.Fingerprints {
		r.Fingerprints = append(r.Fingerprints, relay.Fingerprint{Hash: f.Hash, Value: f.Value})
	}
	for _, k := range c.Transport.Candidates {
		r.Candidates = append(r.Candidates, relay.Candidate{
			Foundation: k.Foundation, Component: k.Component, Priority: k.Priority, Address: k.IP, Port: k.Port, Type: k.Type,
		})
	}
	require.NoError(d.t, d.session.Connect(relay.Jingle, 0, r))
}

// request sends a Jingle action and wants a result.
func (d *device) request(j *jingle.Jingle) {
	d.t.Helper()
	require.Nil(d.t, d.ask(j))
}

// ask sends a Jingle action and returns the error that it gets.
func (d *device) ask(j *jingle.Jingle) *xmpp.StanzaError {
	d.t.Helper()
	d.n++
	id := fmt.Sprint("d", d.n)
	j.SID = d.sid
	require.NoError(d.t, d.user.Send(&xmpp.IQ{To: d.to, ID: id, Type: xmpp.IQSet, Payload: j.Element()}))
	return d.user.ExpectIQ(d.t, xmpptest.ID(id)).Error
}

// want waits for a Jingle action of the gateway and answers it with a result.
func (d *device) want(a jingle.Action) *jingle.Jingle {
	d.t.Helper()
	iq := d.user.ExpectIQ(d.t, xmpptest.Match("jingle "+string(a), func(s xmpp.Stanza) bool {
		iq, ok := s.(*xmpp.IQ)
		return ok && iq.Type == xmpp.IQSet && jingle.Is(iq.Payload) && iq.Payload.Attribute("action") == string(a)
	}))
	require.NoError(d.t, d.user.Send(iq.Result(nil)))
	j, err := jingle.ParseIQ(iq)
	require.NoError(d.t, err)
	d.to, d.sid = iq.From, j.SID
	return j
}

// wantMessage waits for a Jingle message.
func (d *device) wantMessage(k jingle.Kind) *jingle.Message {
	d.t.Helper()
	m := d.user.ExpectMessage(d.t, xmpptest.Extension(xmpp.NSJingleMessage, string(k)))
	j, ok, err := jingle.FromMessage(m)
	require.NoError(d.t, err)
	require.True(d.t, ok)
	d.to, d.sid = m.From, j.ID
	return j
}

func (d *device) send(k jingle.Kind, to xmpp.JID, r *jingle.Reason) {
	d.t.Helper()
	m := (&jingle.Message{Kind: k, ID: d.sid, Media: []string{"audio"}, Reason: r}).Wrap(xmpp.JID{}, to)
	m.From = xmpp.JID{}
	require.NoError(d.t, d.user.Send(m))
}

// initiate sends a session-initiate.
func (d *device) initiate(codecs ...relay.Codec) {
	d.t.Helper()
	local := d.open(true, codecs...)
	d.request(&jingle.Jingle{
		Action: jingle.ActionSessionInitiate, Initiator: d.user.JID(), Contents: []jingle.Content{content(local, "actpass", codecs...)},
		Groups: []jingle.Group{{Semantics: "BUNDLE", Contents: []string{"0"}}},
	})
}

// finishInitiate takes the session-accept.
func (d *device) finishInitiate() *jingle.Jingle {
	d.t.Helper()
	a := d.want(jingle.ActionSessionAccept)
	d.connect(&a.Contents[0], a.Contents[0].Transport.Fingerprints[0].Setup == "passive")
	return a
}

// accept answers a session-initiate.
func (d *device) accept(offer *jingle.Jingle, codecs ...relay.Codec) {
	d.t.Helper()
	local := d.open(false, codecs...)
	d.request(&jingle.Jingle{Action: jingle.ActionSessionAccept, Responder: d.user.JID(), Contents: []jingle.Content{content(local, "active", codecs...)}})
	d.connect(&offer.Contents[0], true)
}

// sing proves that a tone goes both ways, whatever happens to it on the way.
func (r *rig) sing(d *device, phone *ear, to netip.AddrPort) {
	r.t.Helper()
	<-d.up
	tick := time.NewTicker(20 * time.Millisecond)
	defer tick.Stop()
	deadline := time.After(15 * time.Second)
	near := func(e *ear) bool { f := e.hertz(); return f >= 950 && f <= 1050 }
	for !(near(phone) && near(d.ear)) {
		select {
		case <-tick.C:
			d.ear.sing(d.mouth)
			phone.sing(to)
		case <-deadline:
			r.t.Fatalf("no tone: phone heard %d Hz %v, device heard %d Hz %v", phone.hertz(), phone.pts, d.ear.hertz(), d.ear.pts)
		}
	}
}

// talk proves that sound goes both ways.
func (r *rig) talk(d *device, phone *ear, to netip.AddrPort) {
	r.t.Helper()
	select {
	case <-d.up:
	case <-time.After(10 * time.Second):
		r.t.Fatal("media of the device did not connect")
	}
	tick := time.NewTicker(20 * time.Millisecond)
	defer tick.Stop()
	deadline := time.After(10 * time.Second)
	for !(phone.heard('X') && d.ear.heard('S')) {
		select {
		case <-tick.C:
			d.ear.say(d.mouth, 8, 'X')
			phone.say(to, 8, 'S')
		case <-deadline:
			r.t.Fatalf("no sound: phone heard %v, device heard %v", phone.pts, d.ear.pts)
		}
	}
}

var (
	pcmaCodec  = relay.Codec{PayloadType: 8, Name: "PCMA", ClockRate: 8000}
	eventCodec = relay.Codec{PayloadType: 101, Name: "telephone-event", ClockRate: 8000}
	opusCodec  = relay.Codec{PayloadType: 111, Name: "opus", ClockRate: 48000, Channels: 2}
)

// callPhone starts a registered phone that takes calls.
func (r *rig) callPhone(name string) *siptest.Phone {
	r.t.Helper()
	return r.callPhoneAt(name, "", r.gateway.SIPAddr("udp"))
}

// callPhoneAt is callPhone with a phone that listens at an address and sends to another.
func (r *rig) callPhoneAt(name, listen, proxy string) *siptest.Phone {
	r.t.Helper()
	r.identity(name, "")
	cfg := siptest.Config{
		Listen: listen, Proxy: proxy, AOR: "sip:" + name + "@" + sipDomain,
		Credentials: siptest.Credentials{User: name, Password: password}, PeerTimeout: 3200 * time.Millisecond,
	}
	p := siptest.StartPhone(r.t, cfg)
	res, err := p.Register(r.ctx(), 600)
	require.NoError(r.t, err)
	require.Equal(r.t, 200, res.Status, res)
	return p
}

// dial places a call with digest, as phones do: the first INVITE is challenged.
func (r *rig) dial(p *siptest.Phone, to string, cfg siptest.CallConfig) *siptest.Call {
	r.t.Helper()
	c, err := p.Call(to, cfg)
	require.NoError(r.t, err)
	res, err := c.Wait(r.ctx())
	require.NoError(r.t, err)
	if res.Status != 401 && res.Status != 407 {
		return c
	}
	h, err := siptest.Authorize(res, siptest.Credentials{User: userOf(p), Password: password}, "INVITE", to, 1)
	require.NoError(r.t, err)
	cfg.Headers = append(cfg.Headers, h.Name+": "+h.Value)
	c, err = p.Call(to, cfg)
	require.NoError(r.t, err)
	return c
}

func userOf(p *siptest.Phone) string {
	uri := p.ContactURI()
	user, _, _ := strings.Cut(strings.TrimPrefix(uri, "sip:"), "@")
	return user
}

// gajim is a client that takes calls and no proposals.
func gajim() disco.Info {
	return disco.Info{
		Identities: []disco.Identity{{Category: "client", Type: "pc", Name: "direct"}},
		Features: disco.NewFeatures(xmpp.NSDiscoInfo, xmpp.NSCaps, xmpp.NSJingle, xmpp.NSJingleRTP, xmpp.NSJingleRTPAudio,
			xmpp.NSJingleICEUDP, xmpp.NSJingleDTLS),
	}
}
