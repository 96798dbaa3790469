package dialog

import (
	"fmt"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/stoxgate/stoxgate/sip"
)

var actNames = []string{"cancel", "ack", "answered", "accept", "confirmed", "refuse", "take", "bye", "parting", "failed", "ended"}

func (a act) text() string {
	var list []string
	for i, n := range actNames {
		if a&(1<<i) != 0 {
			list = append(list, n)
		}
	}
	return strings.Join(list, "+")
}

// The whole table: a cue that is not in a line changes nothing there.
func TestPhases(t *testing.T) {
	table := map[phase]map[cue]string{
		phaseInviting: {
			cueSuccess: "confirmed: ack+answered", cueOffer: "answered: answered", cueFailure: "ended: failed",
			cueEnd: "cancelling: cancel", cueRangOut: "cancelling: cancel",
		},
		phaseCancelling: {cueSuccess: "ending: ack+bye", cueOffer: "ending: ack+bye", cueFailure: "ended: ended"},
		phaseIncoming: {
			cueAccept: "accepted: accept", cueHold: "held: ", cueReject: "ended: refuse+ended", cueEnd: "ended: refuse+ended",
			cueRangOut: "ended: refuse+ended", cueCancel: "ended: ended", cueBye: "ended: refuse+take+ended",
		},
		phaseHeld: {
			cuePRACK: "accepted: accept", cueReject: "ended: refuse+ended", cueEnd: "ended: refuse+ended",
			cueRangOut: "ended: refuse+ended", cueCancel: "ended: ended", cueBye: "ended: refuse+take+ended",
		},
		phaseAccepted: {
			cueACK: "confirmed: confirmed", cueNoACK: "ending: bye", cueEnd: "hanging: ", cueBye: "ended: take+ended",
			cueGone: "ended: ended", cueLost: "ended: parting+ended", cueCancel: "ended: ended",
		},
		phaseHanging: {cueACK: "ending: bye", cueNoACK: "ending: bye", cueCancel: "ended: ended", cueBye: "ended: take+ended", cueGone: "ended: ended"},
		phaseAnswered: {
			cueAnswer: "confirmed: ack", cueEnd: "ending: ack+bye", cueBye: "ended: ack+take+ended", cueGone: "ended: ack+ended",
			cueLost: "ended: ack+parting+ended",
		},
		phaseConfirmed: {
			cueEnd: "ending: bye", cueBye: "ended: take+ended", cueGone: "ended: ended", cueLost: "ended: parting+ended",
		},
		phaseEnding: {cueBye: "ended: take+ended", cueGone: "ended: ended", cueDone: "ended: ended", cueLost: "ended: ended"},
	}
	for p := range phaseCount {
		for q := range cueCount {
			to, do := advance(p, q)
			got := fmt.Sprintf("%s: %s", to, do.text())
			expected, ok := table[p][q]
			if !ok {
				expected = p.String() + ": "
			}
			require.Equal(t, expected, got, "%s in %s", q, p)
			if do&(actEnded|actFailed) != 0 {
				require.Equal(t, phaseEnded, to)
			}
		}
	}
	require.Equal(t, "?", phaseCount.String())
	require.Equal(t, "?", cueCount.String())
}

func TestReplacesText(t *testing.T) {
	for v, expected := range map[string]Replaces{
		"a@b;to-tag=1;from-tag=2":                 {CallID: "a@b", ToTag: "1", FromTag: "2"},
		" a@b ; From-Tag = 2;to-tag=1;early-only": {CallID: "a@b", ToTag: "1", FromTag: "2", EarlyOnly: true},
		"a@b;to-tag=1;from-tag=2;x=y":             {CallID: "a@b", ToTag: "1", FromTag: "2"},
	} {
		r, err := ParseReplaces(v)
		require.NoError(t, err, v)
		require.Equal(t, expected, r)
		again, err := ParseReplaces(r.String())
		require.NoError(t, err)
		require.Equal(t, r, again)
	}
	for _, v := range []string{"", ";to-tag=1;from-tag=2", "a b;to-tag=1;from-tag=2", "a;to-tag=1", "a;from-tag=1", "a;to-tag=1;to-tag=2;from-tag=3", "a;from-tag=1;from-tag=2;to-tag=3"} {
		_, err := ParseReplaces(v)
		require.ErrorIs(t, err, ErrReplaces, v)
	}
}

func FuzzParseReplaces(f *testing.F) {
	f.Add("a@b;to-tag=1;from-tag=2;early-only")
	f.Add(";;=;")
	f.Fuzz(func(t *testing.T, v string) {
		r, err := ParseReplaces(v)
		if err != nil {
			return
		}
		again, err := ParseReplaces(r.String())
		require.NoError(t, err)
		require.Equal(t, r, again)
	})
}

func FuzzSipfrag(f *testing.F) {
	f.Add([]byte("SIP/2.0 200 OK\r\nX: y\r\n"))
	f.Add([]byte("SIP/2.0 99"))
	f.Fuzz(func(t *testing.T, b []byte) {
		if s, ok := sipfragStatus(b); ok && (s.Code < 100 || s.Code > 699) {
			t.Fatal(s.Code)
		}
	})
}

func FuzzSessionExpires(f *testing.F) {
	f.Add("1800;refresher=uac")
	f.Add(" 90 ; Refresher = UAS ;x")
	f.Fuzz(func(t *testing.T, v string) {
		h, err := sip.NewHeader("Session-Expires", v)
		if err != nil {
			return
		}
		req := sip.NewRequest(sip.UPDATE, uri("sip:a@b"))
		req.AppendHeader(h)
		if d, _, ok := sessionExpires(req); ok && d <= 0 {
			t.Fatal(d)
		}
	})
}
