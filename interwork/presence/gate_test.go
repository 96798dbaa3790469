package presence

import (
	"errors"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/stoxgate/stoxgate/xmpp"
)

type gateWorld struct {
	lines   []string
	record  Record
	saveErr error
}

func (w *gateWorld) Send(_ string, p *xmpp.Presence, _ func(error)) error {
	w.lines = append(w.lines, "xmpp "+stanzaLine(p))
	return nil
}
func (w *gateWorld) Caps() *xmpp.Element { return xmpp.NewElement(xmpp.NSCaps, "c") }
func (w *gateWorld) Seen(string)         { w.lines = append(w.lines, "seen") }
func (w *gateWorld) Gone(string)         { w.lines = append(w.lines, "gone") }
func (w *gateWorld) Save(r Record, _ func(error)) error {
	if w.saveErr == nil {
		w.record = r
	}
	return w.saveErr
}

func TestGate(t *testing.T) {
	self := xmpp.MustJID("sip.harbor.example")
	w := &gateWorld{}
	g := NewGate(desk, self, Record{}, w)
	do := func(f func(), want ...string) {
		t.Helper()
		w.lines = nil
		f()
		require.Equal(t, want, w.lines)
	}
	stanza := func(j xmpp.JID, p xmpp.PresenceType) func() { return func() { g.Stanza("f", from(j, p).Presence) } }
	do(stanza(mira, xmpp.PresenceProbe), "xmpp unsubscribed")
	do(stanza(mira, xmpp.PresenceSubscribe), "xmpp subscribed", "xmpp available", "xmpp subscribe")
	require.Equal(t, Granted, w.record.Watch)
	do(stanza(mira, xmpp.PresenceSubscribed))
	require.Equal(t, GateMutual, g.State())
	do(stanza(desk, xmpp.PresenceAvailable), "seen")
	do(stanza(phone, xmpp.PresenceAvailable), "seen")
	do(stanza(desk, xmpp.PresenceUnavailable))
	do(stanza(phone, xmpp.PresenceUnavailable), "gone")
	do(g.Down, "xmpp unavailable")
	require.Equal(t, Granted, w.record.Share)

	g = NewGate(mira, self, w.record, w)
	do(g.Up, "xmpp available", "xmpp probe")
	do(stanza(mira, xmpp.PresenceProbe), "xmpp available", "seen")
	do(stanza(mira, xmpp.PresenceUnavailable), "gone") // the answer to the probe: she is offline
	w.saveErr = errors.New("full")
	do(stanza(mira, xmpp.PresenceUnsubscribe), "xmpp unavailable", "xmpp unsubscribed")
	w.saveErr = nil
	do(stanza(mira, xmpp.PresenceUnsubscribed))
	require.True(t, w.record.IsZero())
	do(stanza(mira, xmpp.PresenceError))
	do(g.Up)
	do(g.Down)
	require.Equal(t, GateNone, g.State())
}
