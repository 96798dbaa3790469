package ua

import (
	"bytes"
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"fmt"
	"math/big"
	"net"
	"net/netip"
	"net/url"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/miekg/dns"
	"github.com/rs/zerolog"
	"github.com/stretchr/testify/require"

	"github.com/stoxgate/stoxgate/sip"
)

const patience = 5 * time.Second

// fast are timers that let 64*T1 pass in 1.3 s.
var fast = Timers{T1: 20 * time.Millisecond, T2: 80 * time.Millisecond, T4: 100 * time.Millisecond, Answer: patience}

// startUA starts a UA that listens on udp and tcp of 127.0.0.1, unless configure
// says something else, and shuts it down at the end.
func startUA(t *testing.T, configure func(*Config), prepare ...func(*UA)) *UA {
	t.Helper()
	cfg := Config{
		Listen: []Listen{{Transport: "udp", Host: "127.0.0.1"}, {Transport: "tcp", Host: "127.0.0.1"}},
		Timers: fast, Log: zerolog.New(zerolog.NewTestWriter(t)).Level(zerolog.DebugLevel), UserAgent: "stoxgate/test",
		Resolver: NewResolver(ResolverConfig{Servers: []string{"127.0.0.1:9"}, Hosts: "testdata/none"}),
	}
	if configure != nil {
		configure(&cfg)
	}
	u, err := New(cfg)
	require.NoError(t, err)
	for _, p := range prepare {
		p(u)
	}
	require.NoError(t, u.Start(t.Context()))
	t.Cleanup(func() {
		ctx, cancel := context.WithTimeout(context.Background(), 200*time.Millisecond)
		defer cancel()
		_ = u.Shutdown(ctx) // may tell that something was unanswered; goroutines are goleak's affair
	})
	return u
}

func handle(m sip.Method, h func(*Inbound)) func(*UA) { return func(u *UA) { u.Handle(m, h) } }

func answerWith(code int) func(*Inbound) {
	return func(in *Inbound) { _ = in.Respond(sip.Status{Code: code}) }
}

// udpPeer is a bare socket with a script.
type udpPeer struct {
	t        *testing.T
	pc       *net.UDPConn
	answered map[string][]byte // by branch, for retransmissions that a slow machine brings about
}

func newUDPPeer(t *testing.T) *udpPeer {
	t.Helper()
	pc, err := net.ListenUDP("udp4", &net.UDPAddr{IP: net.IPv4(127, 0, 0, 1)})
	require.NoError(t, err)
	t.Cleanup(func() { _ = pc.Close() })
	return &udpPeer{t, pc, map[string][]byte{}}
}

func (p *udpPeer) addr() netip.AddrPort { return p.pc.LocalAddr().(*net.UDPAddr).AddrPort() }
func (p *udpPeer) uri() sip.URI {
	return sip.URI{Scheme: "sip", User: "peer", Host: "127.0.0.1", Port: int(p.addr().Port())}
}

func (p *udpPeer) send(to netip.AddrPort, raw []byte) {
	p.t.Helper()
	_, err := p.pc.WriteToUDPAddrPort(raw, to)
	require.NoError(p.t, err)
}

// receive waits for a datagram; nil when none comes in that time.
func (p *udpPeer) receive(wait time.Duration) (sip.Message, []byte, netip.AddrPort) {
	p.t.Helper()
	buf := make([]byte, 65536)
	require.NoError(p.t, p.pc.SetReadDeadline(time.Now().Add(wait)))
	n, from, err := p.pc.ReadFromUDPAddrPort(buf)
	if err != nil {
		return nil, nil, from
	}
	msg, err := sip.ParseMessage(buf[:n])
	require.NoError(p.t, err, "%q", buf[:n])
	return msg, buf[:n], from
}

func (p *udpPeer) request() (*sip.Request, netip.AddrPort) {
	p.t.Helper()
	for {
		msg, _, from := p.receive(patience)
		req, ok := msg.(*sip.Request)
		require.True(p.t, ok, "no request came")
		b := p.answered[req.Via().Value()]
		if b == nil || req.Method == sip.ACK {
			return req, from
		}
		p.send(from, b)
	}
}

func (p *udpPeer) response() *sip.Response {
	p.t.Helper()
	msg, _, _ := p.receive(patience)
	res, ok := msg.(*sip.Response)
	require.True(p.t, ok, "no response came")
	return res
}

// answer responds to the next request.
func (p *udpPeer) answer(s sip.Status) *sip.Request {
	p.t.Helper()
	req, from := p.request()
	b := wireOf(p.t, sip.NewResponse(req, s, "peer"))
	p.answered[req.Via().Value()] = b
	p.send(from, b)
	return req
}

