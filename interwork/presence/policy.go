package presence

import (
	"sync"
	"time"

	"github.com/stoxgate/stoxgate/sip"
)

// Anonymous tells watchers without a name (RFC 3323 §4.1.1.3): nobody can decide whether
// one may see them.
func Anonymous(watcher sip.URI) bool {
	return watcher.IsZero() || watcher.Host == "anonymous.invalid" || watcher.Host == "invalid" || watcher.User == "anonymous" || watcher.User == ""
}

// Admit decides on a SUBSCRIBE of a SIP user for the presence of an XMPP user before it is
// answered: nil to take it, else the answer. It needs no pair, so it can be called on the
// goroutine of the request: policy is [Ports.Allow] for [Sharing], denied says that
// [Refusals] holds the pair.
func Admit(watcher sip.URI, policy Decision, denied bool) *sip.Status {
	switch {
	case Anonymous(watcher):
		return &sip.Status{Code: 403, Reason: "Forbidden - anonymous watchers see nobody"}
	case policy == Refuse, denied:
		return &sip.Status{Code: 403}
	}
	return nil
}

// DefaultPolicy is what Ports.Allow says without a configuration: whoever is ours and has
// no way to be asked is seen by those who ask. ours says that the AOR is of our registrar,
// winfo that its phones subscribe to presence.winfo, so that its owner sees who waits.
func DefaultPolicy(d Direction, ours, winfo bool) Decision {
	if d == Watching && ours && !winfo {
		return Allow
	}
	return Confirm
}

// Refusals remembers the pairs in which the XMPP user said no, so that a SUBSCRIBE can be
// answered 403 at once. There are few of them. It is safe for concurrent use.
type Refusals struct {
	mu    sync.RWMutex
	pairs map[string]int64 // since when, Unix seconds
}

// Note follows the record of a pair; the gateway calls it for each record that it reads
// or writes.
func (r *Refusals) Note(pair string, record *Record) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if record.Share != Denied {
		delete(r.pairs, pair)
		return
	}
	if r.pairs == nil {
		r.pairs = map[string]int64{}
	}
	r.pairs[pair] = unix(record.ShareSince)
}

// Denied tells whether she said no, and not so long ago that he may ask again.
func (r *Refusals) Denied(pair string, s *Settings) bool {
	r.mu.RLock()
	defer r.mu.RUnlock()
	since, ok := r.pairs[pair]
	return ok && s.Now().Unix()-since < int64(s.DenyFor/time.Second)
}
