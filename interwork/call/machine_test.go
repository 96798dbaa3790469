package call

import (
	"flag"
	"fmt"
	"os"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"go.uber.org/goleak"
)

var update = flag.Bool("update", false, "write the golden files anew")

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// The whole product of states and events, as the machine has it. A change of the machine
// shows in this file, row by row.
func TestMachineIsItsTable(t *testing.T) {
	require.Len(t, stateNames, int(states))
	require.Len(t, eventNames, int(events))
	require.Len(t, effectNames, int(effects))
	var b strings.Builder
	for s := range states {
		for e := range events {
			next, list := Next(s, e)
			if next == s && list == nil {
				continue
			}
			fmt.Fprintf(&b, "%s --%s--> %s", s, e, next)
			for _, f := range list {
				fmt.Fprintf(&b, " %s", f)
			}
			b.WriteByte('\n')
		}
	}
	const golden = "testdata/machine.txt"
	if *update {
		require.NoError(t, os.MkdirAll("testdata", 0o755))
		require.NoError(t, os.WriteFile(golden, []byte(b.String()), 0o644))
	}
	want, err := os.ReadFile(golden)
	require.NoError(t, err)
	require.Equal(t, string(want), b.String())
}

func TestNextIsTotal(t *testing.T) {
	for s := range states + 3 {
		for e := range events + 3 {
			next, list := Next(s, e)
			if s >= states || e >= events {
				require.Equal(t, s, next)
				require.Empty(t, list)
			}
			require.NotContains(t, list, EffectUnknown)
			for _, f := range list {
				require.Less(t, f, effects)
			}
		}
	}
}

// Every state that waits for somebody is bounded, and its bound ends it.
func TestEveryStateHasADeadline(t *testing.T) {
	d := Deadlines{}.WithDefaults()
	for s := range states {
		if s == StateUnknown || s == Ended {
			require.Zero(t, d.Of(s), s)
			continue
		}
		require.Positive(t, d.Of(s), s)
		next, list := Next(s, TimedOut)
		if s == Ending {
			require.Equal(t, Ended, next)
			continue
		}
		require.Equal(t, Ending, next, s)
		require.Contains(t, list, Release, s)
		require.Contains(t, list, HangUp, s)
	}
	require.Equal(t, time.Minute, Deadlines{Ring: time.Minute}.WithDefaults().Of(Alerting))
}

// A call ends once: what was opened is let go of on the way to Ending and never again, and
// whoever did not end it is told.
func TestEndingsAreComplete(t *testing.T) {
	tellsHer := []Effect{Reject, Terminate, Withdraw, Finish}
	for s := range states {
		for e := range events {
			next, list := Next(s, e)
			if s.Over() {
				require.NotContains(t, list, Release)
				require.True(t, next.Over(), "%s --%s--> %s", s, e, next)
				continue
			}
			if next != Ending {
				require.NotContains(t, list, Release)
				require.NotContains(t, list, HangUp)
				continue
			}
			require.Equal(t, Release, list[len(list)-1], "%s --%s-->", s, e)
			him := slices.Contains(list, HangUp)
			her := slices.ContainsFunc(list, func(f Effect) bool { return slices.Contains(tellsHer, f) })
			switch e {
			case SEnded, SFailed:
				require.False(t, him, "%s --%s--> tells him what he said", s, e)
				require.True(t, her, "%s --%s--> leaves her waiting", s, e)
			case XEnded, XRefused, XGone:
				require.True(t, him, "%s --%s--> leaves him waiting", s, e)
				require.False(t, e == XEnded && slices.Contains(list, Terminate), "%s --%s--> ends an ended session", s, e)
			default:
				require.True(t, him && her, "%s --%s--> leaves somebody waiting", s, e)
			}
		}
	}
}

// From everywhere the end can be reached by what the two users alone do.
func TestBothCanAlwaysHangUp(t *testing.T) {
	for s := range states {
		if s == StateUnknown || s.Over() {
			continue
		}
		next, _ := Next(s, XEnded)
		require.Equal(t, Ending, next, s)
		next, _ = Next(s, SEnded)
		require.Equal(t, Ending, next, s)
	}
}

// The races of Jingle Message Initiation with SIP.
func TestRaces(t *testing.T) {
	run := func(s State, list ...Event) (State, []Effect) {
		var all []Effect
		for _, e := range list {
			var f []Effect
			s, f = Next(s, e)
			all = append(all, f...)
		}
		return s, all
	}
	for _, tt := range []struct {
		name   string
		from   State
		events []Event
		want   State
		does   []Effect
	}{
		{"both hang up at once", Active, []Event{XEnded, SEnded}, Ending, []Effect{HangUp, Finish, Release}},
		{"both hang up at once, he first", Active, []Event{SEnded, XEnded}, Ending, []Effect{Terminate, Finish, Release}},
		{"answer crosses retract", ProposedRinging, []Event{XEnded, SAnswered}, Ending, []Effect{HangUp, Release}},
		{"answer crosses terminate", InvitedRinging, []Event{XEnded, SAnswered}, Ending, []Effect{HangUp, Finish, Release}},
		{"terminate during a re-offer", Modifying, []Event{XEnded, SModified}, Ending, []Effect{HangUp, Finish, Release}},
		{"proceed crosses CANCEL", Alerting, []Event{SEnded, XProceeded}, Ending, []Effect{Withdraw, Release, TooLate}},
		{"session-accept after CANCEL", Initiating, []Event{SEnded, XAccepted}, Ending, []Effect{Terminate, Finish, Release, TooLate}},
		{"two devices proceed", Calling, []Event{XProceeded, XProceeded}, Initiating, []Effect{Withdraw, Initiate, TooLate}},
		{"she initiates without waiting", ProposedRinging, []Event{XInvited, SAnswered}, Accepting, []Effect{Accept}},
		{"initiate after the end", Proceeding, []Event{SEnded, XInvited}, Ending, []Effect{Finish, Release, TooLate}},
		{"the result of the accept is lost, media come", Accepting, []Event{MediaUp, XLost}, Active, []Effect{Bridge}},
		{"re-INVITE during ours", Modifying, []Event{SOffered}, Modifying, []Effect{AnswerOffer}},
		{"BYE before ACK", Answering, []Event{SEnded}, Ending, []Effect{Terminate, Finish, Release}},
	} {
		s, does := run(tt.from, tt.events...)
		require.Equal(t, tt.want, s, tt.name)
		require.Equal(t, tt.does, does, tt.name)
	}
}
