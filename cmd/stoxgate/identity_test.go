package main

import (
	"context"
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/rs/zerolog"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/stoxgate/stoxgate/cmd/stoxgate/internal/console"
	"github.com/stoxgate/stoxgate/interwork/identity"
	"github.com/stoxgate/stoxgate/interwork/journal"
)

const testToken = "0123456789abcdef"

// fakeGateway serves a console with a table and a journal, and nothing behind.
type fakeGateway struct {
	journal *journal.Journal
	address string
	stop    func()
}

type noGateway struct{}

func (noGateway) Status(context.Context) console.Report { return console.Report{} }

func (noGateway) Registrations(context.Context) ([]console.Registration, error) { return nil, nil }

func (noGateway) Trunks(context.Context) ([]console.Trunk, error) { return nil, nil }

func (noGateway) Counts(context.Context) (console.OutboxCounts, error) {
	return console.OutboxCounts{}, nil
}

func (noGateway) Entries(context.Context, int64, int) ([]console.OutboxEntry, error) {
	return nil, nil
}

func (noGateway) Calls(_ context.Context, q console.CallQuery, f func(console.Call) error) error {
	begin := time.Date(2025, 11, 24, 12, 0, 0, 0, time.UTC)
	for i, who := range []string{"mira@chat.example", "paul@chat.example"} {
		c := console.Call{
			Flow: fmt.Sprint("c-", i+1), Direction: "x2s", JID: who, AOR: "sip:otto@sip.example", Started: begin, Answered: begin.Add(time.Second),
			Talked: begin.Add(time.Second), Ended: begin.Add(62500 * time.Millisecond), Seconds: 61.5, EndedBy: "sip", Reason: "success", Status: 200, Cause: 16,
			XMPP: console.CallLeg{Codec: "opus", Protection: "dtls", MOS: 4.3}, SIP: console.CallLeg{Codec: "PCMA", Protection: "none", MOS: 4.2},
		}
		if i == 1 {
			c.Talked, c.Answered, c.Seconds, c.Reason, c.EndedBy, c.Status, c.Cause = time.Time{}, time.Time{}, 0, "busy", "sip", 486, 17
			c.XMPP, c.SIP = console.CallLeg{}, console.CallLeg{}
		}
		if (q.Party == "" || q.Party == who) && !c.Started.Before(q.Since) {
			if err := f(c); err != nil {
				return err
			}
		}
	}
	return nil
}

func startConsole(t *testing.T, address string, j *journal.Journal) *fakeGateway {
	t.Helper()
	table, err := identity.New(t.Context(), identity.Config{Numbers: identity.Numbers{Region: "DE"}})
	require.NoError(t, err)
	s, err := console.New(console.Config{
		Listen: address, Token: testToken, Log: zerolog.Nop(), Version: "test",
		Sources: console.Sources{
			Status: noGateway{}, Registrations: noGateway{}, Trunks: noGateway{}, Outbox: noGateway{}, Watchers: watchers{}, Calls: noGateway{}, Flows: j, Log: &logLevel{},
			Identities: identities{table, identity.Numbers{Region: "DE"}}, Metrics: prometheus.NewRegistry(),
		},
	})
	require.NoError(t, err)
	require.NoError(t, s.Listen())
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error, 1)
	go func() { done <- s.Run(ctx) }()
	g := &fakeGateway{journal: j, address: s.Addr().String()}
	stopped := false
	g.stop = func() {
		if !stopped {
			stopped = true
			cancel()
			assert.NoError(t, <-done)
		}
	}
	t.Cleanup(g.stop)
	return g
}

// Both ways to the table behave alike: through the API and in the database.
func TestIdentityCommands(t *testing.T) {
	t.Run("API", func(t *testing.T) {
		g := startConsole(t, "127.0.0.1:0", journal.New(journal.Config{}))
		testIdentityCommands(t, []string{"--console", g.address, "--token", testToken}, "")
	})
	t.Run("database", func(t *testing.T) {
		path := writeConfig(t, strings.ReplaceAll(minimalConfig(t, "127.0.0.1:1"), "secret: secret", `secret: "${NOT_SET_HERE}"`)+"identity: {default_region: DE}\n")
		testIdentityCommands(t, []string{"--config", path}, "no gateway answers at 127.0.0.1:")
	})
}

