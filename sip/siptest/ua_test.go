package siptest

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"golang.org/x/net/websocket"
)

func TestAnswers(t *testing.T) {
	a, b := pairOf(t, Config{T1: 20 * time.Millisecond, Credentials: Credentials{User: "mira", Password: `s"ecret`}}, Config{T1: time.Second})
	ctx := deadline(t)
	send := func() *Message {
		t.Helper()
		res, err := a.Message(ctx, "sip:otto@127.0.0.1", "hi")
		require.NoError(t, err)
		return res
	}
	t.Run("sequence, last one stays", func(t *testing.T) {
		b.Answer(Is("MESSAGE"), Status(503, "Retry-After: 1"), Status(200))
		require.Equal(t, 503, send().Status)
		require.Equal(t, 200, send().Status)
		require.Equal(t, 200, send().Status)
	})
	t.Run("drop", func(t *testing.T) {
		b.Answer(Is("MESSAGE"), Drop(2), Status(202))
		require.Equal(t, 202, send().Status)
	})
	t.Run("released", func(t *testing.T) {
		release := make(chan struct{})
		b.Answer(Is("MESSAGE"), Released(release, Status(200)))
		tx, err := a.Send(a.NewRequest("MESSAGE", "sip:otto@127.0.0.1"))
		require.NoError(t, err)
		_, err = b.Expect(ctx, Contains("Call-ID", tx.Request.Get("Call-ID")))
		require.NoError(t, err)
		require.Empty(t, tx.Responses())
		close(release)
		_, err = tx.Wait(ctx)
		require.NoError(t, err)
	})
	for _, alg := range []string{"MD5", "SHA-256"} {
		for _, proxy := range []bool{false, true} {
			t.Run(fmt.Sprint(alg, proxy), func(t *testing.T) {
				b.Answer(Is("MESSAGE"), Authenticated(ServerAuth{
					Realm: "r", User: "mira", Password: `s"ecret`,
					Algorithm: alg, Proxy: proxy, Stale: true,
				}, Status(200)))
				require.Equal(t, 200, send().Status)
			})
		}
	}
	t.Run("silent", func(t *testing.T) {
		b.Answer(Is("MESSAGE"), Silent())
		_, err := a.Message(ctx, "sip:otto@127.0.0.1", "hi")
		require.ErrorIs(t, err, ErrTimeout)
		require.Greater(t, b.Absorbed(), int64(5))
	})
	t.Run("forgotten", func(t *testing.T) {
		b.Forget()
		tx, err := a.Send(a.NewRequest("INFO", "sip:otto@127.0.0.1"))
		require.NoError(t, err)
		in := b.Want(t, Is("INFO"))
		require.NoError(t, in.Respond(100))
		require.NoError(t, in.Respond(481))
		require.ErrorIs(t, in.Respond(200), ErrAnswered)
		res, err := tx.Wait(ctx)
		require.NoError(t, err)
		require.Equal(t, 481, res.Status)
	})
	a.AssertClean(t)
	require.NotEmpty(t, b.Pending())
}

func TestWrongPassword(t *testing.T) {
	a, b := pairOf(t, Config{Credentials: Credentials{User: "mira", Password: "wrong"}}, Config{})
	b.Answer(All(), Authenticated(ServerAuth{Realm: "r", User: "mira", Password: "right"}, Status(200)))
	res, err := a.Message(deadline(t), "sip:x@y", "hi")
	require.NoError(t, err)
	require.Equal(t, 403, res.Status)
	require.Contains(t, strings.Join(b.Violations(), ""), "wrong response")

	_, err = Authorize(&Message{Status: 401, Headers: []Header{{"WWW-Authenticate", `Digest realm="r", nonce="n", algorithm=MD4`}}},
		Credentials{}, "MESSAGE", "sip:x", 1)
	require.ErrorIs(t, err, ErrChallenge)
}

// TestDigestVector is the example of RFC 2617 §3.5 in the older form without qop
// and RFC 7616 §3.9.1 for the HA1 of both algorithms.
func TestDigestVector(t *testing.T) {
	require.Equal(t, "939e7578ed9e3c518a452acee763bce9", HA1("MD5", "Mufasa", "testrealm@host.com", "Circle Of Life"))
	require.Equal(t, "7987c64c30e25f1b74be53f966b49b90f2808aa92faf9a00262392d7b4794232",
		HA1("SHA-256", "Mufasa", "http-auth@example.org", "Circle of Life"))
	require.Empty(t, HA1("MD4", "a", "b", "c"))
	res := &Message{Status: 401, Headers: []Header{{
		"WWW-Authenticate",
		`Digest realm="testrealm@host.com", nonce="dcd98b7102dd2f0e8b11d0f600bfb0c093", opaque="5ccc069c403ebaf9f0171e9517f40e41"`,
	}}}
	h, err := Authorize(res, Credentials{User: "Mufasa", Password: "Circle Of Life"}, "GET", "/dir/index.html", 1)
	require.NoError(t, err)
	require.Equal(t, "Authorization", h.Name)
	require.Contains(t, h.Value, `response="670fd8c2df070c60b045671b8b24ff02"`) // as curl computes it
	require.Contains(t, h.Value, `opaque="5ccc069c403ebaf9f0171e9517f40e41"`)
}

