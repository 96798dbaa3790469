package jingle

import (
	"errors"
	"slices"
	"strings"
	"time"

	"github.com/stoxgate/stoxgate/xmpp"
)

// TombstoneTime is how long Sessions remembers a session that is over: as long as a SIP transaction lives
// (RFC 3261 §17), so that whatever crosses the end is recognised on both sides.
const TombstoneTime = 32 * time.Second

// ErrSessionExists tells that the sid is in use, or was until a moment ago.
var ErrSessionExists = errors.New("jingle: session exists")

// Prevails tells which of two proposals for the same thing stands: that with the lower sid, by octets, or if
// those are equal that of the lower address (XEP-0166 §7.2.16, XEP-0353 §4.1).
func Prevails(sid string, from xmpp.JID, otherSID string, other xmpp.JID) bool {
	if c := strings.Compare(sid, otherSID); c != 0 {
		return c < 0
	}
	return from.String() < other.String()
}

// sessionKey names a session. The sid alone is not enough: nobody but the peer may touch a session, and one
// peer may use a sid for two of our users.
type sessionKey struct {
	local xmpp.JID // bare
	peer  xmpp.JID // full
	sid   string
}

type tombstone struct {
	key   sessionKey
	until time.Time
}

// Sessions is the table of sessions of a gateway. It has no clock: the caller tells the time, which must not run
// backwards. It is not safe for concurrent use. The zero value is empty and ready.
type Sessions struct {
	live  map[sessionKey]*Session
	pairs map[pair][]*Session // the live ones again
	dead  map[sessionKey]struct{}
	aged  []tombstone // in the order of until
}

// pair is one of our users, bare, and a full address that it has sessions with.
type pair struct{ local, peer xmpp.JID }

// Add puts a session into the table. The error wraps ErrSessionExists.
func (t *Sessions) Add(s *Session, now time.Time) error {
	t.expire(now)
	k := keyOf(s)
	if _, ok := t.dead[k]; ok || t.live[k] != nil {
		return ErrSessionExists
	}
	if t.live == nil {
		t.live, t.pairs = make(map[sessionKey]*Session), make(map[pair][]*Session)
	}
	t.live[k] = s
	p := pair{k.local, k.peer}
	t.pairs[p] = append(t.pairs[p], s)
	return nil
}

// Get returns the session of a peer with one of our users, nil if there is none. local may have a resource,
// which does not count.
func (t *Sessions) Get(local, peer xmpp.JID, sid string) *Session {
	return t.live[sessionKey{local.Bare(), peer, sid}]
}

// Ended tells whether there was such a session within the last TombstoneTime.
func (t *Sessions) Ended(local, peer xmpp.JID, sid string, now time.Time) bool {
	t.expire(now)
	_, ok := t.dead[sessionKey{local.Bare(), peer, sid}]
	return ok
}

// Remove takes a session out of the table and leaves a tombstone. It does nothing for one that is not there.
func (t *Sessions) Remove(s *Session, now time.Time) {
	t.expire(now)
	k := keyOf(s)
	if t.live[k] != s {
		return
	}
	delete(t.live, k)
	p := pair{k.local, k.peer}
	if rest := slices.DeleteFunc(t.pairs[p], func(o *Session) bool { return o == s }); len(rest) > 0 {
		t.pairs[p] = rest
	} else {
		delete(t.pairs, p)
	}
	if t.dead == nil {
		t.dead = make(map[sessionKey]struct{})
	}
	t.dead[k] = struct{}{}
	t.aged = append(t.aged, tombstone{k, now.Add(TombstoneTime)})
}

// Len returns the number of sessions.
func (t *Sessions) Len() int { return len(t.live) }

// Receive finds the session of an action that came from peer to local and lets it judge. A session-initiate
// makes a new session, as responder. The error is a *xmpp.StanzaError to answer with; without one the action is
// to be acted on, in the session returned. overruled is a session of our own that lost against this
// session-initiate (XEP-0166 §7.2.16): the peer answers our session-initiate with tie-break, so it can be
// forgotten without another word.
func (t *Sessions) Receive(j *Jingle, local, peer xmpp.JID, now time.Time) (s, overruled *Session, err error) {
	t.expire(now)
	if s = t.Get(local, peer, j.SID); s != nil {
		return s, nil, s.Receive(j)
	}
	if j.Action != ActionSessionInitiate {
		return nil, nil, UnknownSession()
	}
	if t.Ended(local, peer, j.SID, now) {
		return nil, nil, OutOfOrder("session is over")
	}
	s = NewSession(j.SID, local, peer, RoleResponder)
	if ours := t.colliding(s, j); ours != nil {
		if Prevails(ours.sid, ours.local, j.SID, peer) {
			return nil, nil, TieBreak()
		}
		overruled = ours
	}
	if err := s.Receive(j); err != nil {
		return nil, nil, err
	}
	if err := t.Add(s, now); err != nil {
		return nil, nil, OutOfOrder("session exists")
	}
	return s, overruled, nil
}

// colliding returns a session for the same two users that we initiated, that the peer has not answered at all,
// and that is about one of the same media.
func (t *Sessions) colliding(s *Session, j *Jingle) *Session {
	for _, ours := range t.pairs[pair{s.local.Bare(), s.peer}] {
		if ours.role != RoleInitiator || !ours.waiting(ActionSessionInitiate, nil) {
			continue
		}
		for i := range j.Contents {
			for c := range ours.contents {
				if ours.contents[c].Media == contentState(&j.Contents[i]).Media {
					return ours
				}
			}
		}
	}
	return nil
}

// expire forgets the tombstones that are due.
func (t *Sessions) expire(now time.Time) {
	n := 0
	for n < len(t.aged) && !now.Before(t.aged[n].until) {
		delete(t.dead, t.aged[n].key)
		n++
	}
	t.aged = t.aged[n:] // what is in front goes when append makes a new array
}

func keyOf(s *Session) sessionKey { return sessionKey{s.local.Bare(), s.peer, s.sid} }
