package presence

import (
	"iter"
	"slices"
	"strings"
	"sync"

	"github.com/stoxgate/stoxgate/mapping"
	"github.com/stoxgate/stoxgate/xmpp"
)

// Member is one entry of the resource list of an identity (RFC 4662): an XMPP user.
type Member struct {
	JID  xmpp.JID // bare
	Name string
}

// Members are the contacts of a SIP user: all XMPP users with whom there is any
// authorisation in either direction, whoever said no left out. In XMPP words it is the
// part of the roster that the gateway knows. pairs are the records of the AOR.
func Members(pairs iter.Seq2[xmpp.JID, Record]) (list []Member) {
	for jid, r := range pairs {
		if jid.IsZero() || r.Share == Denied || r.Share == None && r.Watch != Granted && r.Watch != Asked {
			continue
		}
		list = append(list, Member{JID: jid.Bare()})
	}
	slices.SortFunc(list, func(a, b Member) int { return strings.Compare(a.JID.String(), b.JID.String()) })
	return slices.CompactFunc(list, func(a, b Member) bool { return a.JID == b.JID })
}

// Entry is the state of one member, as the watcher of the list may be told it.
type Entry struct {
	Member
	State      DialogState // DialogUnknown: nothing is known yet, the entry has no instance
	Reason     Reason      // of DialogTerminated
	Document   bool        // Resources are to be told
	Resources  mapping.Resources
	OnThePhone bool
}

// List is the state of one subscription to a resource list: many pairs, one watcher. The
// gateway adds a dialog of the list to each member's pair ([Watched] with Quiet, so that
// nobody is asked for the sake of a list) and gives what the pair tells that dialog to
// Update. It may be used by many goroutines.
type List struct {
	mu      sync.Mutex
	entries []listEntry // in the order of the members
	index   map[xmpp.JID]int
	full    bool // the next update has to be one
}

type listEntry struct {
	Entry
	changed bool
}

// NewList makes the list of these members.
func NewList(members []Member) *List {
	l := &List{}
	l.Set(members)
	return l
}

// Set changes who is on the list. It tells whose pairs get and lose a dialog.
func (l *List) Set(members []Member) (added, removed []Member) {
	l.mu.Lock()
	defer l.mu.Unlock()
	old, index := l.entries, l.index
	l.entries, l.index = make([]listEntry, 0, len(members)), make(map[xmpp.JID]int, len(members))
	for _, m := range members {
		m.JID = m.JID.Bare()
		if _, twice := l.index[m.JID]; twice {
			continue
		}
		e := listEntry{Entry: Entry{Member: m}, changed: true}
		if i, ok := index[m.JID]; ok {
			e = old[i]
			e.changed = e.changed || e.Member != m
			e.Member = m
		} else {
			added = append(added, m)
		}
		l.index[m.JID] = len(l.entries)
		l.entries = append(l.entries, e)
	}
	for i := range old {
		if _, ok := l.index[old[i].JID]; !ok {
			removed = append(removed, old[i].Member)
		}
	}
	if len(added)+len(removed) > 0 {
		l.full = true // a partial list cannot take anybody away (RFC 4662 §5.3)
	}
	return added, removed
}

// Has tells whether somebody is on the list.
func (l *List) Has(jid xmpp.JID) bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	_, ok := l.index[jid.Bare()]
	return ok
}

// Add puts one member on the list, at its end, and Remove takes one away.
func (l *List) Add(m Member) { l.Set(append(l.members(), m)) }

// Remove takes a member away; the next document has to tell all.
func (l *List) Remove(jid xmpp.JID) {
	l.Set(slices.DeleteFunc(l.members(), func(m Member) bool { return m.JID == jid.Bare() }))
}

func (l *List) members() []Member {
	l.mu.Lock()
	defer l.mu.Unlock()
	list := make([]Member, len(l.entries))
	for i := range l.entries {
		list[i] = l.entries[i].Member
	}
	return list
}

// Update takes what the pair of a member tells the list's dialog; false when the member
// is not on the list.
func (l *List) Update(jid xmpp.JID, n Notification) bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	i, ok := l.index[jid.Bare()]
	if !ok {
		return false
	}
	e := &l.entries[i]
	e.changed = true
	e.State, e.Reason, e.Document, e.Resources, e.OnThePhone = n.State, n.Reason, n.Document, n.Resources, n.OnThePhone
	return true
}

// Changed tells whether there is anything to tell.
func (l *List) Changed() bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.full || slices.ContainsFunc(l.entries, func(e listEntry) bool { return e.changed })
}

// Next is what the watcher is told next: all entries, when that is asked for (in the
// first notification, after a refresh or a restart) or necessary, else those that have
// changed. What is terminated is told once and is an entry without a state from then on.
func (l *List) Next(all bool) (entries []Entry, full bool) {
	l.mu.Lock()
	defer l.mu.Unlock()
	full = all || l.full
	l.full = false
	for i := range l.entries {
		e := &l.entries[i]
		if !full && !e.changed {
			continue
		}
		e.changed = false
		entries = append(entries, e.Entry)
		if e.State == DialogTerminated {
			e.Entry = Entry{Member: e.Member}
		}
		e.Resources = slices.Clone(e.Resources).Told()
	}
	return entries, full
}
