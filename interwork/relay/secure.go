package relay

import (
	"fmt"
	"net/netip"
	"slices"
	"time"
)

// upgrade prepares a protection for a leg that had none; it comes into force when the peer's
// description has its part.
func (t *transport) upgrade(p Setup) error {
	if t.setup.Protection != None || p.Protection == None {
		return nil
	}
	if p.Protection == SDES {
		if err := t.makeKeys(p.Suites); err != nil {
			return err
		}
	} else {
		t.cert = t.s.relay.certificate(time.Now())
	}
	t.setup.Protection = p.Protection
	if !t.described {
		t.protection = p.Protection
	}
	return nil
}

// makeKeys makes the keys that are offered by SDES.
func (t *transport) makeKeys(names []string) error {
	if names == nil {
		for _, s := range suites {
			t.offered = append(t.offered, newKey(s))
		}
		return nil
	}
	for _, n := range names {
		s, ok := findSuite(n)
		if !ok {
			return fmt.Errorf("%w: crypto suite %.40q", ErrDescription, n)
		}
		t.offered = append(t.offered, newKey(s))
	}
	if len(t.offered) == 0 {
		return fmt.Errorf("%w: no crypto suite", ErrDescription)
	}
	return nil
}

// choose finds the first of the peer's keys that is of a suite of ours. Its answer has one
// key, with our tag; its offer has several, and our answer repeats the tag.
func (t *transport) choose(all []Crypto) (in *cryptoContext, chosen, tag int, err error) {
	if len(all) == 0 && t.in != nil {
		return nil, t.chosen, t.tag, nil
	}
	err = fmt.Errorf("%w: no crypto line", ErrDescription)
	for _, c := range all {
		k, e := parseKey(c)
		if e != nil {
			err = e
			continue
		}
		i := slices.IndexFunc(t.offered, func(o srtpKey) bool { return o.suite == k.suite })
		if i < 0 {
			err = fmt.Errorf("%w: crypto suite %s was not offered", ErrDescription, k.suite.name)
			continue
		}
		if t.in != nil && t.in.key.equal(k) {
			return nil, i, c.Tag, nil
		}
		if in, err = newContext(k); err != nil {
			continue
		}
		return in, i, c.Tag, nil
	}
	return nil, 0, 0, err
}

// rekey puts new keys in force. Our own key changes with the suite only; the sequence and
// SSRC of what we send go on.
func (t *transport) rekey(in *cryptoContext, chosen, tag int, now time.Time) error {
	if t.out == nil || t.chosen != chosen {
		out, err := newContext(t.offered[chosen])
		if err != nil {
			return err
		}
		t.out = out
	}
	t.chosen, t.tag = chosen, tag
	t.receiveWith(in, now)
	return nil
}

func (t *transport) receiveWith(in *cryptoContext, now time.Time) {
	if t.in != nil {
		t.old, t.oldUntil = t.in, now.Add(oldKeys)
	}
	t.in = in
}

// secure starts the DTLS handshake, or a new one when the peer has another certificate.
func (t *transport) secure(prints []Fingerprint, active bool) {
	if prints != nil {
		t.fingerprints = prints
	}
	if t.assoc != nil && t.assoc.peer != nil && !matches(t.fingerprints, t.assoc.peer) {
		t.assoc.close()
		t.assoc = nil
		t.dtlsFrom = netip.AddrPort{}
	}
	if t.assoc == nil {
		t.active = active
	}
}

// handshake starts DTLS; s.mu is held.
func (t *transport) handshake() {
	s := t.s
	var local netip.AddrPort
	if t.rtp != nil {
		local = t.rtp.local
	} else {
		local = t.mux.sockets[0].local
	}
	p := newPipe(local, func(b []byte) {
		s.mu.Lock()
		defer s.mu.Unlock()
		if !s.closed {
			t.write(&t.loop, b)
		}
	})
	var a *association
	s.relay.wg.Add(1)
	a = startDTLS(p, t.cert, t.active, t.ice != nil, t.fingerprints, s.relay.c.ConnectTimeout, func(k keys, err error) {
		s.mu.Lock()
		defer s.mu.Unlock()
		if s.closed || t.assoc != a {
			return
		}
		if err != nil {
			t.fail(err)
			return
		}
		t.keyed(a, k)
	}, s.relay.wg.Done)
	t.assoc = a
	for _, d := range t.early {
		p.put(d.b, d.from)
	}
	t.early = nil
}

// keyed takes the keys of a handshake; s.mu is held.
func (t *transport) keyed(a *association, k keys) {
	in, err := newContext(k.remote)
	if err == nil {
		var out *cryptoContext
		if out, err = newContext(k.local); err == nil {
			t.out = out
		}
	}
	if err != nil {
		t.fail(err)
		return
	}
	a.peer = k.peer
	now := time.Now()
	t.receiveWith(in, now)
	if t.ice == nil && t.dtlsFrom.IsValid() {
		t.src.addr = t.dtlsFrom
	}
	t.progress()
}
