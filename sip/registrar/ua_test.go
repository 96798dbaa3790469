package registrar

import (
	"context"
	"crypto/tls"
	"fmt"
	"net"
	"net/netip"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/stoxgate/stoxgate/sip"
	"github.com/stoxgate/stoxgate/sip/siptest"
	"github.com/stoxgate/stoxgate/sip/ua"
)

// passwords are the digest users of the tests.
type passwords map[string]string

func (p passwords) HA1(user, realm, algorithm string) (string, bool) {
	pw, ok := p[user]
	h := siptest.HA1(algorithm, user, realm, pw)
	return h, ok && h != ""
}

// Trusted is what must not help a REGISTER.
func (p passwords) Trusted(netip.Addr, string, *tls.ConnectionState) bool { return true }

// rig is a real UA with a registrar on loopback.
type rig struct {
	ua   *ua.UA
	reg  *Registrar
	pool *siptest.Authority
	stop func()
}

var credentials = passwords{"otto": "secret-o", "mira": "secret-m"}

func newRig(t *testing.T, store Bindings, udpPort int, change ...func(*ua.Config)) *rig {
	t.Helper()
	ca, err := siptest.NewAuthority()
	require.NoError(t, err)
	cert, err := ca.Issue("127.0.0.1", domain)
	require.NoError(t, err)
	var listen []ua.Listen
	for _, tr := range []string{"udp", "tcp", "tls", "ws"} {
		l := ua.Listen{Transport: tr, Host: "127.0.0.1"}
		if tr == "udp" {
			l.Port = udpPort
		}
		listen = append(listen, l)
	}
	r := &rig{pool: ca}
	conf := ua.Config{
		Listen: listen, TLS: &tls.Config{Certificates: []tls.Certificate{cert}, RootCAs: ca.Pool},
		Auth: credentials, Supported: []string{"path", "outbound", "gruu"}, UserAgent: "stoxgate",
	}
	for _, f := range change {
		f(&conf)
	}
	r.ua, err = ua.New(conf)
	require.NoError(t, err)
	cfg := testConfig()
	cfg.Store, cfg.Alive = store, r.ua.Alive
	var stopRegistrar func()
	r.reg, stopRegistrar = newRegistrar(t, cfg)
	r.ua.Handle(sip.REGISTER, r.reg.Handle)
	require.NoError(t, r.ua.Start(context.Background()))
	var stopped bool
	r.stop = func() {
		if stopped {
			return
		}
		stopped = true
		stopRegistrar()
		ctx, cancel := context.WithTimeout(context.Background(), 5*time.Second)
		defer cancel()
		require.NoError(t, r.ua.Shutdown(ctx))
	}
	t.Cleanup(r.stop)
	return r
}

// phone is a scripted phone of a user.
func (r *rig) phone(t *testing.T, transport, user string, change ...func(*siptest.Config)) *siptest.UA {
	t.Helper()
	cfg := siptest.Config{
		Transport: transport, Proxy: r.ua.Addr(transport).String(), AOR: "sip:" + user + "@" + domain,
		Credentials: siptest.Credentials{User: user, Password: credentials[user]},
		TLS:         &tls.Config{RootCAs: r.pool.Pool}, Auto: true,
	}
	for _, f := range change {
		f(&cfg)
	}
	return siptest.Start(t, cfg)
}

// call sends a MESSAGE to each binding of otto as the gateway does.
func (r *rig) call(t *testing.T) []int {
	t.Helper()
	var codes []int
	for i, b := range r.reg.Lookup(otto) {
		req := sip.NewRequest(sip.MESSAGE, b.Contact)
		from := sip.URI{Scheme: "sip", User: fmt.Sprint("mira", i), Host: "example.org"}
		sip.SetDialogHeaders(req, sip.NameAddr{URI: from}, sip.NameAddr{URI: otto}, fmt.Sprint(time.Now().UnixNano()), 1)
		require.NoError(t, sip.SetBody(req, "text/plain;charset=UTF-8", []byte("hello")))
		res, err := r.ua.Do(deadline(t), req, r.reg.Target(b))
		require.NoError(t, err)
		codes = append(codes, res.StatusCode)
	}
	return codes
}

