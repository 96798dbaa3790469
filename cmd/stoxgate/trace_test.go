package main

import (
	"context"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/stoxgate/stoxgate/interwork/journal"
)

func addMessage(j *journal.Journal, flow string) {
	at := time.Date(2026, 11, 20, 12, 0, 0, 0, time.UTC)
	j.Add(journal.Entry{
		At: at, Flow: flow, From: "mira@chat.example", To: journal.Gateway, Protocol: journal.XMPP, Summary: "message chat",
		Raw: func() []byte { return []byte("<message><body>se\x1bcret</body></message>") },
	})
	j.Add(journal.Entry{At: at.Add(time.Millisecond), Flow: flow, From: journal.Gateway, To: "otto@voice.example", Protocol: journal.SIP, Summary: "MESSAGE"})
}

func TestTraceOfOneFlow(t *testing.T) {
	j := journal.New(journal.Config{Raw: true})
	addMessage(j, "m-1")
	addMessage(j, "m-2")
	g := startConsole(t, "127.0.0.1:0", j)
	where := []string{"--console", g.address, "--token", testToken}
	r := execute(t, "", append([]string{"trace", "m-1"}, where...)...)
	require.Equal(t, exitOK, r.code, r.err)
	assert.Contains(t, r.out, "message chat")
	assert.Contains(t, r.out, "─")
	assert.NotContains(t, r.out, "<body>")
	r = execute(t, "", append([]string{"trace", "m-1", "--raw", "--ascii", "-w", "60"}, where...)...)
	assert.NotContains(t, r.out, "─")
	assert.Contains(t, r.out, "mira@chat.example -> stoxgate\n<message><body>se\uFFFDcret</body></message>")
	r = execute(t, "", append([]string{"trace", "m-1", "--json"}, where...)...)
	assert.Equal(t, 2, strings.Count(r.out, `"flow":"m-1"`))
	r = execute(t, "", append([]string{"trace", "m-9"}, where...)...)
	assert.Equal(t, exitRefused, r.code)

	r = execute(t, "", append([]string{"trace", "--list"}, where...)...)
	assert.Regexp(t, `(?m)^m-2 .* 2 .*mira@chat.example otto@voice.example  message chat  MESSAGE$`, r.out)
	r = execute(t, "", append([]string{"trace", "--list", "-n", "1", "--json"}, where...)...)
	assert.Equal(t, 1, strings.Count(r.out, "\n"))
	assert.Contains(t, r.out, `"id":"m-2"`)
}

// A trace goes on when the gateway restarts.
func TestTraceFollows(t *testing.T) {
	j := journal.New(journal.Config{})
	addMessage(j, "m-1")
	g := startConsole(t, "127.0.0.1:0", j)
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	var out, errs buffer
	done := make(chan int, 1)
	go func() {
		done <- run([]string{"trace", "--console", g.address, "--token", testToken, "-n", "1", "--raw"},
			&program{ctx: ctx, stdin: strings.NewReader(""), stdout: &out, stderr: &errs, env: variables()})
	}()
	eventually(t, "the entry of the past", func() bool { return strings.Contains(out.String(), "otto@voice.example: MESSAGE") })
	assert.Contains(t, out.String(), "XMPP")
	addMessage(j, "m-2")
	eventually(t, "the live entry", func() bool { return strings.Contains(out.String(), "mira@chat.example: message chat") })
	assert.Contains(t, out.String(), "<body>[7 bytes]</body>", "bodies are blanked")

	g.stop()
	eventually(t, "the notice", func() bool { return strings.Contains(errs.String(), "the gateway is gone") })
	restarted := journal.New(journal.Config{})
	startConsole(t, g.address, restarted)
	eventually(t, "the reader is back", func() bool { return restarted.Stats().Readers > 0 })
	addMessage(restarted, "m-3")
	eventually(t, "the entry after the restart", func() bool { return strings.Contains(out.String(), "m-3") })
	cancel()
	assert.Equal(t, exitOK, <-done)
}
