package console

import (
	"context"
	"encoding/csv"
	"fmt"
	"io"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/rs/zerolog"
	"github.com/stretchr/testify/require"

	"github.com/stoxgate/stoxgate/interwork/journal"
)

var noon = time.Date(2026, 11, 20, 12, 0, 0, 0, time.UTC)

// gateway is a Sources in memory.
type gateway struct {
	mu         sync.Mutex
	report     Report
	identities []Identity
	level      string
	broken     error // what registrations, trunks, outbox and export return
	journal    *journal.Journal
}

func newGateway() *gateway {
	return &gateway{
		level:   "info",
		journal: journal.New(journal.Config{}),
		report: Report{
			Version: "v1", Started: noon, XMPP: Link{Domain: "sip.example.org", Server: "127.0.0.1:5347", Up: true, Since: noon},
			SIP: []Listener{{URL: "udp://127.0.0.1:5060", Up: true}}, Store: Store{Engine: "sqlite", Writable: true},
			Counts: Counts{Identities: 2},
		},
	}
}

func (g *gateway) sources() Sources {
	registry := prometheus.NewRegistry()
	counter := prometheus.NewCounter(prometheus.CounterOpts{Name: "stoxgate_test_total", Help: "A counter."})
	registry.MustRegister(counter)
	return Sources{
		Status: g, Identities: g, Registrations: g, Trunks: g, Outbox: g, Watchers: g, Avatars: g, Calls: g, Flows: g.journal, Log: g, Metrics: registry,
	}
}

func (g *gateway) Status(context.Context) Report {
	g.mu.Lock()
	defer g.mu.Unlock()
	r := g.report
	r.Journal = g.journal.Stats()
	return r
}

func (g *gateway) set(change func(*Report)) {
	g.mu.Lock()
	defer g.mu.Unlock()
	change(&g.report)
}

func (g *gateway) List(_ context.Context, q IdentityQuery) (IdentityPage, error) {
	g.mu.Lock()
	defer g.mu.Unlock()
	page := IdentityPage{Total: len(g.identities)}
	for _, i := range g.identities {
		if i.ID <= q.After || !strings.Contains(i.JID+strings.Join(i.AORs, " ")+i.Name, q.Search) {
			continue
		}
		if len(page.Identities) == q.Limit {
			page.Next = page.Identities[q.Limit-1].ID
			break
		}
		page.Identities = append(page.Identities, i)
	}
	return page, nil
}

func (g *gateway) find(id string) int {
	return slices.IndexFunc(g.identities, func(i Identity) bool {
		return i.ID == id || i.JID == id || slices.Contains(i.AORs, id)
	})
}

func (g *gateway) Get(_ context.Context, id string) (Identity, error) {
	g.mu.Lock()
	defer g.mu.Unlock()
	if i := g.find(id); i >= 0 {
		return g.identities[i], nil
	}
	return Identity{}, fmt.Errorf("identity %q: %w", id, ErrNotFound)
}

func (g *gateway) fill(id string, in IdentityInput) Identity {
	out := Identity{
		ID: id, JID: in.JID, AORs: in.AORs, Numbers: in.Numbers, Name: in.Name,
		Trunk: in.Trunk, CallOut: in.CallOut == nil || *in.CallOut, CallIn: true, ShowCallerID: true,
	}
	if in.Password != "" {
		out.Logins = []string{"mira@sip.example.org"}
	}
	return out
}

func (g *gateway) Add(_ context.Context, in IdentityInput) (Identity, error) {
	g.mu.Lock()
	defer g.mu.Unlock()
	if in.JID == "" && len(in.AORs) == 0 {
		return Identity{}, fmt.Errorf("%w: an identity needs an address", ErrInvalid)
	}
	if in.JID != "" && g.find(in.JID) >= 0 {
		return Identity{}, fmt.Errorf("%w: %s belongs to another identity", ErrConflict, in.JID)
	}
	out := g.fill(fmt.Sprintf("id%d", len(g.identities)+1), in)
	g.identities = append(g.identities, out)
	return out, nil
}

func (g *gateway) Update(_ context.Context, id string, in IdentityInput) (Identity, error) {
	g.mu.Lock()
	defer g.mu.Unlock()
	i := g.find(id)
	if i < 0 {
		return Identity{}, ErrNotFound
	}
	g.identities[i] = g.fill(g.identities[i].ID, in)
	return g.identities[i], nil
}

func (g *gateway) Remove(_ context.Context, id string) error {
	g.mu.Lock()
	defer g.mu.Unlock()
	i := g.find(id)
	if i < 0 {
		return ErrNotFound
	}
	g.identities = slices.Delete(g.identities, i, i+1)
	return nil
}

func (g *gateway) Import(ctx context.Context, in io.Reader, dryRun bool) (ImportResult, error) {
	rows, err := csv.NewReader(in).ReadAll()
	if err != nil {
		return ImportResult{}, fmt.Errorf("%w: %w", ErrInvalid, err)
	}
	if dryRun {
		return ImportResult{Added: len(rows)}, nil
	}
	for _, row := range rows {
		if _, err := g.Add(ctx, IdentityInput{JID: row[0]}); err != nil {
			return ImportResult{}, err
		}
	}
	return ImportResult{Added: len(rows)}, nil
}

func (g *gateway) Export(_ context.Context, out io.Writer) error {
	g.mu.Lock()
	defer g.mu.Unlock()
	w := csv.NewWriter(out)
	for _, i := range g.identities {
		if err := w.Write([]string{i.JID}); err != nil {
			return err
		}
	}
	w.Flush()
	return g.broken
}

