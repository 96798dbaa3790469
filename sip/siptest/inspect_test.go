package siptest

import (
	"net"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

// TestRequestViolations sends hand-made requests to a phone and looks at what it
// has to say about them.
func TestRequestViolations(t *testing.T) {
	const good = "MESSAGE sip:otto@127.0.0.1 SIP/2.0\r\nVia: SIP/2.0/UDP 127.0.0.1:5060;branch=z9hG4bKabcd;rport\r\n" +
		"Max-Forwards: 70\r\nFrom: <sip:mira@example.org>;tag=a1\r\nTo: <sip:otto@127.0.0.1>\r\n" +
		"Call-ID: abc@siptest\r\nCSeq: 1 MESSAGE\r\nContent-Type: text/plain;charset=UTF-8\r\nContent-Length: 2\r\n\r\nhi"
	for _, tc := range []struct{ name, old, new, want string }{
		{"good", "", "", ""},
		{"anything else", "CSeq:", "X-Evil: 1\r\nCSeq:", "unexpected header X-Evil"},
		{"allowed header", "CSeq:", "X-Mine: 1\r\nCSeq:", ""},
		{"transport", "/UDP", "/TCP", "Via says SIP/2.0/TCP"},
		{"branch", "z9hG4bKabcd", "abcd", "lacks the cookie"},
		{"short branch", "z9hG4bKabcd", "z9hG4bK1", "too short"},
		{"rport", ";rport", "", "no empty rport"},
		{"rport filled", ";rport", ";rport=5", "no empty rport"},
		{"received", ";rport", ";rport;received=1.1.1.1", "brings its own received"},
		{"sent-by", "127.0.0.1:5060", "0.0.0.0", "cannot be reached"},
		{"via port", "127.0.0.1:5060", "127.0.0.1:x", "Via port"},
		{"no via", "Via: SIP/2.0/UDP 127.0.0.1:5060;branch=z9hG4bKabcd;rport\r\n", "", "no Via"},
		{"max-forwards", "Max-Forwards: 70\r\n", "", "Max-Forwards"},
		{"max-forwards 0", "Max-Forwards: 70", "Max-Forwards: 0", "Max-Forwards"},
		{"max-forwards high", "Max-Forwards: 70", "Max-Forwards: 71", "Max-Forwards"},
		{"from tag", ";tag=a1", "", "no From tag"},
		{"from uri", "<sip:mira@example.org>", "mira", "From"},
		{"open quote", "<sip:mira", "\"Mira <sip:mira", "open quoted-string"},
		{"blank in uri", "sip:mira@", "sip:mi ra@", "blank or quote"},
		{"to tag", "<sip:otto@127.0.0.1>", "<sip:otto@127.0.0.1>;tag=b", "To has a tag"},
		{"contact", "CSeq:", "Contact: <sip:x@y>\r\nCSeq:", "has a Contact"},
		{"require", "CSeq:", "Require: x\r\nCSeq:", "requires"},
		{"cseq method", "1 MESSAGE", "1 OPTIONS", "CSeq method"},
		{"cseq", "1 MESSAGE", "4294967295 MESSAGE", "is broken"},
		{"call-id", "abc@siptest", "a b", "no word"},
		{"content-type", "Content-Type: text/plain;charset=UTF-8\r\n", "", "without Content-Type"},
		{"content-type syntax", "text/plain;charset=UTF-8", "text/plain;charset=", "Content-Type"},
		{"charset wrong", "\r\n\r\nhi", "\r\n\r\n\xe9i", "not UTF-8 as its charset says"},
		{"charset missing", ";charset=UTF-8\r\nContent-Length: 2\r\n\r\nhi", "\r\nContent-Length: 2\r\n\r\n\u00e9", "needs charset"},
		{"charset other", "UTF-8", "iso-8859-1", "charset"},
		{"no charset, ascii", ";charset=UTF-8", "", ""},
		{"other type", "text/plain;charset=UTF-8", "message/cpim", ""},
		{"request-uri", "sip:otto@127.0.0.1 SIP", "otto SIP", "Request-URI"},
		{"size", "\r\nContent-Length: 2\r\n\r\nhi", "\r\nContent-Length: 1200\r\n\r\n" + strings.Repeat("x", 1200), "bytes over UDP"},
		{"not sip", "SIP/2.0\r\nVia", "SIP/1.0\r\nVia", "unreadable"},
		{"no contact in subscribe", "MESSAGE", "SUBSCRIBE", "has 0 Contacts"},
	} {
		t.Run(tc.name, func(t *testing.T) {
			phone := Start(t, Config{AllowHeaders: []string{"X-Mine"}})
			conn, err := net.Dial("udp", phone.Addr())
			require.NoError(t, err)
			defer conn.Close()
			raw := good
			if tc.old != "" {
				n := 1
				if tc.name == "no contact in subscribe" {
					n = -1
				}
				raw = strings.Replace(good, tc.old, tc.new, n)
				require.NotEqual(t, good, raw)
			}
			_, err = conn.Write([]byte(raw))
			require.NoError(t, err)
			_, err = conn.Write([]byte("OPTIONS sip:end SIP/2.0\r\n\r\n")) // a mark: datagrams of one socket keep their order
			require.NoError(t, err)
			phone.Want(t, Is("OPTIONS"))
			var got []string
			for _, v := range phone.Violations() {
				if !strings.HasPrefix(v, "OPTIONS sip:end") {
					got = append(got, v)
				}
			}
			if tc.want == "" {
				require.Empty(t, got)
				return
			}
			require.Contains(t, strings.Join(got, "\n"), tc.want)
		})
	}
}

func TestSequenceViolations(t *testing.T) {
	to := "sip:otto@127.0.0.1"
	violations := func(t *testing.T, cfg Config, act func(a, b *UA)) string {
		t.Helper()
		a, b := pairOf(t, Config{T1: time.Hour, AOR: "sip:mira@example.org"}, cfg)
		act(a, b)
		return strings.Join(b.Violations(), "\n")
	}
	send := func(a *UA, headers ...string) {
		_, err := a.Send(a.NewRequest("MESSAGE", to, headers...))
		require.NoError(t, err)
	}
	t.Run("two pending", func(t *testing.T) {
		got := violations(t, Config{}, func(a, b *UA) {
			send(a)
			send(a)
			b.Want(t, Is("MESSAGE"))
			b.Want(t, Is("MESSAGE"))
		})
		require.Contains(t, got, "still pending")
	})
	t.Run("one after the other", func(t *testing.T) {
		got := violations(t, Config{}, func(a, b *UA) {
			send(a)
			require.NoError(t, b.Want(t, Is("MESSAGE")).Respond(200))
			send(a)
			b.Want(t, Is("MESSAGE"))
		})
		require.Empty(t, got)
	})
	t.Run("pending no longer", func(t *testing.T) {
		got := violations(t, Config{PeerTimeout: 1}, func(a, b *UA) {
			send(a)
			send(a)
			b.Want(t, Is("MESSAGE"))
			b.Want(t, Is("MESSAGE"))
		})
		require.Empty(t, got)
	})
	for _, tc := range []struct {
		name          string
		first, second string // CSeq
		answer        int
		resend        bool
		want          string
	}{
		{"back", "5 MESSAGE", "4 MESSAGE", 200, false, "CSeq goes back"},
		{"again after 200", "5 MESSAGE", "5 MESSAGE", 200, false, "sent again after 200"},
		{"again after 200, allowed", "5 MESSAGE", "5 MESSAGE", 200, true, ""},
		{"failover", "5 MESSAGE", "5 MESSAGE", 503, false, ""},
		{"failover unanswered", "5 MESSAGE", "5 MESSAGE", 0, false, ""},
		{"next", "5 MESSAGE", "6 MESSAGE", 401, false, ""},
	} {
		t.Run(tc.name, func(t *testing.T) {
			got := violations(t, Config{AllowResend: tc.resend}, func(a, b *UA) {
				send(a, "Call-ID: x", "From: <sip:m@x>;tag=1", "CSeq: "+tc.first)
				in := b.Want(t, Is("MESSAGE"))
				if tc.answer > 0 {
					require.NoError(t, in.Respond(tc.answer))
				}
				send(a, "Call-ID: x", "From: <sip:m@x>;tag=1", "CSeq: "+tc.second)
				b.Want(t, Is("MESSAGE"))
			})
			if tc.want == "" {
				require.Empty(t, got)
			} else {
				require.Contains(t, got, tc.want)
			}
		})
	}
	t.Run("other tag", func(t *testing.T) {
		got := violations(t, Config{}, func(a, b *UA) {
			send(a, "Call-ID: x", "From: <sip:m@x>;tag=1", "CSeq: 1 MESSAGE")
			require.NoError(t, b.Want(t, Is("MESSAGE")).Respond(200))
			send(a, "Call-ID: x", "From: <sip:m@x>;tag=2", "CSeq: 2 MESSAGE")
			b.Want(t, Is("MESSAGE"))
		})
		require.Contains(t, got, "another From tag")
	})
	t.Run("changed retransmission", func(t *testing.T) {
		got := violations(t, Config{}, func(a, b *UA) {
			via := "Via: SIP/2.0/UDP " + a.Addr() + ";branch=z9hG4bKsame;rport"
			send(a, via, "Call-ID: x", "From: <sip:m@x>;tag=1", "CSeq: 1 MESSAGE")
			send(a, via, "Call-ID: x", "From: <sip:m@x>;tag=1", "CSeq: 1 MESSAGE", "Subject: new")
			b.Want(t, Is("MESSAGE"))
			send(a, "Call-ID: y", "From: <sip:other@x>;tag=1")
			b.Want(t, Is("MESSAGE"), Contains("Call-ID", "y"))
			require.EqualValues(t, 1, b.Absorbed())
		})
		require.Contains(t, got, "differs from the first copy")
	})
}

func TestResponseViolations(t *testing.T) {
	for _, tc := range []struct {
		name   string
		answer Answer
		want   string // "" = none
		stray  bool
	}{
		{"good", Status(200), "", false},
		{"twice", Twice(Status(200)), "", false},
		{"after 100", Series(Status(100), Status(202)), "", false},
		{"from", Status(200, "From: <sip:x@y>;tag=1"), "From is", false},
		{"call-id", Status(200, "Call-ID: z"), "Call-ID is", false},
		{"to", Status(200, "To: <sip:x@y>;tag=1"), "To is", false},
		{"to tag", Reply(func(in *Incoming) *Message { return in.Response(200).Set("To", in.Get("To")) }), "To has no tag", false},
		{"tag changes", Series(Status(180), Reply(func(in *Incoming) *Message {
			return in.Response(200).Set("To", in.Get("To")+";tag=other")
		})), "To tag changes", false},
		{"rport", Reply(func(in *Incoming) *Message { return in.Response(200).Set("Via", in.Get("Via")) }), "rport", false},
		{"second via", Reply(func(in *Incoming) *Message { return in.Response(200).Add("Via", "SIP/2.0/UDP x") }), "2 Vias", false},
		{"401", Status(401), "lacks WWW-Authenticate", false},
		{"405", Status(405), "lacks Allow", false},
		{"415", Status(415), "lacks Accept", false},
		{"423", Status(423, "Min-Expires: 60"), "", false},
		{"retry-after", Status(503, "Retry-After: soon"), "Retry-After", false},
		{"retry-after good", Status(503, "Retry-After: 18;duration=3600"), "", false},
		{"contact", Status(200, "Contact: <sip:x@y>"), "has a Contact", false},
		{"body", Reply(func(in *Incoming) *Message {
			res := in.Response(200, "Content-Type: text/plain")
			res.Body = []byte("x")
			return res
		}), "has a body", false},
		{"stray", Series(WrongBranch(200), Status(200)), "stray response", true},
		{"wrong cseq", Series(WrongCSeq(200)), "CSeq is", false},
		{"garbage", Series(Garbage("hello"), Status(200)), "unreadable", false},
		{"smuggled", Status(200, "Subject: x\rX-Evil: 1"), "stands alone", false},
	} {
		t.Run(tc.name, func(t *testing.T) {
			a, b := pairOf(t, Config{T1: time.Hour}, Config{})
			b.Answer(All(), tc.answer)
			_, err := a.Message(deadline(t), "sip:otto@127.0.0.1", "hi")
			require.NoError(t, err)
			b.AssertClean(t)
			got := strings.Join(a.Violations(), "\n")
			if tc.want == "" {
				require.Empty(t, got)
			} else {
				require.Contains(t, got, tc.want)
			}
			if tc.stray {
				a.Want(t, StatusIs(200))
			}
		})
	}
}

type recorder struct{ failed, fatal []string }

func (r *recorder) Helper()                   {}
func (r *recorder) Errorf(f string, _ ...any) { r.failed = append(r.failed, f) }
func (r *recorder) Fatalf(f string, _ ...any) { r.fatal = append(r.fatal, f) }
func (r *recorder) Cleanup(func())            {}

func TestAssertClean(t *testing.T) {
	phone := Start(t, Config{})
	var r recorder
	phone.AssertClean(&r)
	require.Empty(t, r.failed)
	phone.check.add("something")
	phone.AssertClean(&r)
	require.Len(t, r.failed, 1)
	Start(&r, Config{Transport: "pigeon"})
	require.Len(t, r.fatal, 1)
}
