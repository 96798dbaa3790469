package ua

import (
	"math/rand/v2"
	"net/netip"
	"sync"
)

// streamKey finds the connection that a request to an address may use. domain is
// part of it for TLS: a certificate that was verified for one domain says nothing
// about another (RFC 5922 §7.3).
type streamKey struct {
	transport string
	remote    netip.AddrPort
	domain    string
}

// streamTable holds every open connection, and the connecting ones.
type streamTable struct {
	mu      sync.Mutex
	lastID  uint64
	ids     map[uint64]*stream
	peers   map[streamKey]*stream
	dialing map[streamKey]*dialing
	closed  bool
}

func newStreamTable() *streamTable {
	return &streamTable{
		// Random, so that a stored flow of an earlier process never fits.
		lastID:  rand.Uint64() >> 1,
		ids:     map[uint64]*stream{},
		peers:   map[streamKey]*stream{},
		dialing: map[streamKey]*dialing{},
	}
}

func (s *stream) key() streamKey { return streamKey{s.transport, s.remote, s.domain} }

// shared tells whether a request may find this connection by address. An accepted
// TLS connection has no verified peer: only its flow leads back to it.
func (s *stream) shared() bool {
	return s.dialled || s.transport == "tcp" || s.transport == "ws"
}

func (t *streamTable) add(s *stream) bool {
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.closed {
		return false
	}
	t.lastID++
	s.id = t.lastID
	t.ids[s.id] = s
	if s.shared() {
		t.peers[s.key()] = s
	}
	return true
}

func (t *streamTable) remove(s *stream) {
	t.mu.Lock()
	defer t.mu.Unlock()
	delete(t.ids, s.id)
	if t.peers[s.key()] == s {
		delete(t.peers, s.key())
	}
}

func (t *streamTable) byID(id uint64) *stream {
	t.mu.Lock()
	defer t.mu.Unlock()
	return t.ids[id]
}

func (t *streamTable) byKey(k streamKey) *stream {
	t.mu.Lock()
	defer t.mu.Unlock()
	return t.peers[k]
}

func (t *streamTable) count() int {
	t.mu.Lock()
	defer t.mu.Unlock()
	return len(t.ids)
}

// close ends every connection and lets none come after.
func (t *streamTable) close(err error) {
	t.mu.Lock()
	t.closed = true
	all := make([]*stream, 0, len(t.ids))
	for _, s := range t.ids {
		all = append(all, s)
	}
	t.mu.Unlock()
	for _, s := range all {
		s.close(err)
	}
}
