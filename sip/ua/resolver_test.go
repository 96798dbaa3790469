package ua

import (
	"context"
	"fmt"
	"net"
	"net/netip"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/miekg/dns"
	"github.com/stretchr/testify/require"

	"github.com/stoxgate/stoxgate/sip"
)

var everything = Transports{UDP: true, UDP4: true, UDP6: true, TCP: true, TLS: true}

func resolveText(t *testing.T, r *Resolver, uri string, can Transports) string {
	t.Helper()
	u, err := sip.ParseURI(uri)
	require.NoError(t, err)
	list, err := r.Resolve(t.Context(), u, can)
	if err != nil {
		require.ErrorIs(t, err, ErrResolve)
		return "error"
	}
	var out []string
	for _, d := range list {
		out = append(out, d.String())
	}
	return strings.Join(out, " ")
}

// RFC 3263 §4.1 and §4.2.
func TestResolve(t *testing.T) {
	d := newDNSServer(t,
		`naptr.example. 60 IN NAPTR 20 10 "s" "SIP+D2U" "" _sip._udp.naptr.example.`,
		`naptr.example. 60 IN NAPTR 10 20 "s" "SIP+D2T" "" odd.name.naptr.example.`,
		`naptr.example. 60 IN NAPTR 10 10 "s" "SIPS+D2T" "" _sips._tcp.naptr.example.`,
		`naptr.example. 60 IN NAPTR 5 10 "s" "SIP+D2W" "" _sip._ws.naptr.example.`,
		`naptr.example. 60 IN NAPTR 5 10 "u" "E2U+sip" "!x!y!" .`,
		`_sip._udp.naptr.example. 60 IN SRV 10 0 5070 h1.example.`,
		`odd.name.naptr.example. 60 IN SRV 10 0 5071 h1.example.`,
		`_sips._tcp.naptr.example. 60 IN SRV 10 0 5072 h1.example.`,
		`_sip._tcp.srv.example. 60 IN SRV 20 0 5081 h2.example.`,
		`_sip._tcp.srv.example. 60 IN SRV 10 0 5080 h1.example.`,
		`_sip._udp.srv.example. 60 IN SRV 10 0 5060 h1.example.`,
		`srv.example. 60 IN A 192.0.2.99`,
		`h1.example. 60 IN A 192.0.2.1`,
		`h2.example. 60 IN AAAA 2001:db8::2`, `h2.example. 60 IN A 192.0.2.2`, `h2.example. 60 IN A 192.0.2.3`,
		`_sip._udp.none.example. 60 IN SRV 0 0 0 .`,
		`_sip._udp.half.example. 60 IN SRV 1 0 5060 missing.example.`, `_sip._udp.half.example. 60 IN SRV 2 0 5060 h1.example.`,
	)
	r := d.resolver()
	udpOnly := Transports{UDP: true, UDP4: true}
	for _, tt := range []struct {
		uri  string
		can  Transports
		want string
	}{
		{"sip:192.0.2.7", everything, "udp://192.0.2.7:5060"},
		{"sip:192.0.2.7", Transports{TCP: true}, "tcp://192.0.2.7:5060"},
		{"sip:a@[2001:db8::7]:5070;transport=tcp", everything, "tcp://[2001:db8::7]:5070"},
		{"sips:192.0.2.7", everything, "tls://192.0.2.7:5061"},
		{"sip:192.0.2.7;transport=tls", everything, "tls://192.0.2.7:5061"},
		{"sips:192.0.2.7;transport=tcp", everything, "tls://192.0.2.7:5061"},
		{"sip:h1.example;maddr=192.0.2.8", everything, "udp://192.0.2.8:5060"},
		{"sip:h1.example:5090", everything, "udp://192.0.2.1:5090"},
		{"sip:H1.example.:5090;transport=TCP", everything, "tcp://192.0.2.1:5090"},
		{"sip:h2.example:5090", everything, "udp://192.0.2.2:5090 udp://[2001:db8::2]:5090 udp://192.0.2.3:5090"},
		{"sip:h2.example:5090", udpOnly, "udp://192.0.2.2:5090 udp://192.0.2.3:5090"},
		{"sip:naptr.example", everything, "tls://192.0.2.1:5072 tcp://192.0.2.1:5071 udp://192.0.2.1:5070"},
		{"sip:naptr.example", udpOnly, "udp://192.0.2.1:5070"},
		{"sips:naptr.example", everything, "tls://192.0.2.1:5072"},
		{"sip:naptr.example;transport=udp", everything, "udp://192.0.2.1:5070"},
		{"sip:srv.example", everything, "tcp://192.0.2.1:5080 tcp://192.0.2.2:5081 tcp://[2001:db8::2]:5081 tcp://192.0.2.3:5081 udp://192.0.2.1:5060"},
		{"sip:srv.example;transport=tcp", udpOnly, "error"},
		{"sip:srv.example;transport=tls", everything, "tls://192.0.2.99:5061"},
		{"sip:h1.example", everything, "udp://192.0.2.1:5060"},
		{"sips:h1.example", everything, "tls://192.0.2.1:5061"},
		{"sip:half.example", everything, "udp://192.0.2.1:5060"},
		{"sip:none.example", udpOnly, "error"},
		{"sip:missing.example", everything, "error"},
		{"sip:a;transport=ws", everything, "error"},
		{"sips:h1.example;transport=udp", everything, "error"},
		{"sips:h1.example", udpOnly, "error"},
		{"tel:+4930", everything, "error"},
		{"sip:[2001:db8::7]", udpOnly, "error"},
	} {
		t.Run(tt.uri, func(t *testing.T) { require.Equal(t, tt.want, resolveText(t, r, tt.uri, tt.can)) })
	}
}

