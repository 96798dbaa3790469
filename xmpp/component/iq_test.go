package component

import (
	"context"
	"fmt"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/stoxgate/stoxgate/xmpp"
)

func ping(to, id string) *xmpp.IQ {
	return &xmpp.IQ{From: otto, To: xmpp.MustJID(to), ID: id, Type: xmpp.IQGet, Payload: xmpp.NewElement(xmpp.NSPing, "ping")}
}

// ask calls IQ on a goroutine.
func (r *rig) ask(ctx context.Context, iq *xmpp.IQ) chan answer {
	got := make(chan answer, 1)
	go func() {
		reply, err := r.c.IQ(ctx, iq)
		got <- answer{reply, err}
	}()
	return got
}

func TestIQ(t *testing.T) {
	bubble(t, nil, func(r *rig) {
		_, err := r.c.IQ(context.Background(), ping("chat.harbor.example", ""))
		assert.ErrorIs(t, err, ErrLinkDown)
		p := r.connect()
		_, err = r.c.IQ(context.Background(), ping("chat.harbor.example", "").Result(nil))
		assert.ErrorIs(t, err, ErrRequest)

		request := ping("mira@chat.harbor.example/desk", "")
		got := r.ask(context.Background(), request)
		seen := p.stanza().(*xmpp.IQ)
		assert.NotEmpty(t, seen.ID)
		assert.Empty(t, request.ID, "the caller's iq is left alone")
		result := seen.Result(xmpp.NewElement("u", "x"))
		p.send(string(result.Append(nil)))
		a := <-got
		require.NoError(t, a.err)
		assert.Equal(t, result.Append(nil), a.iq.Append(nil))

		got = r.ask(context.Background(), request)
		next := p.stanza().(*xmpp.IQ)
		assert.NotEqual(t, seen.ID, next.ID)
		p.send(string(next.ErrorReply(*xmpp.NewStanzaError(xmpp.ConditionItemNotFound, "who?")).Append(nil)))
		var se *xmpp.StanzaError
		assert.ErrorAs(t, (<-got).err, &se)
		assert.Equal(t, xmpp.ConditionItemNotFound, se.Condition)
		assert.Empty(t, r.take(), "answers are no business of the handler")

		p.send(string(result.Append(nil))) // late or unasked for
		synctest.Wait()
		assert.Len(t, r.take(), 1)
		assert.Empty(t, r.c.tracker.pending)
		r.finish(p)
	})
}

func TestIQEnds(t *testing.T) {
	bubble(t, nil, func(r *rig) {
		p := r.connect()
		ctx, cancel := context.WithTimeout(context.Background(), 5*second)
		defer cancel()
		got := r.ask(ctx, ping("mira@chat.harbor.example", "1"))
		p.next()
		assert.ErrorIs(t, (<-got).err, context.DeadlineExceeded)

		ctx, cancel = context.WithCancel(context.Background())
		got = r.ask(ctx, ping("mira@chat.harbor.example", "1")) // the id is free again
		p.next()
		cancel()
		assert.ErrorIs(t, (<-got).err, context.Canceled)

		read := r.ask(context.Background(), ping("mira@chat.harbor.example", "1"))
		p.next()
		_, err := r.c.IQ(context.Background(), ping("mira@chat.harbor.example", "1"))
		assert.ErrorIs(t, err, ErrDuplicateID)
		sameID := r.ask(context.Background(), ping("otto@chat.harbor.example", "1"))
		p.next()
		unread := r.ask(context.Background(), ping("mira@chat.harbor.example", "2"))
		synctest.Wait()
		p.close()
		for _, got := range []chan answer{read, sameID, unread} {
			assert.ErrorIs(t, (<-got).err, ErrLinkDown)
		}
		r.lost()
		assert.Empty(t, r.c.tracker.pending)
		r.finish(r.connect())
	})
}

