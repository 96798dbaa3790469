package call

import (
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"pgregory.net/rapid"

	"github.com/stoxgate/stoxgate/interwork/relay"
	"github.com/stoxgate/stoxgate/jingle"
	"github.com/stoxgate/stoxgate/sip"
	"github.com/stoxgate/stoxgate/sip/sdp"
	"github.com/stoxgate/stoxgate/xmpp"
)

// Whatever comes, in whatever order: a call never panics, is accounted for once, tells both
// sides, lets go of its media, and ends when everything has fallen silent.
func TestAnyOrder(t *testing.T) {
	rapid.Check(t, func(rt *rapid.T) {
		dir := rapid.SampledFrom([]Direction{XMPPToSIP, SIPToXMPP}).Draw(rt, "direction")
		w := newWorld(t, dir)
		if rapid.Bool().Draw(rt, "direct device") {
			w.devices = []xmpp.JID{miraGajim}
		}
		legs := []*fakeLeg{w.leg("a"), w.leg("b"), w.leg("c")}
		over := map[*fakeLeg]bool{}
		known := map[*fakeLeg]bool{}
		recorded := 0
		do := func(in Input) {
			w.lines = nil
			w.c.Handle(in)
			for _, l := range w.lines {
				if len(l) > 8 && l[:8] == "recorded" {
					recorded++
				}
			}
		}
		switch {
		case dir == SIPToXMPP:
			known[legs[0]] = true
			do(InviteReceived{Leg: legs[0], Offer: rapid.SampledFrom([][]byte{[]byte(pcma), nil, []byte("x")}).Draw(rt, "offer")})
		case rapid.Bool().Draw(rt, "proposal"):
			do(MessageReceived{From: mira, Message: message(jingle.KindPropose, "s1", nil)})
		default:
			do(w.from(mira, initiate("s1")))
		}
		body := rapid.SampledFrom([][]byte{[]byte(pcma), withDirection(pcma, sdp.Inactive), []byte("rubbish"), nil})
		sids := rapid.SampledFrom([]string{"s1", "id-1", "id-2", "other"})
		from := rapid.SampledFrom([]xmpp.JID{mira, miraDesk, miraGajim})
		why := rapid.SampledFrom([]jingle.Condition{jingle.ReasonBusy, jingle.ReasonDecline, jingle.ReasonSuccess, jingle.ReasonCancel})
		for range rapid.IntRange(0, 25).Draw(rt, "steps") {
			l := rapid.SampledFrom(legs).Draw(rt, "leg")
			alive := known[l] && !over[l]
			switch rapid.IntRange(0, 21).Draw(rt, "what") {
			case 0:
				if dir == XMPPToSIP && !known[l] {
					known[l] = true
					do(Dialling{Leg: l})
				}
			case 1:
				do(Dialled{})
			case 2:
				if alive {
					do(LegRang{Leg: l, Code: 180})
				}
			case 3:
				if alive && dir == XMPPToSIP {
					do(LegAnswered{Leg: l, Body: body.Draw(rt, "body")})
				}
			case 4:
				if alive && dir == XMPPToSIP {
					over[l] = true
					do(LegFailed{Leg: l, Status: sip.Status{Code: 486}})
				}
			case 5:
				if alive {
					over[l] = true
					do(LegEnded{Leg: l, ByPeer: true})
				}
			case 6:
				if alive {
					do(LegConfirmed{Leg: l, Body: body.Draw(rt, "body")})
				}
			case 7:
				if alive {
					do(LegOffered{Leg: l, Body: body.Draw(rt, "body")})
				}
			case 8:
				if alive {
					do(LegOfferAnswered{Leg: l, Body: body.Draw(rt, "body")})
				}
			case 9:
				k := rapid.SampledFrom([]jingle.Kind{
					jingle.KindRinging, jingle.KindProceed, jingle.KindReject, jingle.KindRetract, jingle.KindFinish, jingle.KindPropose,
				}).Draw(rt, "kind")
				do(MessageReceived{From: from.Draw(rt, "from"), Message: message(k, sids.Draw(rt, "sid"), &jingle.Reason{Condition: why.Draw(rt, "why")})})
			case 10:
				do(w.from(from.Draw(rt, "from"), initiate(sids.Draw(rt, "sid"))))
			case 11:
				do(w.from(from.Draw(rt, "from"), accept(sids.Draw(rt, "sid"))))
			case 12:
				do(w.from(from.Draw(rt, "from"), terminate(sids.Draw(rt, "sid"), why.Draw(rt, "why"))))
			case 13:
				i := rapid.SampledFrom([]jingle.Info{jingle.Hold{}, jingle.Unhold{}, jingle.Ringing{}, jingle.DTMF{Code: '1'}, jingle.Transfer{To: miraDesk}}).Draw(rt, "info")
				do(w.from(from.Draw(rt, "from"), info(sids.Draw(rt, "sid"), i)))
			case 14:
				if len(w.pending) > 0 {
					f := w.pending[0]
					w.pending = w.pending[1:]
					var e *xmpp.StanzaError
					if rapid.Bool().Draw(rt, "error") {
						e = xmpp.NewStanzaError(xmpp.ConditionServiceUnavailable, "")
					}
					do(Done(func() { f(e) }))
				}
			case 15:
				do(MediaHappened{Tag: rapid.IntRange(0, 2).Draw(rt, "tag"), Event: relay.Event{
					Kind: relay.EventKind(rapid.IntRange(0, 6).Draw(rt, "media")), Side: relay.Side(rapid.IntRange(0, 1).Draw(rt, "side")), Digit: '1', Err: relay.ErrICE,
				}})
			case 16:
				do(TimerFired{Timer(rapid.IntRange(1, int(Timers)-1).Draw(rt, "timer"))})
			case 17:
				do(Unavailable{JID: from.Draw(rt, "from")})
			case 18:
				if alive {
					do(LegReferred{Leg: l, Target: sip.URI{Scheme: "sip", User: "boss", Host: "sip.example"}})
				}
			case 19:
				if !known[l] && w.c.transfer != nil {
					known[l] = true
					do(Dialling{Leg: l, Replaced: true})
				}
			case 20:
				do(Dialled{Replaced: true})
			case 21:
				do(MessageBounced{From: mira.Bare(), Kind: jingle.KindPropose, Error: xmpp.NewStanzaError(xmpp.ConditionItemNotFound, "")})
			}
			w.now = w.now.Add(time.Second)
		}
		// Everything falls silent; the timers are what is left.
		do(TimerFired{TimerState})
		do(TimerFired{TimerState})
		require.Equal(t, Ended, w.c.State())
		require.True(t, w.gone)
		require.Equal(t, 1, recorded, "accounts")
		require.NotEmpty(t, w.record.Reason)
		for _, m := range w.media {
			require.True(t, m.closed, "media are let go")
		}
	})
}

func FuzzReadDTMF(f *testing.F) {
	f.Add("application/dtmf-relay", []byte("Signal=5\r\nDuration=160\r\n"))
	f.Add("application/dtmf", []byte("#"))
	f.Add("application/dtmf-relay;x=y", []byte("signal = 10"))
	f.Add("text/plain", []byte{0})
	f.Fuzz(func(t *testing.T, kind string, body []byte) {
		digit, d, ok := ReadDTMF(kind, body)
		if !ok {
			return
		}
		again, _, ok := ReadDTMF(dtmfRelay, dtmfBody(digit, d))
		require.True(t, ok)
		require.Equal(t, digit, again)
		require.True(t, d > 0 && d <= maxTone)
	})
}
