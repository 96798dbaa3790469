package store

import (
	"encoding/binary"
	"math"
	"math/bits"
	"sort"
	"time"
)

// batch is a row of the outbox as it is kept in memory: not the entries, only which of
// them are still there.
type batch struct {
	first  int64
	span   int32 // entries appended
	live   int32 // entries not done; 0: the row can go
	stored int32 // entries in the row; falls when it is rewritten

	done    []uint64       // bit per entry; nil: none is done
	touched map[int32]note // by offset; nil mostly

	saved      bool      // has a row in outbox_state
	dirtySince time.Time // state differs from what is saved; zero: it does not
}

// note is what Touch changes.
type note struct {
	attempts  int
	notBefore int64 // Unix milliseconds
}

func (b *batch) isDone(offset int32) bool {
	return b.done != nil && b.done[offset/64]&(1<<(offset%64)) != 0
}

// finish marks an entry; false when it was done before.
func (b *batch) finish(offset int32) bool {
	if b.isDone(offset) {
		return false
	}
	if b.live--; b.live == 0 { // the row goes as a whole
		return true
	}
	if b.done == nil {
		b.done = make([]uint64, (b.span+63)/64)
	}
	b.done[offset/64] |= 1 << (offset % 64)
	delete(b.touched, offset)
	return true
}

// stateVersion is the first byte of a row in outbox_state.
const stateVersion = 1

// state encodes done and touched.
func (b *batch) state() []byte {
	words := int(b.span+63) / 64
	dst := append(make([]byte, 0, 1+8*words+8*len(b.touched)), stateVersion)
	for i := range words {
		var w uint64
		if b.done != nil {
			w = b.done[i]
		}
		dst = binary.LittleEndian.AppendUint64(dst, w)
	}
	for offset, n := range b.touched {
		dst = binary.AppendUvarint(dst, uint64(offset))
		dst = binary.AppendUvarint(dst, uint64(n.attempts))
		dst = binary.AppendVarint(dst, n.notBefore)
	}
	return dst
}

// restore reads what state wrote. The error wraps ErrCorrupt.
func (b *batch) restore(data []byte) error {
	words := int(b.span+63) / 64
	r := reader{data: data}
	if len(data) < 1+8*words || data[0] != stateVersion {
		r.fail("unknown form of outbox state")
		return r.err
	}
	r.data = data[1:]
	b.done = make([]uint64, words)
	b.live = b.span
	for i := range words {
		b.done[i] = binary.LittleEndian.Uint64(r.data[8*i:])
		b.live -= int32(bits.OnesCount64(b.done[i]))
	}
	r.data = r.data[8*words:]
	for len(r.data) > 0 && r.err == nil {
		offset := int32(r.uvarint(uint64(b.span) - 1))
		n := note{attempts: int(r.uvarint(math.MaxInt32)), notBefore: r.varint()}
		if r.err == nil && !b.isDone(offset) {
			b.touch(offset, n)
		}
	}
	if b.live < 0 {
		r.fail("more entries done than there are")
	}
	b.saved = true
	return r.err
}

func (b *batch) touch(offset int32, n note) {
	if b.touched == nil {
		b.touched = make(map[int32]note)
	}
	b.touched[offset] = n
}

// batchIndex finds batches by number. They come in order and leave in almost the same
// order, so it is a sorted slice with holes.
type batchIndex struct {
	list    []*batch // by first; a batch with live == 0 is a hole
	holes   int
	pending int // live entries

	emptied []*batch  // rows to delete
	dirty   []*batch  // rows whose state changed, oldest change first
	since   time.Time // when emptied got its first
}

// add puts a batch behind all others.
func (x *batchIndex) add(b *batch) {
	x.list = append(x.list, b)
	x.pending += int(b.live)
}

// find returns the batch that holds seq, or nil.
func (x *batchIndex) find(seq int64) *batch {
	i := sort.Search(len(x.list), func(i int) bool { return x.list[i].first > seq }) - 1
	if i < 0 || x.list[i].live == 0 || seq >= x.list[i].first+int64(x.list[i].span) {
		return nil
	}
	return x.list[i]
}

// remove marks seq done and notes what has to be written.
func (x *batchIndex) remove(seq int64, now time.Time) {
	b := x.find(seq)
	if b == nil || !b.finish(int32(seq-b.first)) {
		return
	}
	x.pending--
	if b.live > 0 {
		x.markDirty(b, now)
		return
	}
	x.drop(b, now)
	if x.holes++; x.holes > 64 && x.holes > len(x.list)/2 {
		kept := x.list[:0]
		for _, b := range x.list {
			if b.live > 0 {
				kept = append(kept, b)
			}
		}
		clear(x.list[len(kept):])
		x.list, x.holes = kept, 0
	}
}

// touch notes an attempt for seq.
func (x *batchIndex) touch(seq int64, n note, now time.Time) {
	b := x.find(seq)
	if b == nil || b.isDone(int32(seq-b.first)) {
		return
	}
	b.touch(int32(seq-b.first), n)
	x.markDirty(b, now)
}

// drop has the row of a batch deleted.
func (x *batchIndex) drop(b *batch, now time.Time) {
	b.dirtySince = time.Time{}
	if len(x.emptied) == 0 {
		x.since = now
	}
	x.emptied = append(x.emptied, b)
}

func (x *batchIndex) markDirty(b *batch, now time.Time) {
	if b.dirtySince.IsZero() {
		b.dirtySince = now
		x.dirty = append(x.dirty, b)
	}
}

// due tells when something lazy wants to be written; the zero time: never.
func (x *batchIndex) due() time.Time {
	for len(x.dirty) > 0 && x.dirty[0].dirtySince.IsZero() { // emptied since
		x.dirty[0] = nil
		x.dirty = x.dirty[1:]
	}
	var t time.Time
	if len(x.emptied) > 0 {
		t = x.since.Add(lazyFor)
	}
	if len(x.dirty) > 0 {
		t = earlier(t, x.dirty[0].dirtySince.Add(lazyFor))
	}
	return t
}