func TestResolveCaches(t *testing.T) {
	d := newDNSServer(t, "h.example. 5 IN A 192.0.2.1", "gone.example. 600 IN TXT x")
	r := d.resolver()
	var skew atomic.Int64
	r.dns.now = func() time.Time { return time.Now().Add(time.Duration(skew.Load())) }
	for range 3 {
		require.Equal(t, "udp://192.0.2.1:5060", resolveText(t, r, "sip:h.example", everything))
		require.Equal(t, "error", resolveText(t, r, "sip:gone.example", everything))
	}
	require.Equal(t, 1, d.asked("h.example.", dns.TypeA))
	require.Equal(t, 1, d.asked("h.example.", dns.TypeNAPTR))
	require.Equal(t, 1, d.asked("gone.example.", dns.TypeA), "that there is nothing is remembered too")
	skew.Store(int64(6 * time.Second))
	resolveText(t, r, "sip:h.example", everything)
	resolveText(t, r, "sip:gone.example", everything)
	require.Equal(t, 2, d.asked("h.example.", dns.TypeA))
	require.Equal(t, 1, d.asked("gone.example.", dns.TypeA))
	skew.Store(int64(40 * time.Second))
	resolveText(t, r, "sip:gone.example", everything)
	require.Equal(t, 2, d.asked("gone.example.", dns.TypeA))
}

func TestResolveConcurrentCallersShareQueries(t *testing.T) {
	d := newDNSServer(t, "h.example. 60 IN A 192.0.2.1")
	r := d.resolver()
	done := make(chan string, 50)
	for range 50 {
		go func() {
			list, err := r.Resolve(context.Background(), sip.URI{Scheme: "sip", Host: "h.example"}, everything)
			done <- fmt.Sprint(list, err)
		}()
	}
	for range 50 {
		require.Equal(t, "[udp://192.0.2.1:5060] <nil>", <-done)
	}
	require.Equal(t, 1, d.asked("h.example.", dns.TypeA))
}