func testIdentityCommands(t *testing.T, where []string, note string) {
	do := func(stdin string, args ...string) result {
		t.Helper()
		r := execute(t, stdin, append(append([]string{"identity"}, args...), where...)...)
		if note != "" {
			assert.Contains(t, r.err, note)
		}
		return r
	}
	ok := func(stdin string, args ...string) result {
		t.Helper()
		r := do(stdin, args...)
		require.Equal(t, exitOK, r.code, r.err)
		return r
	}
	r := ok("geheim\n", "add", "mira@chat.example", "--aor", "mira@sip.example", "--aor", "sip:m@sip.example", "--number", "030 123456", "--password-file", "-", "--no-call-in", "--trunk", "pbx")
	assert.Equal(t, "added mira\n", r.out)
	r = ok("", "add", "--aor", "otto@sip.example", "--name", "Otto Quay", "--generate-password", "--json")
	assert.Contains(t, r.out, `"id":"otto"`)
	assert.Regexp(t, `password: \S{20,}\n`, r.err)
	secret := filepath.Join(t.TempDir(), "secret")
	require.NoError(t, os.WriteFile(secret, []byte("geheim"), 0o600))
	assert.Equal(t, "added door\n", ok("", "add", "--id", "door", "--aor", "d1@sip.example", "--password-file", secret).out)

	r = ok("", "list")
	assert.Contains(t, r.out, "ID    JID")
	assert.Contains(t, r.out, "mira  mira@chat.example  sip:mira@sip.example sip:m@sip.example  +4930123456  -          yes    pbx")
	assert.Contains(t, r.out, "Otto Quay")
	assert.NotContains(t, ok("", "list", "mira").out, "otto")
	assert.Equal(t, 2, strings.Count(ok("", "list", "--limit", "1").out, "\n"))
	assert.Equal(t, 3, strings.Count(ok("", "list", "--json").out, "\n"))

	for _, name := range []string{"mira", "mira@chat.example", "sip:m@sip.example", "m@sip.example", "+4930123456", "030 123456", "tel:+4930123456"} {
		var got console.Identity
		require.NoError(t, json.Unmarshal([]byte(ok("", "show", name, "--json").out), &got), name)
		assert.Equal(t, "mira", got.ID, name)
		assert.False(t, got.CallIn)
		assert.True(t, got.CallOut)
	}
	assert.Contains(t, ok("", "show", "otto").out, "name              Otto Quay\nphones log in as  otto@sip.example\n")

	for _, args := range [][]string{
		{"show", "nobody"},
		{"update", "nobody", "--name", "x"},
		{"remove", "nobody"},
		{"add", "mira@chat.example"},
		{"add", "x@y", "--aor", "otto@sip.example"},
		{"add", "--id", "door", "--aor", "q@sip.example"},
		{"add", "a@b@c"},
		{"add", "x@y", "--aor", "sip:"},
		{"add", "x@y", "--number", "12"},
		{"add"},
		{"add", "x@y", "--password-file", "/dev/null"},
	} {
		r := execute(t, "", append(append([]string{"identity"}, args...), where...)...)
		assert.Equal(t, exitRefused, r.code, "%v: %s", args, r.err)
		assert.Contains(t, r.err, "stoxgate: ")
	}
	assert.Equal(t, exitFailed, execute(t, "", append([]string{"identity", "add", "--password-file", "/nowhere"}, where...)...).code)

	r = ok("", "update", "m@sip.example", "--jid", "mira@new.example", "--name", "Mira", "--trunk", "-", "--call-in", "--number", "+4940999999")
	assert.Equal(t, "changed mira\n", r.out)
	r = ok("", "show", "mira", "--json")
	assert.JSONEq(t, `{"id":"mira","jid":"mira@new.example","aors":["sip:mira@sip.example","sip:m@sip.example"],"numbers":["+4940999999"],"name":"Mira",
		"logins":["mira@sip.example","m@sip.example"],"call_out":true,"call_in":true,"show_caller_id":true}`, r.out, "what was not given stays")
	ok("", "update", "mira", "--aor", "mira@sip.example", "--password", "x", "--no-show-caller-id")

	file := filepath.Join(t.TempDir(), "identities.csv")
	ok("", "export", file)
	info, err := os.Stat(file)
	require.NoError(t, err)
	assert.Equal(t, os.FileMode(0o600), info.Mode().Perm(), "it holds digest hashes")
	csv := ok("", "export").out
	assert.Contains(t, csv, "id,jid,aors,")
	assert.Equal(t, "added 0, updated 0, unchanged 3\n", ok("", "import", file).out)
	assert.Equal(t, "added 0, updated 1, unchanged 2\n", ok(strings.ReplaceAll(csv, "Otto Quay", "Otto"), "import", "--dry-run").out)
	assert.Contains(t, ok("", "show", "otto").out, "Otto Quay")
	assert.Equal(t, "removed mira\nremoved otto\n", ok("", "remove", "mira@new.example", "otto").out)
	assert.Equal(t, "added 2, updated 0, unchanged 1\n", ok(csv, "import").out)
	for _, bad := range []string{"id,jid\nq,a@b@c\n", "id,jdi\n", "id,jid\nq,mira@new.example\n"} {
		r := do(bad, "import")
		assert.Equal(t, exitRefused, r.code, r.err)
		assert.Contains(t, r.err, "line ")
	}
	assert.Equal(t, exitFailed, execute(t, "", append([]string{"identity", "import", "/nowhere"}, where...)...).code)
	assert.Equal(t, exitFailed, execute(t, "", append([]string{"identity", "export", "/nowhere/file"}, where...)...).code)
}

