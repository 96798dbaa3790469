package ua

import (
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/stoxgate/stoxgate/sip"
)

func TestLiteralTellsAddressesFromNames(t *testing.T) {
	can := Transports{UDP: true, UDP4: true, UDP6: true, TCP: true, TLS: true}
	for text, want := range map[string]string{
		"sip:otto@192.0.2.7":                     "udp://192.0.2.7:5060",
		"sip:otto@192.0.2.7:5080;transport=tcp":  "tcp://192.0.2.7:5080",
		"sip:otto@[2001:db8::7]":                 "udp://[2001:db8::7]:5060",
		"sips:otto@192.0.2.7":                    "tls://192.0.2.7:5061",
		"sip:otto@host7":                         "",
		"sip:otto@sip.example.org":               "",
		"sip:otto@192.0.2.7;maddr=192.0.2.8":     "",
		"sip:otto@192.0.2.7;transport=telepathy": "",
		"tel:+49301234":                          "",
	} {
		uri, err := sip.ParseURI(text)
		require.NoError(t, err)
		d, ok := literal(uri, can)
		require.Equal(t, want != "", ok, text)
		if ok {
			require.Equal(t, want, d.String(), text)
		}
	}
}

// TestSend plays what Do is tested with through Send; it has another way through the
// common case and the same one through the rest.
func TestSend(t *testing.T) {
	bySend = true
	defer func() { bySend = false }()
	for name, test := range map[string]func(*testing.T){
		"lost response":          TestLostResponse,
		"provisional":            TestProvisionalSlowsRetransmission,
		"silent peer":            TestSilentPeer,
		"forged response":        TestForgedResponseIsIgnored,
		"routes":                 TestRoutes,
		"failover on 503":        TestFailoverOn503,
		"other failures":         TestOtherFailuresAreFinal,
		"failover on silence":    TestFailoverOnSilence,
		"failover on refused":    TestFailoverOnRefusedConnection,
		"long by TCP":            TestLongRequestGoesByTCP,
		"long by UDP":            TestLongRequestFallsBackToUDP,
		"connection shared":      TestConnectionIsShared,
		"stale connection":       TestStaleConnectionIsReplaced,
		"connection lost":        TestConnectionLostWhileWaiting,
		"flow":                   TestFlow,
		"tls":                    TestTLSPeerIsVerified,
		"digest":                 TestDigestClient,
		"digest client gives up": TestDigestClientGivesUp,
	} {
		t.Run(name, test)
	}
}

func TestSendTellsOnceWhenClosing(t *testing.T) {
	u := startUA(t, nil)
	p := newUDPPeer(t)
	told := make(chan error, 2)
	u.Send(t.Context(), message(t, p.uri(), 10), Target{}, func(_ *sip.Response, err error) { told <- err })
	_, _ = p.request()
	require.NoError(t, u.Shutdown(t.Context()))
	require.Error(t, <-told, "closed, or timer F was faster")
	u.Send(t.Context(), message(t, p.uri(), 10), Target{}, func(_ *sip.Response, err error) { told <- err })
	require.ErrorIs(t, <-told, ErrClosed)
	require.Empty(t, told)
}
