package presence

import (
	"go/ast"
	"go/parser"
	"go/token"
	"regexp"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
)

// The tables in the comments are the rules: these tests read them and walk the whole
// product of states and events. What is not in a table must change nothing.

type row struct {
	next    string
	effects string
}

var rowForm = regexp.MustCompile(`^\s+(\S+)\s+--(\S+)-->\s+(\S+)([^(]*)`)

// table reads the comment of a function: "state --event--> next effect effect (note)".
// "state as other" repeats the rows of other.
func table(t *testing.T, file, function string) map[string]map[string]row {
	t.Helper()
	f, err := parser.ParseFile(token.NewFileSet(), file, nil, parser.ParseComments)
	require.NoError(t, err)
	rows := map[string]map[string]row{}
	for _, d := range f.Decls {
		fn, ok := d.(*ast.FuncDecl)
		if !ok || fn.Name.Name != function {
			continue
		}
		for line := range strings.Lines(fn.Doc.Text()) {
			if m := rowForm.FindStringSubmatch(line); m != nil {
				if rows[m[1]] == nil {
					rows[m[1]] = map[string]row{}
				}
				require.NotContains(t, rows[m[1]], m[2], "%s --%s--> stands twice", m[1], m[2])
				rows[m[1]][m[2]] = row{m[3], strings.Join(strings.Fields(m[4]), " ")}
			} else if w := strings.Fields(line); len(w) == 3 && w[1] == "as" && strings.HasPrefix(line, "\t") {
				rows[w[0]] = rows[w[2]]
			}
		}
	}
	require.NotEmpty(t, rows)
	return rows
}

// walk compares next with the table over every state and every event.
func walk(t *testing.T, rows map[string]map[string]row, states, events []string, next func(s, e int) (string, string)) {
	t.Helper()
	found := 0
	for s, state := range states {
		for e, event := range events {
			want, ok := rows[state][event]
			if !ok {
				want = row{next: state}
			} else {
				found++
			}
			n, effects := next(s, e)
			require.Equal(t, want, row{n, effects}, "%s --%s-->", state, event)
		}
	}
	total := 0
	for _, r := range rows {
		total += len(r)
	}
	require.Equal(t, total, found, "the table has rows with unknown names")
}

func TestNextWatchIsItsTable(t *testing.T) {
	require.Len(t, watchStateNames, int(watchStates))
	require.Len(t, watchEventNames, int(watchEvents))
	walk(t, table(t, "watch.go", "NextWatch"), watchStateNames[:], watchEventNames[:], func(s, e int) (string, string) {
		n, f := NextWatch(WatchState(s), WatchEvent(e))
		return n.String(), f.String()
	})
}

func TestNextShareIsItsTable(t *testing.T) {
	require.Len(t, shareStateNames, int(shareStates))
	require.Len(t, shareEventNames, int(shareEvents))
	walk(t, table(t, "share.go", "NextShare"), shareStateNames[:], shareEventNames[:], func(s, e int) (string, string) {
		n, f := NextShare(ShareState(s), ShareEvent(e))
		return n.String(), f.String()
	})
}

func TestNextSessionIsItsTable(t *testing.T) {
	require.Len(t, sessionStateNames, int(sessionStates))
	require.Len(t, sessionEventNames, int(sessionEvents))
	walk(t, table(t, "session.go", "NextSession"), sessionStateNames[:], sessionEventNames[:], func(s, e int) (string, string) {
		n, f := NextSession(SessionState(s), SessionEvent(e))
		return n.String(), f.String()
	})
}

func TestNextGateIsItsTable(t *testing.T) {
	require.Len(t, gateStateNames, int(gateStates))
	require.Len(t, gateEventNames, int(gateEvents))
	walk(t, table(t, "gate.go", "NextGate"), gateStateNames[:], gateEventNames[:], func(s, e int) (string, string) {
		n, f := NextGate(GateState(s), GateEvent(e))
		return n.String(), f.String()
	})
}

// What the rules must never do, whatever the tables say.

