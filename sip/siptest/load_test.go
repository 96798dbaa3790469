package siptest

import (
	"context"
	"fmt"
	"net/netip"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

func loadConfig(transport, proxy string, window, total int) SenderConfig {
	return SenderConfig{
		Transport: transport, Proxy: proxy, Window: window, Total: total,
		From: func(i int) string { return fmt.Sprintf("sip:phone%d@sip.example.org", i) },
		To:   func(i int) string { return fmt.Sprintf("sip:mira%d@example.org", i) },
	}
}

func TestLoad(t *testing.T) {
	for _, tr := range []string{"udp", "tcp"} {
		t.Run(tr, func(t *testing.T) {
			var seen atomic.Int64
			a, err := NewAnswerer(AnswererConfig{Transport: tr, Seen: func(raw []byte) {
				if strings.Contains(string(raw), "\r\n\r\nhello ") {
					seen.Add(1)
				}
			}})
			require.NoError(t, err)
			defer a.Close()
			s, err := NewSender(loadConfig(tr, a.Addr(), 16, 2000))
			require.NoError(t, err)
			r, err := s.Run(deadline(t))
			require.NoError(t, err)
			require.Equal(t, map[int]int{200: 2000}, r.Answers, r.String())
			require.Equal(t, 2000, r.Sent)
			require.GreaterOrEqual(t, seen.Load(), int64(2000))
			require.Equal(t, a.Received(), seen.Load())
			require.Zero(t, a.Unread())
			require.LessOrEqual(t, r.P50, r.P99)
		})
	}
}

// TestSenderIsClean lets a strict phone judge the sender, and the sender repeat
// what the phone loses.
func TestSenderIsClean(t *testing.T) {
	phone := Start(t, Config{Auto: true})
	phone.Answer(Is("MESSAGE"), Drop(3), Status(404), Status(200))
	cfg := loadConfig("udp", phone.Addr(), 4, 40)
	cfg.T1 = 20 * time.Millisecond
	cfg.Headers = []string{"Subject: load"}
	s, err := NewSender(cfg)
	require.NoError(t, err)
	r, err := s.Run(deadline(t))
	require.NoError(t, err)
	require.Equal(t, map[int]int{200: 39, 404: 1}, r.Answers)
	require.GreaterOrEqual(t, r.Retransmissions, 3)
	phone.AssertClean(t)
}

func TestSenderGivesUp(t *testing.T) {
	for _, tr := range []string{"udp", "tcp"} {
		phone := Start(t, Config{Transport: tr})
		phone.Answer(All(), Silent())
		cfg := loadConfig(tr, phone.Addr(), 2, 3)
		cfg.T1 = time.Millisecond
		s, err := NewSender(cfg)
		require.NoError(t, err)
		r, err := s.Run(deadline(t))
		require.NoError(t, err)
		require.Equal(t, 3, r.TimedOut)
	}
	cfg := loadConfig("udp", "127.0.0.1:9", 1, 1)
	s, err := NewSender(cfg)
	require.NoError(t, err)
	ctx, cancel := context.WithCancel(context.Background())
	cancel()
	_, err = s.Run(ctx)
	require.Error(t, err)
	_, err = NewSender(SenderConfig{})
	require.Error(t, err)
}

// TestAnswererIsClean lets a strict phone judge the answers.
func TestAnswererIsClean(t *testing.T) {
	for _, tr := range []string{"udp", "tcp"} {
		a, err := NewAnswerer(AnswererConfig{Transport: tr, Code: 202})
		require.NoError(t, err)
		phone := Start(t, Config{Transport: tr, Proxy: a.Addr(), AOR: "sip:mira@example.org"})
		for range 3 {
			res, err := phone.Message(deadline(t), "sip:otto@127.0.0.1", "hi")
			require.NoError(t, err)
			require.Equal(t, 202, res.Status)
		}
		phone.AssertClean(t)
		require.NoError(t, a.Close())
	}
}

func TestAppendAnswer(t *testing.T) {
	from := netip.MustParseAddrPort("10.0.0.1:99")
	require.Equal(t, "SIP/2.0 200 OK\r\nv: SIP/2.0/UDP 127.0.0.1:5060;branch=z9hG4bKabcd;rport=99;received=10.0.0.1\r\n"+
		"f: \"O, \\\"T\\\" <x>\" <sip:mira@example.org>;tag=a1\r\nt: <sip:otto@127.0.0.1>;tag=load\r\ni: abc@siptest\r\n"+
		"CSeq: 1 MESSAGE\r\nContent-Length: 0\r\n\r\n", string(appendAnswer(nil, []byte(sample), "SIP/2.0 200 OK\r\n", from)))
	tagged := strings.Replace(sample, "t: <sip:otto@127.0.0.1>", "To: <sip:otto@127.0.0.1>;tag=b", 1)
	require.Contains(t, string(appendAnswer(nil, []byte(tagged), "", from)), "To: <sip:otto@127.0.0.1>;tag=b\r\n")
	for _, bad := range []string{"", "x", "SIP/2.0 200 OK\r\n\r\n", "ACK sip:x SIP/2.0\r\n\r\n", strings.Replace(sample, "CSeq", "Seq", 1)} {
		require.Nil(t, appendAnswer(nil, []byte(bad), "", from), bad)
	}
}

// BenchmarkAnswerer shows what one core receives and answers: run with -cpu 1
// to give sender and answerer one core together.
func BenchmarkAnswerer(b *testing.B) {
	for _, tr := range []string{"udp", "tcp"} {
		b.Run(tr, func(b *testing.B) {
			a, err := NewAnswerer(AnswererConfig{Transport: tr})
			require.NoError(b, err)
			defer a.Close()
			s, err := NewSender(loadConfig(tr, a.Addr(), 64, b.N))
			require.NoError(b, err)
			r, err := s.Run(context.Background())
			require.NoError(b, err)
			b.ReportMetric(r.Rate(), "msg/s")
		})
	}
}

func BenchmarkAppendAnswer(b *testing.B) {
	from := netip.MustParseAddrPort("10.0.0.1:99")
	raw := []byte(sample)
	var dst []byte
	b.ReportAllocs()
	for b.Loop() {
		dst = appendAnswer(dst[:0], raw, "SIP/2.0 200 OK\r\n", from)
	}
}
