package main

import (
	"context"
	"net"
	"net/netip"
	"os"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"go.uber.org/goleak"

	"github.com/stoxgate/stoxgate/sip/sdp"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

func TestNumber(t *testing.T) {
	for text, want := range map[string]int{
		"mira12@chat.bench.example/desk": 12, "<sip:mira7@x>;tag=otto": 7, "mira@x": -1, "nobody": -1, "mira3": 3,
	} {
		n, ok := number(text, "mira")
		require.Equal(t, want >= 0, ok, text)
		if ok {
			require.Equal(t, want, n, text)
		}
	}
}

func TestMuLaw(t *testing.T) {
	// ITU-T G.711 table 2a and 2b: the ends of the scale and its middle.
	for v, want := range map[int16]byte{0: 0xff, 32767: 0x80, -32768: 0x00, 8031 * 4: 0x80, -8031 * 4: 0x00, 1000 * 4: 0xaf, -1000 * 4: 0x2f} {
		require.Equal(t, want, muLaw(v), v)
	}
}

func TestModes(t *testing.T) {
	list, err := parseModes("all")
	require.NoError(t, err)
	require.Equal(t, callModes, list)
	list, err = parseModes("relay,growth")
	require.NoError(t, err)
	require.Equal(t, []string{"relay", "growth"}, list)
	_, err = parseModes("relay,tea")
	require.Error(t, err)
}

func TestInbox(t *testing.T) {
	p := newInbox(netip.MustParseAddrPort("127.0.0.1:9"), func([]byte, net.Addr) {})
	b := make([]byte, 10)
	p.put([]byte("one"), netip.MustParseAddrPort("127.0.0.1:1"))
	n, from, err := p.ReadFrom(b)
	require.NoError(t, err)
	require.Equal(t, "one", string(b[:n]))
	require.Equal(t, "127.0.0.1:1", from.String())
	require.NoError(t, p.SetReadDeadline(time.Now().Add(10*time.Millisecond)))
	_, _, err = p.ReadFrom(b)
	require.ErrorIs(t, err, os.ErrDeadlineExceeded)
	require.NoError(t, p.SetReadDeadline(time.Time{}))
	p.put([]byte("two"), netip.MustParseAddrPort("127.0.0.1:1"))
	_, _, err = p.ReadFrom(b)
	require.NoError(t, err)
	require.NoError(t, p.Close())
	_, _, err = p.ReadFrom(b)
	require.ErrorIs(t, err, net.ErrClosed)
}

// Two clients and two telephones stand for a gateway that adds nothing: all arrives.
func TestConversation(t *testing.T) {
	e, err := newSockets()
	if err != nil {
		t.Skip(err)
	}
	defer e.close()
	cert, err := newCertificate()
	require.NoError(t, err)
	ctx, cancel := context.WithTimeout(context.Background(), callPatience)
	defer cancel()
	said, err := newSounds()
	require.NoError(t, err)
	for _, sdes := range []bool{false, true} {
		a, b := &placedCall{}, &placedCall{}
		for _, c := range []*placedCall{a, b} {
			c.client, err = newClient(e)
			require.NoError(t, err)
			defer c.client.close()
			c.phone, err = newPhone(e, sdes)
			require.NoError(t, err)
			defer c.phone.close()
		}
		joined := make(chan error, 1)
		go func() { joined <- a.client.connect(ctx, b.client.transport(cert, "actpass"), true, true, cert) }()
		require.NoError(t, b.client.connect(ctx, a.client.transport(cert, "active"), false, false, cert))
		require.NoError(t, <-joined)
		for from, to := range map[*phone]*phone{a.phone: b.phone, b.phone: a.phone} {
			m := sdp.Media{Port: int(from.k.local.Port()), Connection: sdp.NewConnection(from.k.local.Addr())}
			if sdes {
				m.Cryptos = []sdp.Crypto{{Tag: "1", Suite: sdesSuite, KeyParams: from.keyParams()}}
			}
			require.NoError(t, to.aim(&m))
		}
		calls := []*placedCall{a, b}
		got := conversation(ctx, calls, 200*time.Millisecond, nil, func() {}, func() {})
		require.Equal(t, 40, got.sent)
		require.Equal(t, 40, got.received)
		require.Zero(t, got.broken)
		require.Positive(t, got.p99)
		if !sdes {
			got = conversation(ctx, calls, 200*time.Millisecond, &said, func() {}, func() {})
			require.Zero(t, got.broken)
			require.GreaterOrEqual(t, got.received, 30)
			require.Greater(t, got.loud, got.received/4)
		}
	}
}
