package journal

import (
	"context"
	"encoding/json"
	"fmt"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"pgregory.net/rapid"
)

var noon = time.Date(2026, 11, 20, 12, 0, 0, 0, time.UTC)

func summaries(entries []Entry) string {
	var s []string
	for _, e := range entries {
		s = append(s, e.Summary)
	}
	return strings.Join(s, " ")
}

func TestRingKeepsTheNewest(t *testing.T) {
	j := New(Config{Entries: 3})
	for i := range 5 {
		j.Add(Entry{Summary: fmt.Sprint("m", i), Flow: "f"})
	}
	assert.Equal(t, "m2 m3 m4", summaries(j.Recent(0)))
	assert.Equal(t, "m3 m4", summaries(j.Recent(2)))
	assert.Equal(t, "m2 m3 m4", summaries(j.Recent(99)))
	assert.Equal(t, "m4", summaries(j.Since(4)))
	assert.Empty(t, j.Since(5))
	assert.Equal(t, "m2 m3 m4", summaries(j.Since(0)))
	s := j.Stats()
	assert.Equal(t, 3, s.Entries)
	assert.EqualValues(t, 5, s.Added)
	assert.EqualValues(t, 2, s.Evicted)
}

func TestRingKeepsBytesBounded(t *testing.T) {
	j := New(Config{Bytes: 4 * (entryOverhead + 10)})
	for i := range 100 {
		j.Add(Entry{Summary: fmt.Sprintf("%010d", i)})
	}
	assert.Equal(t, 4, j.Stats().Entries)
	assert.LessOrEqual(t, j.Stats().Bytes, 4*(entryOverhead+10))
	j.Add(Entry{Summary: strings.Repeat("x", 10_000)})
	assert.Equal(t, 1, j.Stats().Entries, "an entry above the bound stays alone")
	j.Add(Entry{Summary: "small"})
	assert.Equal(t, "small", summaries(j.Recent(0)))
}

// The ring behaves like a slice that is cut at the front.
func TestRingModel(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		limit := rapid.IntRange(1, 700).Draw(t, "limit")
		maxBytes := rapid.IntRange(1, 100_000).Draw(t, "bytes")
		j := New(Config{Entries: limit, Bytes: maxBytes})
		var model []Entry
		for _, n := range rapid.SliceOfN(rapid.IntRange(0, 400), 0, 1500).Draw(t, "sizes") {
			e := Entry{At: noon, Summary: strings.Repeat("s", n)}
			j.Add(e)
			e.Seq = j.Stats().Added
			model = append(model, e)
			if len(model) > limit {
				model = model[1:]
			}
			for sum(model) > maxBytes && len(model) > 1 {
				model = model[1:]
			}
		}
		got := j.Recent(0)
		if len(got) != len(model) || j.Stats().Bytes != sum(model) {
			t.Fatalf("%d entries, %d bytes; want %d, %d", len(got), j.Stats().Bytes, len(model), sum(model))
		}
		for i := range got {
			if got[i].Seq != model[i].Seq || got[i].Summary != model[i].Summary {
				t.Fatalf("entry %d is %d, want %d", i, got[i].Seq, model[i].Seq)
			}
		}
	})
}

func sum(entries []Entry) int {
	n := 0
	for i := range entries {
		n += entries[i].size()
	}
	return n
}

func TestFlows(t *testing.T) {
	j := New(Config{})
	const a, b = "m-1", "m-2"
	j.Add(Entry{At: noon, Flow: a, From: "mira@chat.example", To: Gateway, Protocol: XMPP, Summary: "message chat"})
	j.Add(Entry{At: noon.Add(time.Millisecond), Flow: b, From: "otto@voice.example", To: Gateway, Protocol: SIP, Summary: "MESSAGE", Note: "kept"})
	j.Add(Entry{At: noon.Add(2 * time.Millisecond), Flow: a, From: Gateway, To: "otto@voice.example", Protocol: SIP, Summary: "MESSAGE"})
	j.Add(Entry{At: noon.Add(3 * time.Millisecond), Summary: "belongs to no flow"})

	assert.Equal(t, "message chat MESSAGE", summaries(j.Flow(a)))
	assert.Empty(t, j.Flow("unknown"))
	flows := j.Flows(0)
	require.Len(t, flows, 2)
	assert.Equal(t, FlowInfo{
		ID: a, Start: noon, End: noon.Add(2 * time.Millisecond), Entries: 2, Summary: "message chat", Last: "MESSAGE",
		Peers: []string{"mira@chat.example", "otto@voice.example"}, seq: 3,
	}, flows[0], "the flow that was active last comes first")
	assert.Equal(t, "kept", flows[1].Note)
	assert.Len(t, j.Flows(1), 1)
}

func TestKeepingNothing(t *testing.T) {
	j := New(Config{Entries: -1})
	assert.False(t, j.Enabled())
	s := j.Subscribe(t.Context(), Filter{})
	assert.True(t, j.Enabled())
	j.Add(Entry{Summary: "live"})
	assert.Equal(t, "live", (<-s.C).Summary)
	assert.Empty(t, j.Recent(0))
	s.Close()
	assert.False(t, j.Enabled())
	assert.True(t, New(Config{}).Enabled())
}

func TestAddFillsTheTime(t *testing.T) {
	j := New(Config{Now: func() time.Time { return noon }})
	j.Add(Entry{Message: []byte("smuggled")})
	assert.Equal(t, noon, j.Recent(1)[0].At)
	assert.Nil(t, j.Recent(1)[0].Message)
}

const someMessage = "MESSAGE sip:otto@voice.example SIP/2.0\r\nAuthorization: Digest username=\"mira\", response=\"dead\"\r\nSubject: lunch\r\n\r\nnoon at the quay?"