func wireOf(t testing.TB, msg sip.Message) []byte {
	t.Helper()
	b, err := sip.AppendMessage(nil, msg)
	require.NoError(t, err)
	return b
}

// raw builds a request text; the lines of extra are added before the end.
func raw(method, branch, callID, via string, extra ...string) []byte {
	body := ""
	lines := []string{
		method + " sip:mira@chat.example SIP/2.0",
		"Via: " + via + ";branch=" + branch,
		"Max-Forwards: 70",
		"From: <sip:otto@voice.example>;tag=from1",
		"To: <sip:mira@chat.example>",
		"Call-ID: " + callID,
		"CSeq: 1 " + method,
	}
	length := true
	for _, x := range extra {
		if rest, ok := strings.CutPrefix(x, "body "); ok {
			body = rest
			continue
		}
		if x == "no length" {
			length = false
			continue
		}
		lines = append(lines, x)
	}
	if length {
		lines = append(lines, fmt.Sprintf("Content-Length: %d", len(body)))
	}
	return []byte(strings.Join(lines, "\r\n") + "\r\n\r\n" + body)
}

func viaUDP(p *udpPeer) string { return "SIP/2.0/UDP " + p.addr().String() + ";rport" }

// tcpPeer is one end of a bare connection.
type tcpPeer struct {
	t *testing.T
	c net.Conn
	f framer
}

func dialPeer(t *testing.T, to netip.AddrPort) *tcpPeer {
	t.Helper()
	c, err := net.DialTimeout("tcp", to.String(), patience)
	require.NoError(t, err)
	t.Cleanup(func() { _ = c.Close() })
	return &tcpPeer{t: t, c: c}
}

func (p *tcpPeer) send(b []byte) {
	p.t.Helper()
	_, err := p.c.Write(b)
	require.NoError(p.t, err)
}

// receive waits for a message; nil when the connection ends.
func (p *tcpPeer) receive() sip.Message {
	p.t.Helper()
	require.NoError(p.t, p.c.SetReadDeadline(time.Now().Add(patience)))
	buf := make([]byte, 4096)
	for {
		b, _, _, err := p.f.next()
		require.NoError(p.t, err)
		if b != nil {
			msg, err := sip.ParseMessage(b)
			require.NoError(p.t, err)
			p.f.done()
			return msg
		}
		n, err := p.c.Read(buf)
		if err != nil {
			require.NotErrorIs(p.t, err, context.DeadlineExceeded)
			if ne, ok := err.(net.Error); ok && ne.Timeout() {
				p.t.Fatal("nothing came and the connection is still open")
			}
			return nil
		}
		p.f.write(buf[:n])
	}
}

func (p *tcpPeer) response() *sip.Response {
	p.t.Helper()
	res, ok := p.receive().(*sip.Response)
	require.True(p.t, ok, "no response came")
	return res
}

// tcpServer accepts connections and answers requests by a function; nil answers
// nothing.
func tcpServer(t *testing.T, l net.Listener, answer func(*sip.Request) []byte) netip.AddrPort {
	t.Helper()
	var err error
	if l == nil {
		l, err = net.Listen("tcp", "127.0.0.1:0")
		require.NoError(t, err)
	}
	var wg sync.WaitGroup
	var mu sync.Mutex
	var conns []net.Conn
	wg.Go(func() {
		for {
			c, err := l.Accept()
			if err != nil {
				return
			}
			mu.Lock()
			conns = append(conns, c)
			mu.Unlock()
			wg.Go(func() {
				defer c.Close()
				var f framer
				buf := make([]byte, 65536)
				for {
					n, err := c.Read(buf)
					if err != nil {
						return
					}
					f.write(buf[:n])
					for {
						b, _, _, err := f.next()
						if err != nil || b == nil {
							break
						}
						msg, err := sip.ParseMessage(bytes.Clone(b))
						f.done()
						if err != nil {
							return
						}
						if req, ok := msg.(*sip.Request); ok {
							out := answer(req)
							if out == nil {
								return
							}
							if _, err := c.Write(out); err != nil {
								return
							}
						}
					}
				}
			})
		}
	})
	t.Cleanup(func() {
		_ = l.Close()
		mu.Lock()
		for _, c := range conns {
			_ = c.Close()
		}
		mu.Unlock()
		wg.Wait()
	})
	return l.Addr().(*net.TCPAddr).AddrPort()
}

func okTo(t *testing.T, code int, seen chan<- *sip.Request) func(*sip.Request) []byte {
	return func(req *sip.Request) []byte {
		if seen != nil {
			seen <- req
		}
		b, err := sip.AppendMessage(nil, sip.NewResponse(req, sip.Status{Code: code}, "peer"))
		if err != nil {
			t.Error(err)
		}
		return b
	}
}

