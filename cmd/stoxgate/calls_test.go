package main

import (
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/stoxgate/stoxgate/cmd/stoxgate/internal/console"
	"github.com/stoxgate/stoxgate/interwork/journal"
	"github.com/stoxgate/stoxgate/interwork/store"
)

func TestCallsCommand(t *testing.T) {
	g := startConsole(t, "127.0.0.1:0", journal.New(journal.Config{}))
	at := []string{"calls", "--console", g.address, "--token", testToken}
	list := func(args ...string) string {
		t.Helper()
		r := execute(t, "", append(at[:len(at):len(at)], args...)...)
		require.Equal(t, exitOK, r.code, r.err)
		return r.out
	}
	lines := strings.Split(strings.TrimSpace(list()), "\n")
	require.Len(t, lines, 3)
	for _, word := range []string{"mira@chat.example", "otto@sip.example", "1m2s", "success by sip", "opus/PCMA", "4.3/4.2", "c-1"} {
		assert.Contains(t, lines[1], word)
	}
	assert.Contains(t, lines[2], "busy by sip (486)")
	assert.Equal(t, 1, strings.Count(list("--json", "--party", "paul@chat.example"), "\n"))
	assert.Equal(t, 3, strings.Count(list("--csv"), "\n"))
	assert.NotContains(t, list("--since", "0s"), "c-1")
	for _, wrong := range [][]string{{"--since", "soon"}, {"--until", "-3h"}, {"--csv", "--limit", "2000"}} {
		r := execute(t, "", append(at[:len(at):len(at)], wrong...)...)
		assert.NotEqual(t, exitOK, r.code, r.err)
	}
}

func TestParty(t *testing.T) {
	for text, want := range map[string][2]string{
		"": {}, "mira@chat.example/desk": {"mira@chat.example", ""}, "sip:otto@SIP.example;transport=tcp": {"", "sip:otto@sip.example"},
		"otto@sip.example": {"otto@sip.example", "sip:otto@sip.example"},
	} {
		jid, aor, err := party(text)
		require.NoError(t, err, text)
		assert.Equal(t, want[0], jid, text)
		if text != "mira@chat.example/desk" {
			assert.Equal(t, want[1], aor, text)
		}
	}
	_, _, err := party("sip:")
	assert.ErrorIs(t, err, console.ErrInvalid)
}

func TestAccountOf(t *testing.T) {
	begin := time.Date(2026, 11, 24, 12, 0, 0, 0, time.UTC)
	r := store.CallRow{Started: begin, Talked: begin.Add(time.Second), Ended: begin.Add(3 * time.Second), Reason: "success", SIP: store.CallLeg{Jitter: 1500 * time.Microsecond}}
	c := accountOf(&r)
	assert.InDelta(t, 2, c.Seconds, 0)
	assert.InDelta(t, 1.5, c.SIP.JitterMS, 0)
	r.Reason = store.CallInterrupted // nobody knows how long it went on
	assert.Zero(t, accountOf(&r).Seconds)
}
