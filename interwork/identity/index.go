package identity

import (
	"hash/maphash"
	"maps"
	"slices"
	"strings"
	"sync/atomic"

	"github.com/stoxgate/stoxgate/xmpp"
)

// parts is how many maps an index consists of; an edit copies those that it touches,
// some 400 entries each of 100 000.
const parts = 256

var seed = maphash.MakeSeed()

// index maps keys to identities. It is never changed; edit makes a new one.
type index[K comparable] struct {
	part [parts]map[K]*Identity
}

// indexEdit is an index in the making: parts are copied when they are first written.
type indexEdit[K comparable] struct {
	hash   func(K) uint64
	next   *index[K]
	copied [parts]bool
}

func editIndex[K comparable](old *index[K], hash func(K) uint64) *indexEdit[K] {
	next := *old
	return &indexEdit[K]{hash: hash, next: &next}
}

func (e *indexEdit[K]) get(k K) *Identity { return e.next.part[e.hash(k)%parts][k] }

func (e *indexEdit[K]) part(k K) map[K]*Identity {
	p := e.hash(k) % parts
	if !e.copied[p] {
		e.copied[p] = true
		if e.next.part[p] = maps.Clone(e.next.part[p]); e.next.part[p] == nil {
			e.next.part[p] = make(map[K]*Identity)
		}
	}
	return e.next.part[p]
}

func (e *indexEdit[K]) set(k K, id *Identity) { e.part(k)[k] = id }
func (e *indexEdit[K]) del(k K)               { delete(e.part(k), k) }

// jidKey is a bare JID without the room for a resource.
type jidKey struct{ local, domain string }

func jidKeyOf(j xmpp.JID) jidKey { return jidKey{j.Local(), j.Domain()} }

// The users of one name on many hosts are few, so the user alone decides the part.
func hashText(s string) uint64 { return maphash.String(seed, s) }
func hashAOR(k aorKey) uint64  { return maphash.String(seed, k.user) }
func hashJID(k jidKey) uint64  { return maphash.String(seed, k.local) }

// snapshot is the table at one moment.
type snapshot struct {
	ids     *index[string]
	jids    *index[jidKey]
	aors    *index[aorKey]
	numbers *index[string]
	count   int
	version int64 // of the database

	sorted atomic.Pointer[[]*Identity] // by id; made when first asked for
}

func emptySnapshot() *snapshot {
	return &snapshot{ids: new(index[string]), jids: new(index[jidKey]), aors: new(index[aorKey]), numbers: new(index[string])}
}

func (t *snapshot) byID(id string) *Identity    { return t.ids.part[hashText(id)%parts][id] }
func (t *snapshot) byAOR(k aorKey) *Identity    { return t.aors.part[hashAOR(k)%parts][k] }
func (t *snapshot) byJID(k jidKey) *Identity    { return t.jids.part[hashJID(k)%parts][k] }
func (t *snapshot) byNumber(n string) *Identity { return t.numbers.part[hashText(n)%parts][n] }

// byIDOrder are all identities by id.
func (t *snapshot) byIDOrder() []*Identity {
	if p := t.sorted.Load(); p != nil {
		return *p
	}
	list := make([]*Identity, 0, t.count)
	for _, p := range t.ids.part {
		for _, id := range p {
			list = append(list, id)
		}
	}
	slices.SortFunc(list, func(a, b *Identity) int { return strings.Compare(a.ID, b.ID) })
	t.sorted.Store(&list)
	return list
}

// edit is a snapshot in the making.
type edit struct {
	ids     *indexEdit[string]
	jids    *indexEdit[jidKey]
	aors    *indexEdit[aorKey]
	numbers *indexEdit[string]
	count   int
}

func (t *snapshot) edit() *edit {
	return &edit{
		ids: editIndex(t.ids, hashText), jids: editIndex(t.jids, hashJID), aors: editIndex(t.aors, hashAOR),
		numbers: editIndex(t.numbers, hashText), count: t.count,
	}
}

func (e *edit) done(version int64) *snapshot {
	return &snapshot{ids: e.ids.next, jids: e.jids.next, aors: e.aors.next, numbers: e.numbers.next, count: e.count, version: version}
}

// remove takes an identity out, if it is there.
func (e *edit) remove(id string) {
	old := e.ids.get(id)
	if old == nil {
		return
	}
	e.ids.del(id)
	e.count--
	if !old.JID.IsZero() {
		e.jids.del(jidKeyOf(old.JID))
	}
	for _, a := range old.AORs {
		e.aors.del(keyOf(a))
	}
	for _, n := range old.Numbers {
		e.numbers.del(n)
	}
}

// conflict tells whose address or login id would take; nil: nobody's.
func (e *edit) conflict(id *Identity) error {
	taken := func(address string, owner *Identity) error {
		if owner == nil || owner.ID == id.ID {
			return nil
		}
		return &TakenError{Address: address, Owner: owner.ID}
	}
	if !id.JID.IsZero() {
		if err := taken("xmpp:"+id.JID.String(), e.jids.get(jidKeyOf(id.JID))); err != nil {
			return err
		}
	}
	for _, a := range id.AORs {
		if err := taken(a.String(), e.aors.get(keyOf(a))); err != nil {
			return err
		}
	}
	for _, n := range id.Numbers {
		if err := taken("tel:"+n, e.numbers.get(n)); err != nil {
			return err
		}
	}
	// The id of one may be the user of another's address in the same realm.
	for _, c := range id.Credentials {
		for _, other := range []*Identity{e.ids.get(c.User), e.aors.get(loginKey(c.User, c.Realm))} {
			if other != nil && other.credential(c.User, c.Realm) != nil {
				if err := taken("the login "+c.User+" in realm "+c.Realm, other); err != nil {
					return err
				}
			}
		}
	}
	return nil
}

// add puts an identity in; the caller has removed the old one and asked for conflicts.
func (e *edit) add(id *Identity) {
	e.ids.set(id.ID, id)
	e.count++
	if !id.JID.IsZero() {
		e.jids.set(jidKeyOf(id.JID), id)
	}
	for _, a := range id.AORs {
		e.aors.set(keyOf(a), id)
	}
	for _, n := range id.Numbers {
		e.numbers.set(n, id)
	}
}
