// Package journal remembers what went over both wires and draws it.
//
// Every stanza and every SIP message becomes one [Entry] in a bounded ring:
// who sent it to whom, when, and under which correlation id (the flow) it
// belongs to what else happened. From a list of entries the package draws a
// ladder as terminal text or SVG, and JSON rows ([Row]).
//
// No standard governs this package; the decisions that bind it are ours:
//
//   - Memory is bounded twice, by entries and by bytes. The oldest entries go
//     first, and what went is counted.
//   - [Journal.Add] is on the path of every message. It takes one lock, copies
//     one struct and never waits for a reader: a slow subscriber loses entries
//     and sees how many.
//   - The bytes of a message are rendered only when someone will see them. The
//     caller hands over a function, which is not called when raw capture is
//     off and no subscriber asked for raw.
//   - Credentials never enter the journal. Message bodies do only when raw
//     capture is on; otherwise a live reader gets the message with every body
//     blanked ([Redact]).
//   - What peers wrote is untrusted text: ladders carry no control characters,
//     no terminal escapes and no bidirectional overrides.
//
// The package is a leaf: it imports nothing else of this project.
package journal

import (
	"sync"
	"sync/atomic"
	"time"
)

// Gateway is the name of the lane that stands for this gateway in From and To.
const Gateway = "stoxgate"

// Values of [Entry.Protocol].
const (
	XMPP = "xmpp"
	SIP  = "sip"
)

// Bounds used where Config leaves zero.
const (
	DefaultEntries = 5000
	DefaultBytes   = 16 << 20
)

// entryOverhead is what an entry costs beside its strings: the struct itself
// (160 bytes on 64-bit machines) and the usual rounding of small allocations.
const entryOverhead = 192

// Entry is one message on a wire, or one remark when From and To name the same
// lane or one of them is empty.
type Entry struct {
	Seq      uint64    // number given by Add, rising by one; 0 before
	At       time.Time // when the message was read or written; Add fills a zero value
	Flow     string    // correlation id shared by everything that belongs together
	From, To string    // lanes: bare JID, SIP address or Gateway
	Protocol string    // XMPP or SIP
	Summary  string    // one line without bodies: "message chat", "MESSAGE sip:otto@voice.example", "200 OK"
	Note     string    // what the gateway has to say about it: "kept in the outbox"

	// Raw renders the message; it is for Add only, and nil in every entry that
	// comes out of a journal.
	Raw func() []byte
	// Message is the message without credentials, in entries that come out of a
	// journal; nil unless captured or asked for. Add ignores it.
	Message []byte
}

func (e *Entry) size() int {
	return entryOverhead + len(e.Flow) + len(e.From) + len(e.To) + len(e.Summary) + len(e.Note) + len(e.Message)
}

// Config bounds a Journal.
type Config struct {
	Entries int              // most entries kept, DefaultEntries when 0, none when negative
	Bytes   int              // most bytes kept, counting strings, raw and a fixed overhead; DefaultBytes when 0
	Raw     bool             // keep the bytes of every message, bodies included
	Now     func() time.Time // clock for entries without a time, time.Now when nil
}

// Stats counts what a Journal did since it was made.
type Stats struct {
	Entries int    `json:"entries"` // kept now
	Bytes   int    `json:"bytes"`   // kept now
	Added   uint64 `json:"added"`   // in all
	Evicted uint64 `json:"evicted"` // pushed out of the ring by newer entries
	Dropped uint64 `json:"dropped"` // not delivered to subscribers that were too slow
	Readers int    `json:"readers"` // subscriptions now
}

// Journal is a bounded memory of entries. It is safe for concurrent use.
type Journal struct {
	now      func() time.Time
	maxBytes int
	raw      atomic.Bool
	readers  atomic.Int32 // subscribers
	rawSubs  atomic.Int32 // those among them that want raw

	mu      sync.Mutex
	ring    ring
	bytes   int
	seq     uint64
	evicted uint64
	dropped uint64
	subs    []*Subscription
}

