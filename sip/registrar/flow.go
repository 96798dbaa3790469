package registrar

import (
	"maps"
	"slices"
	"sync"
	"time"

	"github.com/stoxgate/stoxgate/sip"
	"github.com/stoxgate/stoxgate/sip/ua"
)

// isConnection tells the flows that end: those over TCP, TLS and WebSocket.
func isConnection(f ua.Flow) bool { return !f.IsZero() && f.Transport != "udp" }

// flowIndex finds the AORs that have bindings on a connection.
type flowIndex struct {
	mu   sync.Mutex
	aors map[ua.Flow]map[string]struct{}
}

func newFlowIndex() *flowIndex { return &flowIndex{aors: map[ua.Flow]map[string]struct{}{}} }

// replace follows a change of an AOR's bindings.
func (x *flowIndex) replace(aor string, current, next []Binding) {
	x.mu.Lock()
	defer x.mu.Unlock()
	for i := range current {
		f := current[i].Flow
		if m := x.aors[f]; m != nil {
			delete(m, aor)
			if len(m) == 0 {
				delete(x.aors, f)
			}
		}
	}
	for i := range next {
		f := next[i].Flow
		if !isConnection(f) {
			continue
		}
		if x.aors[f] == nil {
			x.aors[f] = map[string]struct{}{}
		}
		x.aors[f][aor] = struct{}{}
	}
}

func (x *flowIndex) of(f ua.Flow) []string {
	x.mu.Lock()
	defer x.mu.Unlock()
	var list []string
	for aor := range x.aors[f] {
		list = append(list, aor)
	}
	return list
}

// all returns every connection that has bindings.
func (x *flowIndex) all() []ua.Flow {
	x.mu.Lock()
	defer x.mu.Unlock()
	return slices.Collect(maps.Keys(x.aors))
}

// sweepEvery is how soon a closed connection is noticed without FlowClosed. Until
// then its bindings are there for the watchers only.
const sweepEvery = 5 * time.Second

// sweep drops the bindings of closed connections.
func (r *Registrar) sweep(done <-chan struct{}) {
	tick := time.NewTicker(sweepEvery)
	defer tick.Stop()
	for {
		select {
		case <-done:
			return
		case <-tick.C:
		}
		for _, f := range r.flows.all() {
			if !r.cfg.Alive(f) {
				r.FlowClosed(f)
			}
		}
	}
}

// FlowClosed tells that a connection has closed: bindings that live on it are
// dropped, others forget the connection and are reached through their contact
// from now on.
func (r *Registrar) FlowClosed(f ua.Flow) {
	if !isConnection(f) {
		return
	}
	for _, aor := range r.flows.of(f) {
		r.edit(aor, func(b *Binding) (keep, changed bool) {
			if b.Flow != f {
				return true, false
			}
			b.Flow = ua.Flow{}
			return !b.Connected, true
		})
	}
}

// Target tells how a request gets to the phone of a binding; its Request-URI is
// Binding.Contact.
func (r *Registrar) Target(b Binding) ua.Target {
	if len(b.Path) > 0 { // the first of them is the next hop
		return ua.Target{Routes: b.Path}
	}
	t := ua.Target{URI: b.Contact}
	if !b.Flow.IsZero() && (isConnection(b.Flow) || b.ToSource) && (r.cfg.Alive == nil || r.cfg.Alive(b.Flow)) {
		t.Flow = b.Flow
		return t
	}
	if b.ToSource { // the socket is gone (other listeners after a restart): the NAT may still know us
		addr := b.Source.Addr().Unmap()
		t.URI = sip.URI{Scheme: "sip", Host: addr.String(), Port: int(b.Source.Port())}
		if addr.Is6() {
			t.URI.Host = "[" + t.URI.Host + "]"
		}
		t.URI.Params.Set("transport", "udp")
	}
	return t
}