func TestRawIsRenderedOnlyForSomeone(t *testing.T) {
	rendered := 0
	raw := func() []byte { rendered++; return []byte(someMessage) }
	j := New(Config{})
	j.Add(Entry{Protocol: SIP, Raw: raw})
	assert.Zero(t, rendered, "nobody listens")

	plain := j.Subscribe(t.Context(), Filter{})
	defer plain.Close()
	j.Add(Entry{Protocol: SIP, Raw: raw})
	assert.Zero(t, rendered, "a listener without raw")
	assert.Nil(t, (<-plain.C).Message)

	full := j.Subscribe(t.Context(), Filter{Raw: true})
	j.Add(Entry{Protocol: SIP, Raw: raw})
	assert.Equal(t, 1, rendered)
	assert.Nil(t, (<-plain.C).Message)
	e := <-full.C
	assert.NotContains(t, string(e.Message), "noon at the quay")
	assert.NotContains(t, string(e.Message), "lunch")
	assert.NotContains(t, string(e.Message), "dead")
	assert.Nil(t, j.Recent(1)[0].Message, "not kept")

	full.Close()
	full.Close()
	j.Add(Entry{Protocol: SIP, Raw: raw})
	assert.Equal(t, 1, rendered, "the listener left")

	j.SetRaw(true)
	assert.True(t, j.Raw())
	j.Add(Entry{Protocol: SIP, Raw: raw})
	kept := string(j.Recent(1)[0].Message)
	assert.Contains(t, kept, "noon at the quay")
	assert.NotContains(t, kept, "dead")
}

func TestSubscriptionDropsAndCounts(t *testing.T) {
	j := New(Config{})
	s := j.Subscribe(t.Context(), Filter{Buffer: 2, Flow: "a"})
	for range 3 {
		j.Add(Entry{Flow: "a", Summary: "a"})
		j.Add(Entry{Flow: "b", Summary: "b"})
	}
	assert.EqualValues(t, 1, s.Dropped())
	assert.EqualValues(t, 1, j.Stats().Dropped)
	s.Close()
	var got []Entry
	for e := range s.C {
		got = append(got, e)
	}
	assert.Equal(t, "a a", summaries(got))
}

func TestSubscriptionReplays(t *testing.T) {
	j := New(Config{})
	for i := range 600 {
		j.Add(Entry{Summary: fmt.Sprint(i)})
	}
	s := j.Subscribe(t.Context(), Filter{After: 598})
	all := j.Subscribe(t.Context(), Filter{Replay: true, Buffer: 1})
	j.Add(Entry{Summary: "new"})
	s.Close()
	all.Close()
	var got, every []Entry
	for e := range s.C {
		got = append(got, e)
	}
	for e := range all.C {
		every = append(every, e)
	}
	assert.Equal(t, "598 599 new", summaries(got))
	assert.Len(t, every, 601)
}

func TestSubscriptionEndsWithContext(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		j := New(Config{})
		ctx, cancel := context.WithCancel(t.Context())
		s := j.Subscribe(ctx, Filter{Raw: true})
		cancel()
		synctest.Wait()
		_, open := <-s.C
		assert.False(t, open)
		assert.Zero(t, j.rawSubs.Load())
		j.Add(Entry{})
	})
}

func TestConcurrentUse(t *testing.T) {
	j := New(Config{Entries: 50})
	var wg sync.WaitGroup
	for range 4 {
		wg.Go(func() {
			for range 300 {
				j.Add(Entry{Protocol: SIP, Raw: func() []byte { return []byte("OPTIONS") }})
			}
		})
		wg.Go(func() {
			for range 30 {
				s := j.Subscribe(t.Context(), Filter{Raw: true, Replay: true})
				j.Flows(3)
				j.SetRaw(!j.Raw())
				s.Close()
				for range s.C { // drain
				}
			}
		})
	}
	wg.Wait()
	assert.EqualValues(t, 1200, j.Stats().Added)
}

func TestRows(t *testing.T) {
	e := Entry{
		Seq: 7, At: noon, Flow: "f-1", From: "mira@chat.example", To: Gateway, Protocol: XMPP,
		Summary: "message", Note: "kept", Message: []byte("<message/>"),
	}
	data, err := json.Marshal(Rows([]Entry{e}))
	require.NoError(t, err)
	assert.JSONEq(t, `[{"seq":7,"at":"2026-11-20T12:00:00Z","flow":"f-1","from":"mira@chat.example","to":"stoxgate",
		"protocol":"xmpp","summary":"message","note":"kept","message":"<message/>"}]`, string(data))
	var back []Row
	require.NoError(t, json.Unmarshal(data, &back))
	assert.Equal(t, e, back[0].Entry())
	e.Message = []byte("\xff")
	assert.Equal(t, "\uFFFD", Rows([]Entry{e})[0].Message)
	data, err = json.Marshal(Rows(nil))
	require.NoError(t, err)
	assert.Equal(t, "[]", string(data))
}

func BenchmarkAdd(b *testing.B) {
	j := New(Config{})
	e := Entry{At: noon, Flow: "abcdef-1", From: "mira@chat.example", To: Gateway, Protocol: XMPP, Summary: "message chat"}
	e.Raw = func() []byte { return []byte("<message/>") }
	b.ReportAllocs()
	for b.Loop() {
		j.Add(e)
	}
}

func BenchmarkAddParallel(b *testing.B) {
	j := New(Config{})
	e := Entry{At: noon, Flow: "abcdef-1", From: "mira@chat.example", To: Gateway, Protocol: XMPP, Summary: "message chat"}
	b.RunParallel(func(pb *testing.PB) {
		for pb.Next() {
			j.Add(e)
		}
	})
}