func TestWatchRules(t *testing.T) {
	for s := range watchStates {
		for e := range watchEvents {
			next, f := NextWatch(s, e)
			at := s.String() + " --" + e.String() + "--> " + next.String() + " " + f.String()
			a, b := s.Authorisation(), next.Authorisation()
			if f&WatchTellSubscribed != 0 {
				require.True(t, e == WatchSubscribe && a == Granted || e == WatchApproved && a == Asked, "subscribed without asking: %s", at)
				require.Equal(t, Granted, b, at)
			}
			if f&(WatchShow|WatchShowChanges) != 0 {
				require.Equal(t, Granted, b, "shown without permission: %s", at)
			}
			if a == Granted && b != Granted {
				require.Contains(t, []WatchEvent{WatchUnsubscribe, WatchRejected}, e, "permission lost: %s", at)
				require.NotZero(t, f&WatchTellGone, at)
				require.NotZero(t, f&WatchTellUnsubscribed, at)
			}
			if a != Granted && b == Granted {
				require.Equal(t, WatchApproved, e, "only active grants: %s", at)
			}
			if next.HasDialog() && !s.HasDialog() {
				require.NotZero(t, f&WatchOpen, "no dialog is opened: %s", at)
			}
			if f&WatchOpen != 0 {
				require.True(t, next.HasDialog(), at)
				require.Zero(t, f&WatchClose, at)
			}
			if f&WatchClose != 0 {
				require.True(t, s.HasDialog() && !next.HasDialog(), at)
			}
			if f&(WatchWait|WatchPark) != 0 {
				after, g := NextWatch(next, WatchDue)
				require.True(t, after.HasDialog() && g == WatchOpen, "nobody hears the timer: %s", at)
			}
			if f&WatchTellError != 0 {
				require.Equal(t, Asked, a, at)
				require.Equal(t, None, b, at)
			}
		}
	}
}

func TestShareRules(t *testing.T) {
	document := ShareNotify | ShareNotifyLast | ShareNotifyAll | ShareAnnounce
	for s := range shareStates {
		for e := range shareEvents {
			next, f := NextShare(s, e)
			at := s.String() + " --" + e.String() + "--> " + next.String() + " " + f.String()
			if f&document != 0 {
				require.Equal(t, ShareGranted, next, "a document without permission: %s", at)
			}
			if next == ShareGranted && s != ShareGranted {
				require.Equal(t, ShareSubscribed, e, at)
			}
			if s == ShareGranted && next != ShareGranted {
				require.Contains(t, []ShareEvent{ShareUnsubscribed, ShareRemoved}, e, "permission lost: %s", at)
				require.NotZero(t, f&ShareReject, at)
				require.NotZero(t, f&ShareForget, at)
			}
			if f&ShareAsk != 0 {
				require.Equal(t, SharePending, next, at)
				require.Contains(t, []ShareEvent{ShareWatched, ShareRefreshed}, e, "who polls asks nobody: %s", at)
			}
			switch e {
			case ShareWatched, ShareWatchedQuietly, ShareRefreshed, SharePolled:
				told := f & (ShareNotify | ShareNotifyLast | ShareNotifyEmpty | ShareNotifyPending | ShareForbid)
				require.NotZero(t, told, "a SUBSCRIBE without NOTIFY: %s", at)
				require.Zero(t, told&(told-1), "two NOTIFYs for one SUBSCRIBE: %s", at)
			}
		}
	}
}

func TestNames(t *testing.T) {
	require.Equal(t, "invalid(99)", WatchState(99).String())
	require.Equal(t, "close tell-gone", (WatchClose | WatchTellGone).String())
	require.Equal(t, "", ShareEffects(0).String())
	require.Len(t, watchEffectNames, 11)
	require.Equal(t, WatchShowChanges, WatchEffects(1)<<(len(watchEffectNames)-1))
	require.Equal(t, ShareGiveUp, ShareEffects(1)<<(len(shareEffectNames)-1))
	require.Equal(t, GateLogout, GateEffects(1)<<(len(gateEffectNames)-1))
	require.Equal(t, SessionStopGrace, SessionEffects(1)<<(len(sessionEffectNames)-1))
	for a := None; a <= Denied; a++ {
		require.Equal(t, a, ParseAuthorisation(a.String()))
	}
	require.Equal(t, None, ParseAuthorisation("nonsense"))
}
