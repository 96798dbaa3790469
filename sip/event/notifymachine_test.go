package event

import (
	"fmt"
	"testing"

	"github.com/stretchr/testify/require"
)

// TestNotifierMachine is the whole table: what is not listed changes nothing.
func TestNotifierMachine(t *testing.T) {
	type key struct {
		p phase
		c cue
	}
	type value struct {
		p phase
		a act
	}
	table := map[key]value{
		{phaseUnknown, cueSubscribe}: {phaseNew, actTake},
		{phaseUnknown, cueFetch}:     {phasePoll, actTake},

		{phasePoll, cueTellPending}:    {phaseEnding, actQueue | actEnded},
		{phasePoll, cueTellActive}:     {phaseEnding, actQueue | actEnded},
		{phasePoll, cueTellTerminated}: {phaseEnding, actQueue | actEnded},
		{phasePoll, cueSilence}:        {phaseEnding, actFinal | actEnded},
		{phasePoll, cueExpire}:         {phaseEnding, actFinal | actEnded},
		{phasePoll, cueRefresh}:        {phasePoll, actRefuse},
		{phasePoll, cueUnsubscribe}:    {phasePoll, actRefuse},

		{phaseNew, cueTellPending}:    {phasePending, actQueue},
		{phaseNew, cueTellActive}:     {phaseActive, actQueue},
		{phaseNew, cueTellTerminated}: {phaseEnding, actQueue | actEnded},
		{phaseNew, cueSilence}:        {phasePending, actBlank},
		{phaseNew, cueRefresh}:        {phaseNew, actTake},
		{phaseNew, cueUnsubscribe}:    {phaseEnding, actTake | actFinal | actEnded},
		{phaseNew, cueExpire}:         {phaseEnding, actFinal | actEnded},
		{phaseNew, cueGone}:           {phaseEnded, actEnded | actDrop},
	}
	for _, p := range []phase{phasePending, phaseActive} {
		table[key{p, cueTellPending}] = value{phasePending, actQueue}
		table[key{p, cueTellActive}] = value{phaseActive, actQueue}
		table[key{p, cueTellTerminated}] = value{phaseEnding, actQueue | actEnded}
		table[key{p, cueRefresh}] = value{p, actTake}
		table[key{p, cueUnsubscribe}] = value{phaseEnding, actTake | actFinal | actEnded}
		table[key{p, cueExpire}] = value{phaseEnding, actFinal | actEnded}
		table[key{p, cueGone}] = value{phaseEnded, actEnded | actDrop}
	}
	for _, p := range []phase{phaseEnding, phaseEnded} {
		for _, c := range []cue{cueTellPending, cueTellActive, cueTellTerminated, cueRefresh, cueUnsubscribe} {
			table[key{p, c}] = value{p, actRefuse}
		}
	}
	table[key{phaseEnding, cueGone}] = value{phaseEnded, actDrop}
	table[key{phaseEnding, cueFinished}] = value{phaseEnded, actDrop}

	for p := phaseUnknown; p <= phaseEnded; p++ {
		for c := cueSubscribe; c <= cueFinished; c++ {
			t.Run(fmt.Sprint(p, " ", c), func(t *testing.T) {
				want, ok := table[key{p, c}]
				if !ok {
					want = value{p, 0}
				}
				next, acts := advance(p, c)
				require.Equal(t, want, value{next, acts})
				// What holds for every row: the owner hears of an end exactly when the
				// subscription leaves the living phases, and nothing comes back to life.
				living := func(p phase) bool { return p >= phasePoll && p <= phaseActive }
				require.Equal(t, living(p) && !living(next), acts&actEnded != 0)
				require.False(t, p >= phaseEnding && living(next))
				require.Equal(t, next == phaseEnded && p != phaseEnded, acts&actDrop != 0)
			})
		}
	}
}
