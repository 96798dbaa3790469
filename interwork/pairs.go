package interwork

import (
	"context"
	"sync"
	"sync/atomic"
	"time"

	"github.com/stoxgate/stoxgate/interwork/chat"
	"github.com/stoxgate/stoxgate/interwork/presence"
	"github.com/stoxgate/stoxgate/sip"
	"github.com/stoxgate/stoxgate/xmpp"
)

// pairKey names a pair: a bare JID of the XMPP side and an AOR of the SIP side.
type pairKey struct {
	jid xmpp.JID
	aor string // sip.URI.Key
}

func newPairKey(jid xmpp.JID, aor sip.URI) pairKey {
	return pairKey{jid: jid.Bare(), aor: aor.Key()}
}

func (k pairKey) String() string { return k.jid.String() + " " + k.aor }

const (
	// pairInbox bounds what one pair lets in from the wire at a time.
	pairInbox = 256
	// pairSweep is how often idle pairs are dropped, and pairIdle how long one must
	// have been idle; what a pair remembers (who shows chat states) outlives a pause
	// in a conversation.
	pairSweep = time.Minute
	pairIdle  = 10 * time.Minute
	pairShard = 64
)

// pairs holds the actors of all pairs. A pair exists while it has something to do, and
// a while longer; it is rebuilt from the outbox after a restart.
type pairs struct {
	g      *Gateway
	wg     sync.WaitGroup // the actors' goroutines
	shards [pairShard]struct {
		sync.Mutex
		m map[pairKey]*pair
	}
	count atomic.Int64
	index pairIndex
}

// pair is one actor: a conversation, the presence of both for each other, and timers. All but mailbox is touched by
// the actor only.
type pair struct {
	g             *Gateway
	key           pairKey
	box           *mailbox[any]
	uri           sip.URI    // of the AOR
	contact       xmpp.JID   // that stands for it
	chat          *chat.Pair // nil until something is written: most pairs only watch
	presence      *presence.Pair
	presenceTimer *time.Timer
	timers        [chat.Timers]*time.Timer
	kept          atomic.Int32           // messages that wait for the link
	watches       atomic.Bool            // presence is under way
	icon          atomic.Pointer[string] // URI of the picture that she was shown last; nil: none
	used          atomic.Int64           // Unix nanoseconds of the last event
}

func newPairs(g *Gateway) *pairs {
	p := &pairs{g: g}
	for i := range p.shards {
		p.shards[i].m = make(map[pairKey]*pair)
	}
	return p
}

func (ps *pairs) shard(k pairKey) *struct {
	sync.Mutex
	m map[pairKey]*pair
} {
	h := uint32(2166136261)
	for i := 0; i < len(k.aor); i++ {
		h = (h ^ uint32(k.aor[i])) * 16777619
	}
	for l, i := k.jid.Local(), 0; i < len(l); i++ {
		h = (h ^ uint32(l[i])) * 16777619
	}
	return &ps.shards[h%pairShard]
}

// find finds a pair that is in memory; nil when there is none.
func (ps *pairs) find(k pairKey) *pair {
	s := ps.shard(k)
	s.Lock()
	defer s.Unlock()
	return s.m[k]
}

// offer gives the pair an event from the wire; false means that its inbox is full.
func (ps *pairs) offer(k pairKey, e any) bool {
	p, taken, mine := ps.claim(k, e, pairInbox)
	if mine {
		ps.g.crew.run(p.box.work)
	}
	return taken
}

// offerHere is offer for a goroutine that may do the pair's work itself.
func (ps *pairs) offerHere(k pairKey, e any) bool {
	p, taken, mine := ps.claim(k, e, pairInbox)
	if mine {
		p.box.turn()
	}
	return taken
}

// post gives the pair an event that must not be refused.
func (ps *pairs) post(k pairKey, e any) {
	if p, _, mine := ps.claim(k, e, 0); mine {
		ps.g.crew.run(p.box.work)
	}
}