func deadline(t *testing.T) context.Context {
	ctx, cancel := context.WithTimeout(context.Background(), 10*time.Second)
	t.Cleanup(cancel)
	return ctx
}

// until waits for a condition that real goroutines bring about.
func until(t *testing.T, what string, f func() bool) {
	t.Helper()
	end := time.NewTimer(10 * time.Second)
	defer end.Stop()
	tick := time.NewTicker(5 * time.Millisecond)
	defer tick.Stop()
	for !f() {
		select {
		case <-tick.C:
		case <-end.C:
			t.Fatalf("%s did not happen", what)
		}
	}
}

// TestPhones is a phone's day over each transport: register with digest, get a
// message, refresh, lose the connection, come back, unregister.
func TestPhones(t *testing.T) {
	for _, tr := range []string{"udp", "tcp", "tls", "ws"} {
		for _, alg := range []string{"MD5", "SHA-256"} {
			t.Run(tr+" "+alg, func(t *testing.T) {
				r := newRig(t, newMemoryStore(), 0)
				phone := r.phone(t, tr, "otto", func(c *siptest.Config) { c.Credentials.Algorithm, c.ReuseNonce = alg, true })
				ctx := deadline(t)
				res, err := phone.Register(ctx, 300)
				require.NoError(t, err)
				require.Equal(t, 200, res.Status, res)
				require.Equal(t, "<"+phone.ContactURI()+">;expires=300", res.Get("Contact"))
				require.Len(t, r.reg.Lookup(otto), 1)
				require.Equal(t, []int{200}, r.call(t))
				require.Equal(t, "hello", string(phone.Want(t, siptest.Is("MESSAGE")).Body))

				res, err = phone.Register(ctx, 0, "Contact:", "Expires:") // what is there?
				require.NoError(t, err)
				require.Equal(t, 200, res.Status)
				for range 2 {
					res, err = phone.Register(ctx, 300)
					require.NoError(t, err)
					require.Equal(t, 200, res.Status, res)
				}
				phone.AssertClean(t)
				if tr != "udp" {
					phone.Hangup()
					want := 0
					if tr == "tcp" { // the contact can be dialled
						want = 1
					}
					until(t, "end of the connection", func() bool {
						list := r.reg.Lookup(otto)
						return len(list) == want && (want == 0 || r.reg.Target(list[0]).Flow.IsZero())
					})
					if tr == "tcp" {
						require.Equal(t, []int{200}, r.call(t))
					}
					_, err = phone.Register(ctx, 300)
					require.NoError(t, err)
					require.Equal(t, []int{200}, r.call(t))
				}
				res, err = phone.Unregister(ctx)
				require.NoError(t, err)
				require.Equal(t, 200, res.Status)
				require.Empty(t, r.reg.Lookup(otto))
				if tr != "tcp" { // there the last 200 may come again over a new connection, see Hangup
					phone.AssertClean(t)
				}
			})
		}
	}
}

func TestAuthentication(t *testing.T) {
	r := newRig(t, nil, 0)
	ctx := deadline(t)
	code := func(phone *siptest.UA, headers ...string) int {
		t.Helper()
		res, err := phone.Register(ctx, 300, headers...)
		require.NoError(t, err)
		return res.Status
	}
	wrong := r.phone(t, "udp", "otto", func(c *siptest.Config) { c.Credentials.Password = "guess" })
	require.Equal(t, 401, code(wrong))
	stranger := r.phone(t, "udp", "otto", func(c *siptest.Config) { c.Credentials.User = "nobody" })
	require.Equal(t, 401, code(stranger))
	other := r.phone(t, "udp", "otto", func(c *siptest.Config) {
		c.Credentials.User, c.Credentials.Password = "mira", credentials["mira"]
	})
	require.Equal(t, 403, code(other))
	anonymous := r.phone(t, "udp", "otto", func(c *siptest.Config) { c.Credentials = siptest.Credentials{} })
	res, err := anonymous.Register(ctx, 300)
	require.NoError(t, err)
	require.Equal(t, 401, res.Status) // though its address is trusted
	require.Contains(t, res.Get("WWW-Authenticate"), `realm="`+domain+`"`)
	require.Equal(t, 404, code(anonymous, "To: <sip:otto@elsewhere.example>"))
	require.Equal(t, 416, code(anonymous, "To: <sips:otto@"+domain+">"))
	require.Equal(t, 420, code(anonymous, "Require: teleport"))
	require.Empty(t, r.reg.Lookup(otto))

	// A digest that was seen is of no use to who saw it.
	challenge, err := anonymous.Register(ctx, 300)
	require.NoError(t, err)
	req := anonymous.RegisterRequest(300)
	h, err := siptest.Authorize(challenge, siptest.Credentials{User: "otto", Password: credentials["otto"]}, "REGISTER", req.RequestURI, 1)
	require.NoError(t, err)
	res, err = anonymous.Do(ctx, req.Set(h.Name, h.Value))
	require.NoError(t, err)
	require.Equal(t, 200, res.Status)
	replay := anonymous.RegisterRequest(300, "Contact: <sip:mallory@127.0.0.1:9>").Set(h.Name, h.Value)
	res, err = anonymous.Do(ctx, replay)
	require.NoError(t, err)
	require.Equal(t, 401, res.Status)
	require.Contains(t, strings.ToLower(res.Get("WWW-Authenticate")), "stale=true")
	require.Len(t, r.reg.Lookup(otto), 1)
	anonymous.AssertClean(t)
}

