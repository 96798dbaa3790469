package interwork

import (
	"context"
	"sync"
	"time"

	"github.com/stoxgate/stoxgate/interwork/call"
	"github.com/stoxgate/stoxgate/xmpp"
	"github.com/stoxgate/stoxgate/xmpp/disco"
)

const (
	// maxDevices bounds the resources that are known, and maxPerUser those of one user.
	maxDevices = 200_000
	maxPerUser = 16
	// discoWait bounds the question what a client can do, and discoSlots those under way.
	discoWait  = 10 * time.Second
	discoSlots = 64
)

// devices knows the resources of XMPP users from the presence that they send to SIP users,
// and what their clients can do (XEP-0115). It serves two questions: who takes calls but
// no proposals, and who has gone.
type devices struct {
	c     *calls
	cache *disco.Cache
	slots chan struct{}

	mu    sync.Mutex
	n     int
	users map[xmpp.JID]map[xmpp.JID]disco.Caps // bare → full
	asked map[disco.Caps]bool                  // a question is under way
}

func newDevices(c *calls) *devices {
	return &devices{
		c: c, cache: disco.NewCache(0), slots: make(chan struct{}, discoSlots),
		users: make(map[xmpp.JID]map[xmpp.JID]disco.Caps), asked: make(map[disco.Caps]bool),
	}
}

// presence follows who is there. The directed presence of the end is how a call learns
// that its user is gone.
func (d *devices) presence(p *xmpp.Presence) {
	switch p.Type {
	case xmpp.PresenceAvailable:
		if !p.From.IsBare() {
			d.available(p)
		}
	case xmpp.PresenceUnavailable, xmpp.PresenceError:
		d.gone(p.From)
		if p.Type == xmpp.PresenceUnavailable {
			d.c.unavailable(p.From)
		}
	}
}

func (d *devices) available(p *xmpp.Presence) {
	caps, ok := disco.ParseCaps(p.Extension(xmpp.NSCaps, "c"))
	if !ok {
		caps = disco.Caps{}
	}
	bare := p.From.Bare()
	d.mu.Lock()
	list := d.users[bare]
	old, known := list[p.From]
	switch {
	case known && old == caps:
		d.mu.Unlock()
		return
	case !known && (d.n >= maxDevices || len(list) >= maxPerUser):
		d.mu.Unlock()
		return
	}
	if list == nil {
		list = make(map[xmpp.JID]disco.Caps, 1)
		d.users[bare] = list
	}
	if !known {
		d.n++
	}
	list[p.From] = caps
	ask := ok && !d.asked[caps]
	if ask {
		if _, have := d.cache.Get(caps); have {
			ask = false
		} else {
			d.asked[caps] = true
		}
	}
	d.mu.Unlock()
	if ask {
		d.ask(p.From, p.To, caps)
	}
}

func (d *devices) gone(j xmpp.JID) {
	d.mu.Lock()
	defer d.mu.Unlock()
	list := d.users[j.Bare()]
	if j.IsBare() {
		d.n -= len(list)
		delete(d.users, j)
		return
	}
	if _, ok := list[j]; ok {
		delete(list, j)
		d.n--
	}
	if len(list) == 0 {
		delete(d.users, j.Bare())
	}
}

// ask finds out once for every make of client what it can do. Under a flood of new makes
// some are not asked; their next presence is another chance.
func (d *devices) ask(to, from xmpp.JID, caps disco.Caps) {
	done := func() {
		d.mu.Lock()
		delete(d.asked, caps)
		d.mu.Unlock()
	}
	select {
	case d.slots <- struct{}{}:
	default:
		done()
		return
	}
	g := d.c.g
	g.work.Go(func() {
		defer func() { <-d.slots }()
		defer done()
		ctx, cancel := context.WithTimeout(g.workCtx, discoWait)
		defer cancel()
		res, err := g.xmpp.IQ(ctx, &xmpp.IQ{From: from, To: to, Type: xmpp.IQGet, Payload: caps.Query()})
		if err != nil || res.Payload == nil {
			return
		}
		info, err := disco.ParseInfo(res.Payload)
		if err != nil {
			return
		}
		if err := d.cache.Put(caps, info); err != nil {
			g.log.Debug().Err(err).Stringer("jid", to).Msg("capabilities not kept")
		}
	})
}

// direct are the resources of a user, or the one resource, that take calls but no
// proposals.
func (d *devices) direct(user xmpp.JID) []xmpp.JID {
	d.mu.Lock()
	defer d.mu.Unlock()
	var list []xmpp.JID
	for full, caps := range d.users[user.Bare()] {
		if !user.IsBare() && full != user {
			continue
		}
		info, ok := d.cache.Get(caps)
		if ok && info.Capabilities().Has(disco.Audio) && !info.Features.Has(xmpp.NSJingleMessage) {
			list = append(list, full)
		}
	}
	return list
}

// unavailable tells the calls of a user that one of her resources is gone.
func (c *calls) unavailable(j xmpp.JID) {
	c.mu.Lock()
	var list []*actor
	for a := range c.byUser[j.Bare().String()] {
		list = append(list, a)
	}
	c.mu.Unlock()
	for _, a := range list {
		a.post(call.Unavailable{JID: j})
	}
}