// claim holds the shard's lock, so that the sweep cannot close the mailbox in between.
func (ps *pairs) claim(k pairKey, e any, limit int) (p *pair, taken, mine bool) {
	s := ps.shard(k)
	s.Lock()
	defer s.Unlock()
	p = s.m[k]
	if p == nil {
		k.jid = k.jid.Clone()
		p = ps.g.newPair(k)
		s.m[k] = p
		ps.count.Add(1)
		ps.index.add(p)
	}
	taken, mine = p.box.claim(e, limit)
	return p, taken, mine
}

func (g *Gateway) newPair(k pairKey) *pair {
	p := &pair{g: g, key: k}
	p.box = newMailbox(pairInbox, &g.pairs.wg, g.crew.run, p.handle)
	if uri, err := sip.ParseURI(k.aor); err == nil {
		p.uri = uri
		p.contact, _ = g.addresses.CallerToXMPP(uri) // a pair begins with an address that has both forms
	}
	p.presence = presence.NewPair(g.events.settings, presencePorts{p})
	if user, aor := g.callStates.busy(k); user || aor {
		p.box.post(presence.CallChanged{User: true, Busy: user})
		p.box.post(presence.CallChanged{Busy: aor})
	}
	return p
}

func (p *pair) handle(e any) {
	switch e := e.(type) {
	case stored:
		e.committed(e.seq, e.err) // posts a chat.Event, which comes next
	case chat.Event:
		if p.chat == nil {
			p.chat = chat.NewPair(&p.g.chatSettings, p, func(e chat.Event) { p.box.postHere(e) }, time.Now)
		}
		p.chat.Handle(e)
	case presence.Event:
		p.presence.Handle(e)
	default:
		panic("interwork: unknown event of a pair")
	}
	if p.chat != nil {
		p.kept.Store(int32(p.chat.Kept()))
	}
	p.watches.Store(!p.presence.Idle())
	p.used.Store(time.Now().UnixNano())
}

// linkUp wakes the pairs: those that keep messages for the XMPP side, and those whose
// presence has to be told again.
func (ps *pairs) linkUp() {
	for i := range ps.shards {
		s := &ps.shards[i]
		s.Lock()
		for _, p := range s.m {
			if p.kept.Load() > 0 {
				p.box.post(chat.LinkUp{})
			}
			if p.watches.Load() {
				p.box.post(presence.LinkUp{})
			}
		}
		s.Unlock()
	}
}

// sweep drops idle pairs until ctx ends.
func (ps *pairs) sweep(ctx context.Context) {
	tick := time.NewTicker(pairSweep)
	defer tick.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
			ps.dropIdle(time.Now().Add(-pairIdle))
		}
	}
}

func (ps *pairs) dropIdle(before time.Time) {
	for i := range ps.shards {
		s := &ps.shards[i]
		s.Lock()
		for k, p := range s.m {
			if p.used.Load() < before.UnixNano() && p.box.closeIf(p.idle) {
				p.stopTimers()
				delete(s.m, k)
				ps.count.Add(-1)
				ps.index.remove(p)
			}
		}
		s.Unlock()
	}
}

// close stops the timers and waits for the actors. What they wait for has ended by
// then, or is cancelled.
func (ps *pairs) close() {
	for i := range ps.shards {
		s := &ps.shards[i]
		s.Lock()
		for _, p := range s.m {
			p.box.shut()
		}
		s.Unlock()
	}
	ps.wg.Wait()
	for i := range ps.shards {
		for _, p := range ps.shards[i].m {
			p.stopTimers()
		}
	}
}

func (p *pair) idle() bool { return (p.chat == nil || p.chat.Idle()) && p.presence.Idle() }

func (p *pair) stopTimers() {
	if p.presenceTimer != nil {
		p.presenceTimer.Stop()
	}
	for _, t := range p.timers {
		if t != nil {
			t.Stop()
		}
	}
}

// SetTimer implements chat.Ports.
func (p *pair) SetTimer(t chat.Timer, after time.Duration) {
	if old := p.timers[t]; old != nil {
		old.Stop()
		p.timers[t] = nil
	}
	if after > 0 {
		p.timers[t] = time.AfterFunc(after, func() { p.box.post(chat.TimerFired{Timer: t}) })
	}
}
