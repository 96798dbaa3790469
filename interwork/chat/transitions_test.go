package chat

import (
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

// Every (state, event) that is not in these tables must be refused: the loops below
// walk the whole product.

func TestNextOutboundIsThisTable(t *testing.T) {
	type row struct {
		next   OutboundState
		action OutboundAction
	}
	table := map[OutboundState]map[OutboundEvent]row{
		OutboundUnknown: {
			OutboundReceived:      {OutboundQueued, OutboundStore},
			OutboundReceivedLight: {OutboundQueued, 0},
			OutboundRestored:      {OutboundQueued, 0},
			OutboundNotCommitted:  {OutboundTelling, OutboundTell},
		},
		OutboundQueued: {
			OutboundNotCommitted: {OutboundTelling, OutboundTell},
			OutboundTurn:         {OutboundSending, OutboundSend},
			OutboundUnmappable:   {OutboundTelling, OutboundTell},
			OutboundNothing:      {OutboundDone, OutboundForget},
		},
		OutboundSending: {
			OutboundNotCommitted: {OutboundSending, 0},
			OutboundNext:         {OutboundSending, OutboundSend},
			OutboundAccepted:     {OutboundDone, OutboundForget},
			OutboundRefused:      {OutboundTelling, OutboundTell},
		},
		OutboundTelling: {
			OutboundNotCommitted: {OutboundTelling, 0},
			OutboundTold:         {OutboundDone, OutboundForget},
			OutboundNotTold:      {OutboundKeeping, OutboundKeep},
		},
		OutboundKeeping: {
			OutboundNotCommitted: {OutboundKeeping, 0},
			OutboundKept:         {OutboundDone, OutboundForget},
			OutboundNotKept:      {OutboundDone, 0},
		},
		OutboundDone: {
			OutboundNotCommitted: {OutboundDone, 0},
		},
	}
	for s := OutboundUnknown; s <= OutboundDone; s++ {
		for e := OutboundEvent(0); e < outboundEvents; e++ {
			next, action, ok := NextOutbound(s, e)
			want, legal := table[s][e]
			require.Equal(t, legal, ok, "%v --%v-->", s, e)
			if !legal {
				require.Equal(t, s, next, "%v --%v--> must stay", s, e)
				require.Zero(t, action)
				continue
			}
			require.Equal(t, want, row{next, action}, "%v --%v--> %v %v", s, e, next, action)
		}
	}
}

func TestNextInboundIsThisTable(t *testing.T) {
	type row struct {
		next   InboundState
		action InboundAction
	}
	table := map[InboundState]map[InboundEvent]row{
		InboundUnknown: {
			InboundReceived:        {InboundDelivering, InboundDeliver},
			InboundReceivedWaiting: {InboundStoring, InboundStore},
			InboundReceivedRefused: {InboundDone, InboundAnswerFailure},
			InboundRestored:        {InboundKept, 0},
		},
		InboundDelivering: {
			InboundDelivered:  {InboundDone, InboundAnswerDelivered},
			InboundUncertain:  {InboundDone, InboundAnswerTaken},
			InboundBounced:    {InboundDone, InboundAnswerFailure},
			InboundOverloaded: {InboundDone, InboundAnswerFailure},
			InboundLost:       {InboundStoring, InboundStore},
		},
		InboundStoring: {
			InboundCommitted:    {InboundKept, InboundAnswerTaken},
			InboundNotCommitted: {InboundDone, InboundAnswerFailure},
		},
		InboundKept: {
			InboundTurn:    {InboundRedelivering, InboundDeliver},
			InboundExpired: {InboundDone, InboundReport},
		},
		InboundRedelivering: {
			InboundDelivered:  {InboundDone, InboundForget},
			InboundUncertain:  {InboundDone, InboundForget},
			InboundBounced:    {InboundDone, InboundReport},
			InboundLost:       {InboundKept, 0},
			InboundOverloaded: {InboundKept, 0},
		},
		InboundDone: {},
	}
	for s := InboundUnknown; s <= InboundDone; s++ {
		for e := InboundEvent(0); e < inboundEvents; e++ {
			next, action, ok := NextInbound(s, e)
			want, legal := table[s][e]
			require.Equal(t, legal, ok, "%v --%v-->", s, e)
			if !legal {
				require.Equal(t, s, next, "%v --%v--> must stay", s, e)
				require.Zero(t, action)
				continue
			}
			require.Equal(t, want, row{next, action}, "%v --%v--> %v %v", s, e, next, action)
		}
	}
}

// Whatever happens to a message, it is acknowledged or refused at most once, and only
// after it was safe: the disk or the server had it.
func TestInboundIsAcknowledgedOnceAndLate(t *testing.T) {
	type node struct {
		s    InboundState
		acks int
		safe bool
	}
	seen := map[node]bool{}
	var walk func(node)
	walk = func(n node) {
		if seen[n] {
			return
		}
		seen[n] = true
		for e := InboundEvent(0); e < inboundEvents; e++ {
			next, action, ok := NextInbound(n.s, e)
			if !ok || e == InboundRestored {
				continue
			}
			m := node{next, n.acks, n.safe}
			if e == InboundDelivered || e == InboundUncertain || e == InboundCommitted {
				m.safe = true
			}
			switch action {
			case InboundAnswerDelivered, InboundAnswerTaken:
				require.True(t, m.safe, "%v --%v--> acknowledges what is not safe", n.s, e)
				m.acks++
			case InboundAnswerFailure:
				m.acks++
			}
			require.LessOrEqual(t, m.acks, 1, "%v --%v--> answers twice", n.s, e)
			if next == InboundDone {
				require.Equal(t, 1, m.acks, "%v --%v--> ends without an answer", n.s, e)
			}
			walk(m)
		}
	}
	walk(node{s: InboundUnknown})
}

func TestNextComposing(t *testing.T) {
	type row struct {
		next   ComposingState
		action ComposingAction
	}
	table := map[ComposingState][composingEvents]row{
		ComposingUnknown: {
			ComposingStarted: {ComposingActive, ComposingSay}, ComposingStopped: {ComposingIdle, 0},
			ComposingContent: {ComposingIdle, 0}, ComposingTick: {ComposingUnknown, 0}, ComposingTimeout: {ComposingIdle, 0},
		},
		ComposingIdle: {
			ComposingStarted: {ComposingActive, ComposingSay}, ComposingStopped: {ComposingIdle, 0},
			ComposingContent: {ComposingIdle, 0}, ComposingTick: {ComposingIdle, 0}, ComposingTimeout: {ComposingIdle, 0},
		},
		ComposingActive: {
			ComposingStarted: {ComposingActive, 0}, ComposingStopped: {ComposingIdle, ComposingSay},
			ComposingContent: {ComposingIdle, 0}, ComposingTick: {ComposingActive, ComposingRepeat},
			ComposingTimeout: {ComposingIdle, ComposingSay},
		},
	}
	for s, events := range table {
		for e, want := range events {
			next, action := NextComposing(s, ComposingEvent(e))
			require.Equal(t, want, row{next, action}, "%v --%v-->", s, ComposingEvent(e))
		}
	}
}

func TestRefreshTimeIsBounded(t *testing.T) {
	for refresh, want := range map[time.Duration]string{
		0: "2m0s", -time.Second: "2m0s", time.Second: "10s", 90 * time.Second: "1m30s", 1 << 60: "10m0s",
	} {
		require.Equal(t, want, refreshTime(refresh).String(), "refresh %v", refresh)
	}
}

func TestNamesCoverTheEnums(t *testing.T) {
	require.Len(t, outboundStateNames, int(OutboundDone)+1)
	require.Len(t, outboundEventNames, int(outboundEvents))
	require.Len(t, inboundStateNames, int(InboundDone)+1)
	require.Len(t, inboundEventNames, int(inboundEvents))
	require.Equal(t, "invalid(99)", OutboundState(99).String())
}
