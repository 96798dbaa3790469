package interwork

import (
	"sync"

	"github.com/stoxgate/stoxgate/interwork/presence"
	"github.com/stoxgate/stoxgate/sip"
	"github.com/stoxgate/stoxgate/xmpp"
)

// callStates counts who is on the phone through this gateway. The zero value is nobody.
type callStates struct {
	mu    sync.Mutex
	users map[xmpp.JID]int
	aors  map[string]int
}

// callState tells presence that an XMPP user and a SIP user are in a call with each other,
// or are not any more; a party that is zero is left out. It is called once for each
// beginning and once for each end, and counts: who has two calls is on the phone until the
// second ends. It does not wait.
func (g *Gateway) callState(user xmpp.JID, aor sip.URI, busy bool) {
	flow := g.flows.next('p')
	step := 1
	if !busy {
		step = -1
	}
	c := &g.callStates
	c.mu.Lock()
	if c.users == nil {
		c.users, c.aors = make(map[xmpp.JID]int), make(map[string]int)
	}
	tellUser := !user.IsZero() && count(c.users, user.Bare(), step)
	tellAOR := !aor.IsZero() && count(c.aors, aor.Key(), step)
	c.mu.Unlock()
	if tellUser {
		g.pairs.postUser(user.Bare(), presence.CallChanged{Flow: flow, User: true, Busy: busy})
	}
	if tellAOR {
		g.pairs.postAOR(aor.Key(), presence.CallChanged{Flow: flow, Busy: busy})
	}
}

// count tells whether the number of calls became or stopped being zero.
func count[K comparable](m map[K]int, k K, step int) bool {
	was := m[k]
	now := max(was+step, 0)
	if now == 0 {
		delete(m, k)
	} else {
		m[k] = now
	}
	return (was == 0) != (now == 0)
}

// busy tells who of a pair is on the phone.
func (c *callStates) busy(k pairKey) (user, aor bool) {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.users[k.jid] > 0, c.aors[k.aor] > 0
}