// message is a MESSAGE to a URI with a body of that size.
func message(t testing.TB, uri sip.URI, size int) *sip.Request {
	t.Helper()
	req := sip.NewRequest(sip.MESSAGE, uri)
	sip.SetDialogHeaders(req, sip.NameAddr{Display: "Mira", URI: sip.URI{Scheme: "sip", User: "mira", Host: "chat.example"}}, sip.NameAddr{URI: uri}, "m-"+token()+"@gw", 1)
	require.NoError(t, sip.SetBody(req, "text/plain", bytes.Repeat([]byte("x"), size)))
	return req
}

// dnsServer answers from a zone of records in master file form.
type dnsServer struct {
	addr string

	mu       sync.Mutex
	zone     map[question][]dns.RR
	truncate bool // over UDP
	rcode    map[string]int
	queries  map[question]int
}

func newDNSServer(t *testing.T, records ...string) *dnsServer {
	t.Helper()
	pc, err := net.ListenPacket("udp4", "127.0.0.1:0")
	require.NoError(t, err)
	s := &dnsServer{addr: pc.LocalAddr().String(), zone: map[question][]dns.RR{}, rcode: map[string]int{}, queries: map[question]int{}}
	s.set(t, records...)
	srv := &dns.Server{PacketConn: pc, Handler: s}
	done := make(chan struct{})
	go func() {
		defer close(done)
		_ = srv.ActivateAndServe()
	}()
	t.Cleanup(func() {
		_ = pc.Close()
		<-done
	})
	return s
}

func (s *dnsServer) set(t *testing.T, records ...string) {
	t.Helper()
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, r := range records {
		rr, err := dns.NewRR(r)
		require.NoError(t, err)
		q := question{strings.ToLower(rr.Header().Name), rr.Header().Rrtype}
		s.zone[q] = append(s.zone[q], rr)
	}
}

func (s *dnsServer) ServeDNS(w dns.ResponseWriter, m *dns.Msg) {
	q := question{strings.ToLower(m.Question[0].Name), m.Question[0].Qtype}
	s.mu.Lock()
	s.queries[q]++
	r := new(dns.Msg)
	r.SetReply(m)
	r.Answer = s.zone[q]
	r.Rcode = s.rcode[q.name]
	if s.truncate && w.RemoteAddr().Network() == "udp" {
		r.Truncated, r.Answer = true, nil
	}
	s.mu.Unlock()
	_ = w.WriteMsg(r)
}

func (s *dnsServer) asked(name string, qtype uint16) int {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.queries[question{name, qtype}]
}

func (s *dnsServer) resolver() *Resolver {
	return NewResolver(ResolverConfig{Servers: []string{s.addr}, Hosts: "testdata/none", Timeout: 300 * time.Millisecond})
}

// authority issues certificates for tests.
type authority struct {
	cert *x509.Certificate
	key  *ecdsa.PrivateKey
	pool *x509.CertPool
}

func newAuthority(t *testing.T) *authority {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	require.NoError(t, err)
	tmpl := &x509.Certificate{
		SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: "test authority"}, IsCA: true, BasicConstraintsValid: true,
		NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(time.Hour), KeyUsage: x509.KeyUsageCertSign,
	}
	der, err := x509.CreateCertificate(rand.Reader, tmpl, tmpl, &key.PublicKey, key)
	require.NoError(t, err)
	a := &authority{key: key, pool: x509.NewCertPool()}
	a.cert, err = x509.ParseCertificate(der)
	require.NoError(t, err)
	a.pool.AddCert(a.cert)
	return a
}

func (a *authority) issue(t *testing.T, names []string, uris ...string) tls.Certificate {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	require.NoError(t, err)
	tmpl := &x509.Certificate{
		SerialNumber: big.NewInt(2), DNSNames: names, NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(time.Hour),
		KeyUsage: x509.KeyUsageDigitalSignature, ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth, x509.ExtKeyUsageClientAuth},
	}
	for _, s := range uris {
		u, err := url.Parse(s)
		require.NoError(t, err)
		tmpl.URIs = append(tmpl.URIs, u)
	}
	der, err := x509.CreateCertificate(rand.Reader, tmpl, a.cert, &key.PublicKey, a.key)
	require.NoError(t, err)
	return tls.Certificate{Certificate: [][]byte{der}, PrivateKey: key}
}

type addr = netip.Addr

var (
	loopback  = netip.MustParseAddr("127.0.0.1")
	loopback6 = netip.IPv6Loopback()
)

func port(u *UA, transport string) string { return fmt.Sprint(u.Addr(transport).Port()) }