func TestIdentityPages(t *testing.T) {
	table, err := identity.New(t.Context(), identity.Config{})
	require.NoError(t, err)
	all := identities{table, identity.Numbers{}}
	var csv strings.Builder
	csv.WriteString("id,jid\n")
	for i := range 2500 {
		fmt.Fprintf(&csv, "u%04d,u%d@chat.example\n", i, i)
	}
	_, err = all.Import(t.Context(), strings.NewReader(csv.String()), false)
	require.NoError(t, err)
	for limit, want := range map[int]int{0: 2500, 1: 1, 1000: 1000, 1001: 1001, 9999: 2500} {
		n := 0
		require.NoError(t, eachIdentity(t.Context(), all, "", limit, func(console.Identity) error { n++; return nil }))
		assert.Equal(t, want, n)
	}
}

func TestUnreachable(t *testing.T) {
	for _, args := range [][]string{{"identity", "list"}, {"trace"}, {"trace", "--list"}, {"trace", "m-1"}} {
		r := execute(t, "", append(args, "--console", "127.0.0.1:1")...)
		assert.Equal(t, exitUnreachable, r.code)
		assert.Contains(t, r.err, "no gateway answers at http://127.0.0.1:1: ")
		assert.NotContains(t, r.err, "Get ")
	}
	g := startConsole(t, "127.0.0.1:0", journal.New(journal.Config{}))
	for _, args := range [][]string{{"identity", "list"}, {"trace"}} {
		r := execute(t, "", append(args, "--console", g.address, "--token", "wrong")...)
		assert.Equal(t, exitUnreachable, r.code)
		assert.Contains(t, r.err, "does not accept the token")
	}
	path := writeConfig(t, minimalConfig(t, "127.0.0.1:1")+"log: {}\n")
	data, err := os.ReadFile(path)
	require.NoError(t, err)
	off := writeConfig(t, strings.Split(string(data), "http:")[0]+"http: {listen: \"off\"}\n")
	r := execute(t, "", "trace", "-c", off)
	assert.Equal(t, exitUnreachable, r.code)
	assert.Contains(t, r.err, "http.listen is off")
	assert.Equal(t, exitOK, execute(t, "", "identity", "list", "-c", off).code)
}
