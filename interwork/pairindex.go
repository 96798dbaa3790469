package interwork

import (
	"slices"
	"sync"

	"github.com/stoxgate/stoxgate/interwork/presence"
	"github.com/stoxgate/stoxgate/xmpp"
)

// pairIndex finds the pairs in memory of one party. The zero value is empty.
type pairIndex struct {
	mu    sync.Mutex
	users map[xmpp.JID][]*pair
	aors  map[string][]*pair
}

func (x *pairIndex) add(p *pair) {
	x.mu.Lock()
	defer x.mu.Unlock()
	if x.users == nil {
		x.users, x.aors = make(map[xmpp.JID][]*pair), make(map[string][]*pair)
	}
	x.users[p.key.jid] = append(x.users[p.key.jid], p)
	x.aors[p.key.aor] = append(x.aors[p.key.aor], p)
}

func (x *pairIndex) remove(p *pair) {
	x.mu.Lock()
	defer x.mu.Unlock()
	is := func(o *pair) bool { return o == p }
	if x.users[p.key.jid] = slices.DeleteFunc(x.users[p.key.jid], is); len(x.users[p.key.jid]) == 0 {
		delete(x.users, p.key.jid)
	}
	if x.aors[p.key.aor] = slices.DeleteFunc(x.aors[p.key.aor], is); len(x.aors[p.key.aor]) == 0 {
		delete(x.aors, p.key.aor)
	}
}

// postUser gives an event to those pairs of an XMPP user that are in memory. One that is
// being dropped has nothing to do with it.
func (ps *pairs) postUser(user xmpp.JID, e presence.Event) {
	ps.index.mu.Lock()
	list := slices.Clone(ps.index.users[user])
	ps.index.mu.Unlock()
	for _, p := range list {
		p.box.post(e)
	}
}

// postAOR does the same for a SIP user.
func (ps *pairs) postAOR(aor string, e presence.Event) {
	ps.index.mu.Lock()
	list := slices.Clone(ps.index.aors[aor])
	ps.index.mu.Unlock()
	for _, p := range list {
		p.box.post(e)
	}
}