// New makes an empty journal.
func New(c Config) *Journal {
	if c.Entries == 0 {
		c.Entries = DefaultEntries
	}
	if c.Bytes <= 0 {
		c.Bytes = DefaultBytes
	}
	if c.Now == nil {
		c.Now = time.Now
	}
	j := &Journal{now: c.Now, maxBytes: c.Bytes, ring: ring{limit: max(c.Entries, 0)}}
	j.raw.Store(c.Raw)
	return j
}

// SetRaw switches the capture of message bytes on or off. Bytes that were
// captured before stay until they are pushed out.
func (j *Journal) SetRaw(on bool) { j.raw.Store(on) }

// Raw reports whether the bytes of messages are kept.
func (j *Journal) Raw() bool { return j.raw.Load() }

// Enabled reports whether an entry would reach anybody, so that callers can
// spare the work of making one.
func (j *Journal) Enabled() bool { return j.ring.limit > 0 || j.readers.Load() > 0 }

// Add appends e and hands it to the subscribers. It never blocks. e.Raw is
// called at most once, before Add returns, and only when capture is on or a
// subscriber asked for raw.
func (j *Journal) Add(e Entry) {
	if e.At.IsZero() {
		e.At = j.now()
	}
	render := e.Raw
	e.Raw, e.Message = nil, nil
	keep := j.raw.Load()
	if render != nil && (keep || j.rawSubs.Load() > 0) {
		e.Message = Redact(e.Protocol, render(), !keep)
	}

	j.mu.Lock()
	defer j.mu.Unlock()
	j.seq++
	e.Seq = j.seq
	for _, s := range j.subs {
		if !s.offer(&e) {
			j.dropped++
		}
	}
	if !keep {
		e.Message = nil
	}
	if j.ring.limit > 0 {
		j.push(&e)
	}
}

// push stores e and evicts until both bounds hold again. The newest entry
// always stays, whatever its size.
func (j *Journal) push(e *Entry) {
	if j.ring.full() {
		j.evict()
	}
	j.ring.push(e)
	j.bytes += e.size()
	for j.bytes > j.maxBytes && j.ring.count > 1 {
		j.evict()
	}
}

func (j *Journal) evict() {
	j.bytes -= j.ring.pop()
	j.evicted++
}

// Recent returns the last n entries, oldest first. n <= 0 means all.
func (j *Journal) Recent(n int) []Entry {
	j.mu.Lock()
	defer j.mu.Unlock()
	if n <= 0 || n > j.ring.count {
		n = j.ring.count
	}
	out := make([]Entry, n)
	for i := range out {
		out[i] = *j.ring.at(j.ring.count - n + i)
	}
	return out
}

// Since returns the entries with a Seq above seq, oldest first.
func (j *Journal) Since(seq uint64) []Entry {
	j.mu.Lock()
	defer j.mu.Unlock()
	return j.since(seq)
}

func (j *Journal) since(seq uint64) []Entry {
	if seq >= j.seq {
		return nil
	}
	n := int(min(j.seq-seq, uint64(j.ring.count)))
	out := make([]Entry, n)
	for i := range out {
		out[i] = *j.ring.at(j.ring.count - n + i)
	}
	return out
}

// Flow returns the kept entries of one flow, oldest first.
func (j *Journal) Flow(id string) []Entry {
	j.mu.Lock()
	defer j.mu.Unlock()
	var out []Entry
	for i := range j.ring.count {
		if e := j.ring.at(i); e.Flow == id {
			out = append(out, *e)
		}
	}
	return out
}

// Stats returns the present counts.
func (j *Journal) Stats() Stats {
	j.mu.Lock()
	defer j.mu.Unlock()
	return Stats{Entries: j.ring.count, Bytes: j.bytes, Added: j.seq, Evicted: j.evicted, Dropped: j.dropped, Readers: len(j.subs)}
}