// TestRestartReachesPhones stops everything and starts it again: a UDP phone gets
// its message although it has not registered anew.
func TestRestartReachesPhones(t *testing.T) {
	store := newMemoryStore()
	r := newRig(t, store, 0)
	port := int(r.ua.Addr("udp").Port())
	udp, tcp := r.phone(t, "udp", "otto"), r.phone(t, "tcp", "otto")
	web := r.phone(t, "ws", "otto")
	for _, p := range []*siptest.UA{udp, tcp, web} {
		res, err := p.Register(deadline(t), 300)
		require.NoError(t, err)
		require.Equal(t, 200, res.Status)
	}
	require.Equal(t, []int{200, 200, 200}, r.call(t))
	r.stop()
	r = newRig(t, store, port)
	require.Len(t, r.reg.Lookup(otto), 2)
	require.Equal(t, []int{200, 200}, r.call(t))
	udp.AssertClean(t)
	tcp.AssertClean(t)
}

// TestOutboundPhone has two flows of one phone.
func TestOutboundPhone(t *testing.T) {
	r := newRig(t, nil, 0)
	var flows []*siptest.UA
	for id := 1; id <= 2; id++ {
		p := r.phone(t, "tcp", "otto", func(c *siptest.Config) { c.Instance, c.RegID = "urn:uuid:00000000-0000-1000-8000-000a95a0e128", id })
		res, err := p.Register(deadline(t), 300)
		require.NoError(t, err)
		require.Equal(t, 200, res.Status)
		require.Equal(t, "outbound", res.Get("Require"))
		require.Contains(t, res.Get("Contact"), `pub-gruu="sip:otto@sip.example.org;gr=urn:uuid:00000000-0000-1000-8000-000a95a0e128"`)
		flows = append(flows, p)
	}
	require.Equal(t, []int{200, 200}, r.call(t))
	flows[0].Hangup()
	until(t, "end of the first flow", func() bool { return len(r.reg.Lookup(otto)) == 1 })
	require.Equal(t, []int{200}, r.call(t))
	flows[1].Want(t, siptest.Is("MESSAGE"))
	flows[1].Want(t, siptest.Is("MESSAGE"))
	require.NoError(t, flows[1].Close())
	until(t, "end of the second flow", func() bool { return len(r.reg.Lookup(otto)) == 0 })
	for _, p := range flows {
		p.AssertClean(t)
	}
}

// TestNAT is a UDP phone that tells an address which leads nowhere.
func TestNAT(t *testing.T) {
	r := newRig(t, nil, 0)
	phone := r.phone(t, "udp", "otto")
	res, err := phone.Register(deadline(t), 300, "Contact: <sip:otto@10.255.255.1:5060>")
	require.NoError(t, err)
	require.Equal(t, 200, res.Status)
	require.Equal(t, []int{200}, r.call(t))
	require.Equal(t, "sip:otto@10.255.255.1:5060", phone.Want(t, siptest.Is("MESSAGE")).RequestURI)
	phone.AssertClean(t)
}

