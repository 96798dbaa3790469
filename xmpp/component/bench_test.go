//go:build unix

package component

import (
	"bufio"
	"io"
	"net"
	"runtime"
	"syscall"
	"testing"
	"time"

	"github.com/rs/zerolog"

	"github.com/stoxgate/stoxgate/xmpp"
)

const benchMessage = `<message from='mira@chat.harbor.example/desk' to='otto@sip.harbor.example' id='b0c4f2aa' type='chat' xml:lang='en'>` +
	`<body>Shall we meet at the quay?</body><active xmlns='http://jabber.org/protocol/chatstates'/>` +
	`<request xmlns='urn:xmpp:receipts'/><markable xmlns='urn:xmpp:chat-markers:0'/></message>`

// echo sends every message back to where it came from.
type echo struct {
	c  *Component
	up chan struct{}
}

func (e *echo) LinkChanged(up bool, _ error) {
	if up {
		close(e.up)
	}
}

func (e *echo) HandleStanza(s xmpp.Stanza) {
	m := s.(*xmpp.Message)
	m.From, m.To = m.To, m.From
	for e.c.Send(m, nil) != nil {
		runtime.Gosched() // the queue is full: in a benchmark nothing else can be done
	}
}

// BenchmarkEcho measures messages that go from a loopback socket through decoder, handler, queue and back. The
// server's side only counts '>' of end tags. cpu-ns/op is the CPU time of the whole process.
func BenchmarkEcho(b *testing.B) {
	ln := listen(b)
	e := &echo{up: make(chan struct{})}
	cfg := Config{Address: ln.Addr().String(), Domain: testDomain, Secret: testSecret, Log: zerolog.Nop(), QueueStanzas: 1 << 16}
	accepted := make(chan net.Conn)
	go func() {
		conn, err := ln.Accept()
		if err == nil {
			newPeer(b, conn).accept()
			accepted <- conn
		}
	}()
	var err error
	if e.c, err = New(cfg, e); err != nil {
		b.Fatal(err)
	}
	c, stop := start(b, cfg, e)
	e.c = c
	conn := <-accepted
	<-e.up
	chunk := make([]byte, 0, 64*len(benchMessage))
	for range 64 {
		chunk = append(chunk, benchMessage...)
	}
	b.SetBytes(int64(len(benchMessage)))
	b.ReportAllocs()
	b.ResetTimer()
	before := cpu()
	go func() {
		for sent := 0; sent < b.N; sent += 64 {
			if _, err := conn.Write(chunk[:min(64, b.N-sent)*len(benchMessage)]); err != nil {
				b.Error(err)
				return
			}
		}
	}()
	r := bufio.NewReaderSize(conn, 64<<10)
	if _, err := io.CopyN(io.Discard, r, int64(b.N)*int64(len(benchMessage))); err != nil {
		b.Fatal(err)
	}
	b.StopTimer()
	b.ReportMetric(float64(cpu()-before)/float64(b.N), "cpu-ns/op")
	b.ReportMetric(float64(b.N)/b.Elapsed().Seconds(), "msg/s")
	_ = conn.Close()
	stop()
}

func cpu() time.Duration {
	var u syscall.Rusage
	_ = syscall.Getrusage(syscall.RUSAGE_SELF, &u)
	return time.Duration(u.Utime.Nano() + u.Stime.Nano())
}

// BenchmarkSend measures the sender's share: encoding and queueing, with a written callback.
func BenchmarkSend(b *testing.B) {
	q := newQueue(&Config{QueueStanzas: 1 << 30, QueueBytes: 1 << 40, Limits: xmpp.Limits{Bytes: 1 << 20}})
	m := must(xmpp.ReadStanza([]byte(benchMessage)))
	written := func(error) {}
	b.ReportAllocs()
	n := 0
	for b.Loop() {
		if err := q.push(m, written); err != nil {
			b.Fatal(err)
		}
		if n++; n%100 == 0 {
			batch, _ := q.take()
			q.done(len(batch.items), len(batch.buf))
			q.reuse(batch)
		}
	}
}
