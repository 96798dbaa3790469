package interworktest

import (
	"fmt"
	"slices"
	"sync"
)

// Ledger follows messages under load, by a key that the test puts into each:
// every one that was sent must arrive, or come back to its sender as an error.
// It is safe for concurrent use; the zero value is empty.
type Ledger struct {
	mu      sync.Mutex
	entries map[string]*ledgerEntry
}

type ledgerEntry struct {
	sent, arrived, refused int
	ids                    []string // of the copies that arrived
}

// LedgerReport is what became of all messages.
type LedgerReport struct {
	Sent        int
	Arrived     int      // at least once
	Refused     int      // came back as an error and never arrived
	Both        int      // arrived, and came back as an error as well
	Repeated    int      // further copies of what had arrived
	Different   int      // further copies that can't be recognised as such
	Unsolicited int      // arrived without having been sent
	Lost        []string // neither arrived nor came back
}

func (r LedgerReport) String() string {
	return fmt.Sprintf("sent %d: arrived %d, refused %d, both %d, lost %d; repeated %d (unrecognisable %d), unsolicited %d",
		r.Sent, r.Arrived, r.Refused, r.Both, len(r.Lost), r.Repeated, r.Different, r.Unsolicited)
}

// Sent notes that a message was handed over for delivery.
func (l *Ledger) Sent(key string) { l.note(key, func(e *ledgerEntry) { e.sent++ }) }

// Arrived notes that a copy came to its recipient, under this identifier (a
// stanza id, or Call-ID and CSeq): copies of one message are recognisable when
// their identifiers are equal.
func (l *Ledger) Arrived(key, id string) {
	l.note(key, func(e *ledgerEntry) {
		e.arrived++
		e.ids = append(e.ids, id)
	})
}

// Refused notes that its sender was told that it failed.
func (l *Ledger) Refused(key string) { l.note(key, func(e *ledgerEntry) { e.refused++ }) }

// Again returns a ledger of what was sent alone, to be filled anew from what
// peers have seen by now.
func (l *Ledger) Again() *Ledger {
	l.mu.Lock()
	defer l.mu.Unlock()
	again := &Ledger{entries: make(map[string]*ledgerEntry, len(l.entries))}
	for key, e := range l.entries {
		if e.sent > 0 {
			again.entries[key] = &ledgerEntry{sent: e.sent}
		}
	}
	return again
}

// WasRefused tells whether the sender of a message was told that it failed.
func (l *Ledger) WasRefused(key string) bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	e := l.entries[key]
	return e != nil && e.refused > 0
}

// Open tells how many messages have neither arrived nor come back.
func (l *Ledger) Open() int { return len(l.Report().Lost) }

// Report counts.
func (l *Ledger) Report() LedgerReport {
	l.mu.Lock()
	defer l.mu.Unlock()
	var r LedgerReport
	for key, e := range l.entries {
		if e.sent == 0 {
			r.Unsolicited++
			continue
		}
		r.Sent++
		switch {
		case e.arrived > 0 && e.refused > 0:
			r.Arrived++
			r.Both++
		case e.arrived > 0:
			r.Arrived++
		case e.refused > 0:
			r.Refused++
		default:
			r.Lost = append(r.Lost, key)
		}
		if e.arrived > 1 {
			r.Repeated += e.arrived - 1
			for _, id := range e.ids[1:] {
				if id != e.ids[0] {
					r.Different++
				}
			}
		}
	}
	slices.Sort(r.Lost)
	return r
}

func (l *Ledger) note(key string, change func(*ledgerEntry)) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.entries == nil {
		l.entries = map[string]*ledgerEntry{}
	}
	e := l.entries[key]
	if e == nil {
		e = &ledgerEntry{}
		l.entries[key] = e
	}
	change(e)
}