// TestPathPhone has requests go through the proxy that a phone named.
func TestPathPhone(t *testing.T) {
	r := newRig(t, nil, 0)
	edge := siptest.Start(t, siptest.Config{Auto: true})
	phone := r.phone(t, "udp", "otto")
	res, err := phone.Register(deadline(t), 300, "Supported: path", "Path: <sip:"+edge.Addr()+";lr>")
	require.NoError(t, err)
	require.Equal(t, 200, res.Status)
	require.Equal(t, []int{200}, r.call(t))
	in := edge.Want(t, siptest.Is("MESSAGE"))
	require.Equal(t, "<sip:"+edge.Addr()+";lr>", in.Get("Route"))
	require.Equal(t, phone.ContactURI(), in.RequestURI)
	edge.AssertClean(t)
	phone.AssertClean(t)
}

// TestTrunkClient registers at a strict registrar that challenges.
func TestTrunkClient(t *testing.T) {
	for _, tr := range []string{"udp", "tcp"} {
		t.Run(tr, func(t *testing.T) {
			r := newRig(t, nil, 0)
			carrier := siptest.Start(t, siptest.Config{Transport: tr})
			carrier.Answer(siptest.Is("REGISTER"), siptest.Status(423, "Min-Expires: 7200"),
				siptest.Authenticated(siptest.ServerAuth{Realm: "carrier.example", User: "u", Password: "p", Stale: true},
					siptest.AcceptRegister(7200, "Service-Route: <sip:edge.carrier.example;lr>")))
			host, port, err := net.SplitHostPort(carrier.Addr())
			require.NoError(t, err)
			hop, err := sip.ParseURI("sip:" + host + ":" + port + ";transport=" + tr)
			require.NoError(t, err)
			c, err := NewClient(ClientConfig{
				Name: "carrier", Sender: r.ua, AOR: sip.URI{Scheme: "sip", User: "+4930123", Host: "carrier.example"},
				Target:  ua.Target{URI: hop, Credentials: &ua.Credentials{Username: "u", Password: "p"}},
				Contact: r.ua.Contact("carrier", tr, netip.MustParseAddr("127.0.0.1")),
			})
			require.NoError(t, err)
			ctx, cancel := context.WithCancel(context.Background())
			ended := make(chan error, 1)
			go func() { ended <- c.Run(ctx) }()
			until(t, "registration", func() bool { return c.Status().State == ClientRegistered })
			require.Equal(t, "<sip:edge.carrier.example;lr>", c.Status().ServiceRoute[0].String())
			require.WithinDuration(t, time.Now().Add(2*time.Hour), c.Status().Until, 10*time.Second)
			c.Refresh()
			cancel()
			require.NoError(t, <-ended)
			bye := carrier.Want(t, siptest.Contains("Expires", "0"), func(m *siptest.Message) bool { return m.Get("Expires") == "0" })
			require.Equal(t, "sip:carrier.example", bye.RequestURI)
			carrier.AssertClean(t)
		})
	}
}

// TestTrunkProbe pings a strict trunk.
func TestTrunkProbe(t *testing.T) {
	r := newRig(t, nil, 0)
	pbx := siptest.Start(t, siptest.Config{})
	pbx.Answer(siptest.Is("OPTIONS"), siptest.Status(404))
	uri, err := sip.ParseURI("sip:" + pbx.Addr())
	require.NoError(t, err)
	p, err := NewProber(ProberConfig{Name: "pbx", Sender: r.ua, URI: uri, From: sip.URI{Scheme: "sip", Host: domain}, Interval: 200 * time.Millisecond})
	require.NoError(t, err)
	ctx, cancel := context.WithCancel(context.Background())
	ended := make(chan error, 1)
	go func() { ended <- p.Run(ctx) }()
	until(t, "answer", func() bool { return p.Status().State == ProbeUp })
	pbx.Answer(siptest.Is("OPTIONS"), siptest.Status(503))
	until(t, "third miss", func() bool { return p.Status().State == ProbeDown })
	pbx.Answer(siptest.Is("OPTIONS"), siptest.Status(200))
	until(t, "answer", func() bool { return p.Status().State == ProbeUp })
	cancel()
	require.NoError(t, <-ended)
	pbx.AssertClean(t)
}
