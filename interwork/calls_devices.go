package interwork

import (
	"context"
	"slices"
	"strings"
	"sync"
	"time"
	"unique"

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
	users map[xmpp.JID][]device // by bare JID
	asked map[disco.Caps]bool   // a question is under way
}

// device is one resource. There may be a hundred thousand, of few makes.
type device struct {
	resource string
	caps     unique.Handle[disco.Caps] // of the zero value when it shows none
}

func find(list []device, resource string) int {
	return slices.IndexFunc(list, func(x device) bool { return x.resource == resource })
}

func newDevices(c *calls) *devices {
	return &devices{
		c: c, cache: disco.NewCache(0), slots: make(chan struct{}, discoSlots),
		users: make(map[xmpp.JID][]device), asked: make(map[disco.Caps]bool),
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
	bare, shown := p.From.Bare(), unique.Make(caps)
	d.mu.Lock()
	list := d.users[bare]
	i := find(list, p.From.Resource())
	switch {
	case i >= 0 && list[i].caps == shown:
		d.mu.Unlock()
		return
	case i >= 0:
		list[i].caps = shown
	case d.n >= maxDevices || len(list) >= maxPerUser:
		d.mu.Unlock()
		return
	default:
		if list == nil {
			bare = bare.Clone() // not the stanza's memory
		}
		d.users[bare] = append(list, device{strings.Clone(p.From.Resource()), shown})
		d.n++
	}
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
		return
	}
	d.announce(p.From)
}

// announce lets calls that wait for a user know that another device can take them.
func (d *devices) announce(full xmpp.JID) {
	if !d.c.has(full) {
		return
	}
	for _, j := range d.direct(full) {
		for _, a := range d.c.callsOf(j) {
			a.post(call.Available{JID: j})
		}
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
	i := find(list, j.Resource())
	if i < 0 {
		return
	}
	d.n--
	if len(list) == 1 {
		delete(d.users, j.Bare())
		return
	}
	d.users[j.Bare()] = slices.Delete(list, i, i+1)
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
			return
		}
		d.announce(to)
	})
}

// direct are the resources of a user, or the one resource, that take calls but no
// proposals.
func (d *devices) direct(user xmpp.JID) []xmpp.JID {
	return d.that(user, func(f disco.Features) bool { return !f.Has(xmpp.NSJingleMessage) })
}

// that are those resources that take calls and whose features are right.
func (d *devices) that(user xmpp.JID, right func(disco.Features) bool) []xmpp.JID {
	d.mu.Lock()
	defer d.mu.Unlock()
	var list []xmpp.JID
	for _, x := range d.users[user.Bare()] {
		if !user.IsBare() && x.resource != user.Resource() {
			continue
		}
		full, err := user.WithResource(x.resource)
		info, ok := d.cache.Get(x.caps.Value())
		if ok && err == nil && info.Capabilities().Has(disco.Audio) && right(info.Features) {
			list = append(list, full)
		}
	}
	return list
}

// has tells whether a user has calls.
func (c *calls) has(user xmpp.JID) bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	return len(c.byUser[user.Bare().String()]) > 0
}

// callsOf are the calls of a user.
func (c *calls) callsOf(user xmpp.JID) []*actor {
	c.mu.Lock()
	defer c.mu.Unlock()
	var list []*actor
	for a := range c.byUser[user.Bare().String()] {
		list = append(list, a)
	}
	return list
}

// unavailable tells the calls of a user that one of her resources is gone.
func (c *calls) unavailable(j xmpp.JID) {
	for _, a := range c.callsOf(j) {
		a.post(call.Unavailable{JID: j})
	}
}