func TestIQAnswers(t *testing.T) {
	const bare, full, other = "mira@chat.harbor.example", "mira@chat.harbor.example/desk", "mira@chat.harbor.example/phone"
	for _, c := range []struct {
		asked, from string
		ok          bool
	}{
		{full, full, true},
		{full, bare, true}, // the account answers for a resource
		{full, other, false},
		{full, "", false},
		{full, "chat.harbor.example", false},
		{full, "mallory@evil.example/desk", false},
		{bare, bare, true},
		{bare, full, true},
		{bare, "", false},
		{bare, "chat.harbor.example", false},
		{"chat.harbor.example", "chat.harbor.example", true},
		{"chat.harbor.example", "", true},
		{"chat.harbor.example", "sip.harbor.example", false},
		{"chat.harbor.example", bare, false},
		{"sip.harbor.example", "", true},
	} {
		t.Run(c.asked+" "+c.from, func(t *testing.T) {
			bubble(t, nil, func(r *rig) {
				p := r.connect()
				ctx, cancel := context.WithTimeout(context.Background(), second)
				defer cancel()
				got := r.ask(ctx, ping(c.asked, ""))
				iq := p.stanza().(*xmpp.IQ).Result(nil)
				iq.From = xmpp.JID{}
				if c.from != "" {
					iq.From = xmpp.MustJID(c.from)
				}
				forged := *iq
				forged.From = xmpp.MustJID("mallory@evil.example")
				p.send(string(forged.Append(nil)))
				p.send(string(iq.Append(nil)))
				a := <-got
				if c.ok {
					assert.NoError(t, a.err)
				} else {
					assert.ErrorIs(t, a.err, context.DeadlineExceeded)
				}
				assert.Empty(t, r.take())
				r.finish(p)
			})
		})
	}
}

// A request of the same id from the peer is no answer, nor is an answer to another of our addresses.
func TestIQLookalikes(t *testing.T) {
	bubble(t, nil, func(r *rig) {
		p := r.connect()
		got := r.ask(context.Background(), ping("mira@chat.harbor.example/desk", ""))
		iq := p.stanza().(*xmpp.IQ)
		request := *iq
		request.From, request.To = iq.To, iq.From
		p.send(string(request.Append(nil)))
		synctest.Wait()
		assert.Len(t, r.take(), 1)
		elsewhere := iq.Result(nil)
		elsewhere.To = xmpp.MustJID("sip.harbor.example")
		p.send(string(elsewhere.Append(nil)))
		synctest.Wait()
		assert.Empty(t, got)
		p.send(string(iq.Result(nil).Append(nil)))
		assert.NoError(t, (<-got).err)
		r.take()
		r.finish(p)
	})
}

// Answers that come faster than the asker can blink are never lost: 500 at once, answered in the order that the
// server likes, with forgeries in between.
func TestIQRaces(t *testing.T) {
	bubble(t, nil, func(r *rig) {
		p := r.connect()
		const n = 500
		served := make(chan struct{})
		go func() {
			defer close(served)
			for range n {
				iq := p.stanza().(*xmpp.IQ)
				forged := *iq.Result(xmpp.NewElement("u", "forged"))
				forged.From = xmpp.MustJID("mallory@evil.example")
				p.send(string(forged.Append(nil)) + string(iq.Result(xmpp.NewElement("u", "n").AddText(iq.Payload.Text())).Append(nil)))
			}
		}()
		var wg sync.WaitGroup
		for i := range n {
			wg.Go(func() {
				iq := ping(fmt.Sprintf("user%d@chat.harbor.example", i%7), "")
				iq.Payload = xmpp.NewElement("u", "n").AddText(fmt.Sprint(i))
				ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
				defer cancel()
				reply, err := r.c.IQ(ctx, iq)
				if assert.NoError(t, err) {
					assert.Equal(t, fmt.Sprint(i), reply.Payload.Text())
				}
			})
		}
		wg.Wait()
		<-served
		assert.Empty(t, r.take())
		r.finish(p)
	})
}

func TestIDsDiffer(t *testing.T) {
	a, b := newIDs(), newIDs()
	seen := map[string]bool{}
	for range 1000 {
		for _, id := range []string{a.next(), b.next()} {
			assert.False(t, seen[id])
			assert.Equal(t, id, strings.ToLower(id))
			seen[id] = true
		}
	}
}