func TestResolveServerTrouble(t *testing.T) {
	d := newDNSServer(t, "h.example. 60 IN A 192.0.2.1")
	dead, err := net.ListenPacket("udp4", "127.0.0.1:0") // hears and says nothing
	require.NoError(t, err)
	defer dead.Close()
	r := NewResolver(ResolverConfig{Servers: []string{dead.LocalAddr().String(), d.addr}, Hosts: "testdata/none", Timeout: 50 * time.Millisecond})
	require.Equal(t, "udp://192.0.2.1:5060", resolveText(t, r, "sip:h.example", everything))

	d.mu.Lock()
	d.rcode["bad.example."] = dns.RcodeServerFailure
	d.mu.Unlock()
	require.Equal(t, "error", resolveText(t, d.resolver(), "sip:bad.example:5060", everything))

	ctx, cancel := context.WithTimeout(t.Context(), 10*time.Millisecond)
	defer cancel()
	alone := NewResolver(ResolverConfig{Servers: []string{dead.LocalAddr().String()}, Hosts: "testdata/none", Timeout: 50 * time.Millisecond})
	_, err = alone.Resolve(ctx, sip.URI{Scheme: "sip", Host: "h.example"}, everything)
	require.ErrorIs(t, err, context.DeadlineExceeded)
	require.Equal(t, "error", resolveText(t, NewResolver(ResolverConfig{Servers: []string{d.addr}, Hosts: "testdata/none"}), "sip:"+strings.Repeat("a", 70)+".example", everything))
}

// A query ends with the last caller that waits for it; one that leaves early does
// not spoil it for the others.
func TestResolveEndsWithItsCallers(t *testing.T) {
	silent, err := net.ListenPacket("udp4", "127.0.0.1:0")
	require.NoError(t, err)
	defer silent.Close()
	r := NewResolver(ResolverConfig{Servers: []string{silent.LocalAddr().String()}, Hosts: "testdata/none", Timeout: time.Minute})
	ctx, cancel := context.WithCancel(t.Context())
	first, second := make(chan error, 1), make(chan error, 1)
	uri := sip.URI{Scheme: "sip", Host: "h.example", Port: 5060}
	resolve := func(ctx context.Context, c chan error) {
		_, err := r.Resolve(ctx, uri, everything)
		c <- err
	}
	go resolve(ctx, first)
	waiting := func() int {
		r.dns.mu.Lock()
		defer r.dns.mu.Unlock()
		if f := r.dns.flight[question{"h.example", dns.TypeA}]; f != nil {
			return f.waiting
		}
		return 0
	}
	require.Eventually(t, func() bool { return waiting() == 1 }, patience, time.Millisecond)
	other, stop := context.WithCancel(t.Context())
	go resolve(other, second)
	require.Eventually(t, func() bool { return waiting() == 2 }, patience, time.Millisecond)
	cancel()
	require.ErrorIs(t, <-first, context.Canceled)
	require.Equal(t, 1, waiting())
	stop()
	require.ErrorIs(t, <-second, context.Canceled)
	require.Empty(t, r.dns.cache, "silence that nobody waited for says nothing")
}

func TestResolveTruncatedOverTCP(t *testing.T) {
	d := newDNSServer(t, "h.example. 60 IN A 192.0.2.1")
	l, err := net.Listen("tcp4", d.addr)
	require.NoError(t, err)
	srv := &dns.Server{Listener: l, Handler: d}
	done := make(chan struct{})
	go func() { defer close(done); _ = srv.ActivateAndServe() }()
	defer func() { _ = l.Close(); <-done }()
	d.mu.Lock()
	d.truncate = true
	d.mu.Unlock()
	require.Equal(t, "udp://192.0.2.1:5060", resolveText(t, d.resolver(), "sip:h.example:5060", everything))
	require.Equal(t, 2, d.asked("h.example.", dns.TypeA))
}