func (g *gateway) Registrations(context.Context) ([]Registration, error) {
	if g.broken != nil {
		return nil, g.broken
	}
	return []Registration{{AOR: "sip:otto@sip.example.org", Contact: "sip:otto@192.0.2.7:5060", Q: 1, Expires: noon}}, nil
}

func (g *gateway) Trunks(context.Context) ([]Trunk, error) {
	if g.broken != nil {
		return nil, g.broken
	}
	return []Trunk{{Name: "carrier", URI: "sip:sbc.example", Up: true, State: "registered", Since: noon}}, nil
}

func (g *gateway) Counts(context.Context) (OutboxCounts, error) {
	return OutboxCounts{Pending: 3, Queued: 1, Oldest: noon}, g.broken
}

func (g *gateway) Entries(_ context.Context, after int64, limit int) ([]OutboxEntry, error) {
	var out []OutboxEntry
	for seq := after + 1; seq <= 3 && len(out) < limit; seq++ {
		out = append(out, OutboxEntry{Seq: seq, Direction: "x2s", Pair: "p", Created: noon, Expires: noon})
	}
	return out, g.broken
}

func (g *gateway) Level() string {
	g.mu.Lock()
	defer g.mu.Unlock()
	return g.level
}

func (g *gateway) SetLevel(level string) error {
	if level == "loud" {
		return fmt.Errorf("%w: level %q", ErrInvalid, level)
	}
	g.mu.Lock()
	defer g.mu.Unlock()
	g.level = level
	return nil
}

// message puts the story of one message into the journal.
func (g *gateway) message(flow string) {
	g.journal.Add(journal.Entry{
		At: noon, Flow: flow, From: "mira@chat.example", To: journal.Gateway, Protocol: journal.XMPP, Summary: "message <chat>",
		Raw: func() []byte { return []byte("<message><body>hello</body></message>") },
	})
	g.journal.Add(journal.Entry{At: noon.Add(time.Millisecond), Flow: flow, From: journal.Gateway, To: "otto@voice.example", Protocol: journal.SIP, Summary: "MESSAGE"})
}

const testToken = "0123456789abcdef"

func newServer(t *testing.T, g *gateway, token string) *Server {
	t.Helper()
	s, err := New(Config{Listen: "127.0.0.1:0", Token: token, Sources: g.sources(), Version: "v1", Log: zerolog.New(zerolog.NewTestWriter(t))})
	require.NoError(t, err)
	t.Cleanup(s.endStream)
	return s
}

// start runs a console on loopback until the test ends.
func start(t *testing.T, g *gateway, token string) (*Server, *Client) {
	t.Helper()
	s := newServer(t, g, token)
	require.NoError(t, s.Listen())
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error, 1)
	go func() { done <- s.Run(ctx) }()
	c := NewClient(s.Addr().String(), token)
	t.Cleanup(func() {
		c.Close()
		cancel()
		require.NoError(t, <-done)
	})
	return s, c
}

// Watchers of sip:otto@… are one; Decide knows him only.
func (g *gateway) Watchers(_ context.Context, aor string) ([]Watcher, error) {
	if !strings.HasPrefix(aor, "sip:") {
		return nil, fmt.Errorf("%w: %q", ErrInvalid, aor)
	}
	return []Watcher{{JID: "mira@chat.example", AOR: aor, Watch: "asked", WatchSince: noon, Share: "none"}}, g.broken
}

func (g *gateway) Decide(_ context.Context, d WatcherDecision) error {
	if !strings.HasPrefix(d.AOR, "sip:otto@") {
		return fmt.Errorf("%w: %s", ErrNotFound, d.AOR)
	}
	return nil
}

// The one picture that may be seen, and one that cannot be had now.
const (
	pictureHash = "01b87fcd030b72895ff8e88db57ec525450f000d"
	busyHash    = "f1d2d2f924e986ac86fdf7b36c94bcdf32beec15"
)

func (g *gateway) Avatar(_ context.Context, hash string) (Avatar, error) {
	switch hash {
	case pictureHash:
		return Avatar{Data: []byte("\x89PNG\r\n\x1a\nrest"), Type: "image/png"}, g.broken
	case busyHash:
		return Avatar{}, fmt.Errorf("%w: no link", ErrBusy)
	}
	return Avatar{}, ErrNotFound
}

// Calls are three, one a minute; the last is up.
func (g *gateway) Calls(_ context.Context, q CallQuery, f func(Call) error) error {
	var started time.Time
	var flow string
	if q.After != "" {
		var err error
		if started, flow, err = ParsePosition(q.After); err != nil {
			return err
		}
	}
	for i := 3; i > 0; i-- {
		c := Call{
			Flow: fmt.Sprint("c-", i), Direction: "x2s", JID: "mira@chat.example", AOR: "sip:otto@sip.example.org", Started: noon.Add(time.Duration(i) * time.Minute),
			Answered: noon.Add(time.Duration(i) * time.Minute), Text: "=1+1",
			XMPP: CallLeg{Codec: "opus", Protection: "dtls", Received: 50, Sent: 49, JitterMS: 1.5, MOS: 4.3},
		}
		if i < 3 {
			c.Ended, c.Seconds, c.EndedBy, c.Reason, c.Status, c.Cause = c.Started.Add(time.Second), 1, "sip", "success", 200, 16
		}
		behind := q.After == "" || c.Started.Before(started) || c.Started.Equal(started) && c.Flow < flow
		if !behind || c.Started.Before(q.Since) || !q.Until.IsZero() && !c.Started.Before(q.Until) || q.Party != "" && q.Party != c.JID {
			continue
		}
		if err := f(c); err != nil {
			return err
		}
		if q.Limit--; q.Limit == 0 {
			break
		}
	}
	return g.broken
}
