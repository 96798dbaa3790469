package ua

import (
	"net/netip"
	"testing"

	"github.com/stoxgate/stoxgate/sip"
)

// BenchmarkParts times what one MESSAGE costs without sockets and goroutines.
func BenchmarkParts(b *testing.B) {
	u, err := New(Config{Listen: []Listen{{Transport: "udp", Host: "127.0.0.1"}}})
	if err != nil {
		b.Fatal(err)
	}
	if err := u.Start(b.Context()); err != nil {
		b.Fatal(err)
	}
	defer u.Shutdown(b.Context())
	p := path{sock: u.sockets[0], remote: netip.MustParseAddrPort("127.0.0.1:5070")}
	o := &outgoing{u: u, req: benchMessage(0, p.remote)}
	if err := o.route(); err != nil {
		b.Fatal(err)
	}
	_, wire, err := o.build(p)
	if err != nil {
		b.Fatal(err)
	}
	parse := func(raw []byte) sip.Message {
		m, err := sip.Parse(u.parser, raw)
		if err != nil {
			b.Fatal(err)
		}
		return m
	}
	req := parse(wire).(*sip.Request)
	u.stampVia(p, req)
	answer, err := encode(nil, sip.NewResponse(req, sip.Status{Code: 200}, "0123456789abcdef"))
	if err != nil {
		b.Fatal(err)
	}
	run := func(name string, f func()) {
		b.Run(name, func(b *testing.B) {
			b.ReportAllocs()
			start := cpu()
			for range b.N {
				f()
			}
			b.ReportMetric(float64(cpu()-start)/float64(b.N), "cpu-ns/op")
		})
	}
	run("parse request", func() { parse(wire) })
	run("parse response", func() { parse(answer) })
	run("check request", func() { sip.CheckRequest(req) })
	run("stamp via", func() { u.stampVia(p, req) })
	run("server key", func() { serverKey(req, sip.MESSAGE) })
	run("new response", func() { sip.NewResponse(req, sip.Status{Code: 200}, "0123456789abcdef") })
	res := sip.NewResponse(req, sip.Status{Code: 200}, "0123456789abcdef")
	run("encode response", func() { _, _ = encode(nil, res) })
	run("route", func() { _ = (&outgoing{u: u, req: o.req}).route() })
	run("build request", func() { _, _, _ = o.build(p) })
	run("admit", func() { u.guard.admit(p.remote.Addr(), "udp") })
	run("answer", func() {
		w := sip.NewWriter()
		sip.WriteResponse(w, req, sip.Status{Code: 200}, "0123456789abcdef")
		_, _ = w.Append(nil, nil)
		w.Free()
	})
	run("resolve", func() { _, _ = u.resolver.Resolve(b.Context(), o.hop, u.sendable()) })
	run("wheel", func() {
		tx := &clientTx{}
		tx.owner = tx
		u.wheel.schedule(&tx.timer, 32e9)
		u.wheel.stop(&tx.timer)
	})
}