func TestCacheIsBounded(t *testing.T) {
	c := newDNSClient(ResolverConfig{Servers: []string{"127.0.0.1:9"}})
	now := time.Now()
	c.now = func() time.Time { return now }
	for i := range maxCached {
		c.cache[question{fmt.Sprint(i), dns.TypeA}] = &answer{expires: now.Add(time.Duration(i%2*2-1) * time.Minute)}
	}
	c.evict()
	require.Len(t, c.cache, maxCached/2, "what has expired goes first")
	for i := range 2 * maxCached {
		c.cache[question{fmt.Sprint(i), dns.TypeA}] = &answer{expires: now.Add(time.Minute)}
	}
	c.evict()
	require.Less(t, len(c.cache), maxCached)
}

func TestResolveHostsFile(t *testing.T) {
	file := filepath.Join(t.TempDir(), "hosts")
	require.NoError(t, os.WriteFile(file, []byte("# comment\n2001:db8::9 pbx pbx.lan\n192.0.2.9\tPBX # x\nbroken line\n"), 0o600))
	d := newDNSServer(t)
	r := NewResolver(ResolverConfig{Servers: []string{d.addr}, Hosts: file})
	var skew atomic.Int64
	r.dns.now = func() time.Time { return time.Now().Add(time.Duration(skew.Load())) }
	require.Equal(t, "udp://192.0.2.9:5060 udp://[2001:db8::9]:5060", resolveText(t, r, "sip:otto@pbx", everything))
	require.Equal(t, "tcp://127.0.0.1:5080 tcp://[::1]:5080", resolveText(t, r, "sip:localhost:5080;transport=tcp", everything))
	require.Equal(t, "udp://127.0.0.1:5060", resolveText(t, r, "sip:x.localhost", Transports{UDP: true, UDP4: true}))
	require.Empty(t, d.queries, "no server was asked")
	require.NoError(t, os.WriteFile(file, []byte("192.0.2.10 pbx\n"), 0o600))
	skew.Store(int64(time.Minute))
	require.Equal(t, "udp://192.0.2.10:5060", resolveText(t, r, "sip:otto@pbx", everything))
}

func TestOrderSRV(t *testing.T) {
	rec := func(prio, weight, port uint16) *dns.SRV { return &dns.SRV{Priority: prio, Weight: weight, Port: port} }
	first := map[uint16]int{}
	const n = 4000
	for range n {
		list := orderSRV([]*dns.SRV{rec(20, 100, 5), rec(10, 30, 1), rec(10, 10, 2), rec(10, 0, 3)})
		require.Len(t, list, 4)
		require.Equal(t, uint16(5), list[3].Port, "a worse priority comes last")
		first[list[0].Port]++
	}
	require.InDelta(t, 0.73, float64(first[1])/n, 0.06)
	require.InDelta(t, 0.24, float64(first[2])/n, 0.06)
	require.Positive(t, first[3], "weight 0 has a small chance")
	require.Empty(t, orderSRV(nil))
}

func TestBlocklist(t *testing.T) {
	now := time.Now()
	b := newBlocklist()
	b.now = func() time.Time { return now }
	d := func(port uint16) Dest {
		return Dest{Transport: "udp", Addr: netip.AddrPortFrom(netip.AddrFrom4([4]byte{192, 0, 2, 1}), port)}
	}
	list := []Dest{d(1), d(2), d(3)}
	b.add(d(1), 0)
	b.add(d(3), time.Hour)
	require.Equal(t, []Dest{d(2), d(1), d(3)}, b.order(slices.Clone(list)))
	now = now.Add(blockFor + time.Second)
	require.False(t, b.has(d(1)))
	require.True(t, b.has(d(3)))
	now = now.Add(blockMax)
	require.Equal(t, list, b.order(list), "an hour is too long to believe")
	for i := range maxBlocks + 10 {
		b.add(Dest{Transport: "tcp", Addr: netip.AddrPortFrom(netip.AddrFrom4([4]byte{10, byte(i >> 16), byte(i >> 8), byte(i)}), 1)}, 0)
	}
	require.LessOrEqual(t, len(b.m), maxBlocks)
}
