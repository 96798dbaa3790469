package disco

import (
	"container/list"
	"errors"
	"fmt"
	"strings"
	"sync"
)

// ErrTooLarge tells that an answer is too large to be kept for others.
var ErrTooLarge = errors.New("disco: answer too large to keep")

// maxKept bounds one entry of a Cache in bytes of its strings. Real clients have
// 2 to 4 kB; without a bound, forged but correctly hashed answers of the size of
// a stanza could fill the memory.
const maxKept = 32 << 10

// Cache keeps verified answers by hash function and verification string, so one
// disco#info query serves all clients of one make (XEP-0115 §8.2). It is
// bounded: the entry that was unused longest goes first. It is safe for
// concurrent use. The caller does not change an Info that it got out.
type Cache struct {
	mu      sync.Mutex
	max     int
	order   *list.List // of cacheEntry, most recently used first
	entries map[cacheKey]*list.Element
}

type cacheKey struct{ hash, ver string }

type cacheEntry struct {
	key  cacheKey
	info Info
}

// DefaultCacheSize is enough for every client make and version that a large
// site sees.
const DefaultCacheSize = 1024

// NewCache returns an empty cache of at most max entries; max < 1 means
// DefaultCacheSize.
func NewCache(max int) *Cache {
	if max < 1 {
		max = DefaultCacheSize
	}
	return &Cache{max: max, order: list.New(), entries: make(map[cacheKey]*list.Element)}
}

// Get returns the verified answer for the caps. The node plays no part: the
// hash alone is what was verified.
func (c *Cache) Get(caps Caps) (Info, bool) {
	c.mu.Lock()
	defer c.mu.Unlock()
	e, ok := c.entries[cacheKey{caps.Hash, caps.Ver}]
	if !ok {
		return Info{}, false
	}
	c.order.MoveToFront(e)
	return e.Value.(cacheEntry).info, true
}

// Put verifies an answer and keeps it. The error is that of Caps.Verify, or
// ErrTooLarge; the cache is unchanged then.
func (c *Cache) Put(caps Caps, info Info) error {
	if err := caps.Verify(info); err != nil {
		return err
	}
	if n := len(info.verificationInput()); n > maxKept {
		return fmt.Errorf("%w: %d bytes", ErrTooLarge, n)
	}
	info = info.clone()
	key := cacheKey{strings.Clone(caps.Hash), strings.Clone(caps.Ver)}
	c.mu.Lock()
	defer c.mu.Unlock()
	if e, ok := c.entries[key]; ok {
		c.order.MoveToFront(e)
		return nil
	}
	c.entries[key] = c.order.PushFront(cacheEntry{key, info})
	if c.order.Len() > c.max {
		last := c.order.Back()
		delete(c.entries, last.Value.(cacheEntry).key)
		c.order.Remove(last)
	}
	return nil
}

// Len returns the number of kept answers.
func (c *Cache) Len() int {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.order.Len()
}

// clone copies every string, since parsed ones may hold on to the whole stanza
// that they were cut from.
func (i Info) clone() Info {
	var out Info
	for _, id := range i.Identities {
		out.Identities = append(out.Identities, Identity{
			strings.Clone(id.Category), strings.Clone(id.Type), strings.Clone(id.Lang), strings.Clone(id.Name),
		})
	}
	out.Features = Features{vars: cloneAll(i.Features.vars)}
	for _, f := range i.Forms {
		form := Form{Type: strings.Clone(f.Type)}
		for _, field := range f.Fields {
			form.Fields = append(form.Fields, Field{strings.Clone(field.Var), strings.Clone(field.Type), cloneAll(field.Values)})
		}
		out.Forms = append(out.Forms, form)
	}
	return out
}

func cloneAll(list []string) []string {
	out := make([]string, len(list))
	for i, s := range list {
		out[i] = strings.Clone(s)
	}
	return out
}