func TestRegister(t *testing.T) {
	a, b := pairOf(t, Config{
		AOR: "sip:otto@sip.example.org", Instance: "urn:uuid:00000000-0000-1000-8000-000A95A0E128", RegID: 1,
		ReuseNonce: true, Credentials: Credentials{User: "otto", Password: "p", Algorithm: "SHA-256"},
	}, Config{})
	b.Answer(Is("REGISTER"), Authenticated(ServerAuth{Realm: "sip.example.org", User: "otto", Password: "p", Algorithm: "SHA-256"}, AcceptRegister(300)))
	ctx := deadline(t)
	res, err := a.Register(ctx, 600)
	require.NoError(t, err)
	require.Equal(t, 200, res.Status)
	require.Equal(t, "<"+a.ContactURI()+">;expires=300", res.Get("Contact"))
	first, second := b.Want(t, Is("REGISTER")), b.Want(t, Is("REGISTER"))
	require.Equal(t, first.Get("Call-ID"), second.Get("Call-ID"))
	require.Equal(t, "sip:sip.example.org", first.RequestURI)
	require.Contains(t, first.Get("Contact"), `;+sip.instance="<urn:uuid:00000000-0000-1000-8000-000A95A0E128>";reg-id=1`)

	res, err = a.Unregister(ctx)
	require.NoError(t, err)
	require.Equal(t, 200, res.Status)
	require.False(t, res.Has("Contact"))
	require.Contains(t, b.Want(t, Is("REGISTER")).Get("Authorization"), "nc=00000002")
	a.AssertClean(t)
}

func TestStreams(t *testing.T) {
	ca, err := NewAuthority()
	require.NoError(t, err)
	cert, err := ca.Issue("127.0.0.1", "sip.example.org")
	require.NoError(t, err)
	for _, tr := range []string{"tcp", "tls"} {
		t.Run(tr, func(t *testing.T) {
			a, b := pairOf(t, Config{Transport: tr, TLS: &tls.Config{RootCAs: ca.Pool}},
				Config{Transport: tr, TLS: &tls.Config{Certificates: []tls.Certificate{cert}}, Auto: true})
			ctx := deadline(t)
			require.NoError(t, a.Ping(ctx))
			for range 3 {
				res, err := a.Message(ctx, "sip:otto@127.0.0.1", strings.Repeat("long ", 2000))
				require.NoError(t, err)
				require.Equal(t, 200, res.Status)
			}
			res, err := a.Do(ctx, a.NewRequest("OPTIONS", "sip:otto@127.0.0.1"))
			require.NoError(t, err)
			require.Equal(t, 200, res.Status)
			res, err = a.Do(ctx, a.NewRequest("INVITE", "sip:otto@127.0.0.1", "Contact: <"+a.ContactURI()+">"))
			require.NoError(t, err)
			require.Equal(t, 501, res.Status)
			a.Hangup()
			_, err = a.Message(ctx, "sip:otto@127.0.0.1", "again")
			require.NoError(t, err)
			b.Answer(All(), Disconnect())
			short, cancel := context.WithTimeout(ctx, 50*time.Millisecond)
			defer cancel()
			_, err = a.Message(short, "sip:otto@127.0.0.1", "lost")
			require.ErrorIs(t, err, ErrTimeout)
			require.ErrorIs(t, err, context.DeadlineExceeded)
			a.AssertClean(t)
			b.AssertClean(t)
		})
	}
}

// TestWebSocket has the phone talk to a WebSocket server that answers with 200.
func TestWebSocket(t *testing.T) {
	srv := httptest.NewServer(websocket.Server{
		Handshake: func(c *websocket.Config, _ *http.Request) error {
			if len(c.Protocol) != 1 || c.Protocol[0] != "sip" {
				return errors.New("no sip")
			}
			return nil
		},
		Handler: func(c *websocket.Conn) {
			for {
				var raw []byte
				if websocket.Message.Receive(c, &raw) != nil {
					return
				}
				m, _, err := Parse(raw)
				if err != nil {
					return
				}
				res := (&Incoming{Message: m, tag: "1"}).Response(200)
				if websocket.Message.Send(c, string(res.Bytes())) != nil {
					return
				}
			}
		},
	})
	defer srv.Close()
	phone := Start(t, Config{Transport: "ws", Proxy: strings.TrimPrefix(srv.URL, "http://"), AOR: "sip:otto@sip.example.org"})
	require.Contains(t, phone.ContactURI(), ".invalid;transport=ws")
	res, err := phone.Message(deadline(t), "sip:mira@example.org", "hi")
	require.NoError(t, err)
	require.Equal(t, 200, res.Status)
	require.Error(t, phone.Ping(deadline(t)))
	phone.AssertClean(t)
}

func TestClosed(t *testing.T) {
	a, _ := pairOf(t, Config{}, Config{})
	tx, err := a.Send(a.NewRequest("OPTIONS", "sip:x@y"))
	require.NoError(t, err)
	require.NoError(t, a.Close())
	_, err = tx.Wait(deadline(t))
	require.ErrorIs(t, err, ErrClosed)
	_, err = a.Expect(deadline(t))
	require.ErrorIs(t, err, ErrClosed)
	_, err = a.Send(a.NewRequest("OPTIONS", "sip:x@y"))
	require.ErrorIs(t, err, ErrClosed)
	require.Error(t, Start(t, Config{}).SendRaw(nil)) // no proxy
}
