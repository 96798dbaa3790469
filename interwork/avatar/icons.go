package avatar

import (
	"container/list"
	"context"
	"errors"
	"sync"
	"time"

	"github.com/rs/zerolog"
)

// Defaults of both directions.
const (
	// DefaultMaxBytes is the greatest picture; in Base64 it fits into the smallest stanza
	// limit that servers have in practice (256 KiB).
	DefaultMaxBytes = 128 << 10
	// DefaultCacheBytes is what the pictures of one direction may take in memory.
	DefaultCacheBytes = 32 << 20
)

const (
	// maxIcons bounds the URIs that are known; the one that nobody was shown longest goes.
	maxIcons = 65536
	// fresh is how long a picture is taken for the same without asking, and how long no
	// picture for none.
	fresh = time.Hour
	// retry is the pause after a first failure that says nothing about the picture; it
	// doubles with each up to retryMost, which is also the pause after a final one.
	retry     = 5 * time.Minute
	retryMost = 6 * time.Hour
)

// Icons are the pictures of SIP users. Its methods may be called from any goroutine and
// do not wait.
type Icons struct {
	cfg      IconsConfig
	allowed  func(uri string) (host string, err error)
	get      func(ctx context.Context, uri string, v validators) (fetched, error)
	ctx      context.Context
	cancel   context.CancelFunc
	fetching sync.WaitGroup

	mu      sync.Mutex
	closed  bool
	icons   map[string]*icon
	order   list.List // of *icon, the one that was shown last in front
	held    list.List // of those whose picture is in memory, the same
	bytes   int       // of the pictures in memory
	waiting map[string]*icon
	pace    pace
	queue   queue
}

// IconsConfig says what Icons may do.
type IconsConfig struct {
	// Hosts may have any address and be asked by http, with a port only at that port.
	Hosts      []string
	MaxBytes   int      // of one picture; DefaultMaxBytes when 0
	CacheBytes int      // DefaultCacheBytes when 0
	Resolver   Resolver // net.DefaultResolver when nil
	// Changed is called, on a goroutine of Icons, when a picture that contact was shown
	// with is another one now, or became known.
	Changed func(contact, uri string)
	// Count counts fetches for the metrics; may be nil.
	Count func(result string)
	Log   zerolog.Logger
}

// icon is one URI.
type icon struct {
	uri, host string
	state     iconState
	owner     string    // for whose sake it is fetched, while waiting
	at        time.Time // when, while waiting
	timer     *time.Timer

	known    bool
	hash     string   // "" for none
	picture  *Picture // nil: none, or not in memory any more
	wanted   bool     // somebody asked for a picture that was not in memory
	v        validators
	next     time.Time // not asked for before
	failures int
	contacts map[string]struct{} // who were shown it since it changed

	inOrder, inHeld *list.Element
}

type iconState uint8

const (
	iconIdle    iconState = iota
	iconWaiting           // for its turn by the rates
	iconQueued            // for a slot
	iconFetching
)

// NewIcons makes an empty Icons; Close ends it.
func NewIcons(cfg IconsConfig) *Icons {
	if cfg.MaxBytes <= 0 {
		cfg.MaxBytes = DefaultMaxBytes
	}
	if cfg.CacheBytes <= 0 {
		cfg.CacheBytes = DefaultCacheBytes
	}
	if cfg.Resolver == nil {
		cfg.Resolver = defaultResolver
	}
	f := newFetcher(cfg.Hosts, cfg.MaxBytes, cfg.Resolver)
	x := &Icons{
		cfg: cfg, get: f.fetch, icons: make(map[string]*icon), waiting: make(map[string]*icon),
		allowed: func(uri string) (string, error) {
			u, err := f.check(uri)
			if err != nil {
				return "", err
			}
			return u.Hostname(), nil
		},
	}
	x.ctx, x.cancel = context.WithCancel(context.Background())
	return x
}

// Close ends what is under way and waits for it.
func (x *Icons) Close() {
	x.mu.Lock()
	x.closed = true
	for _, i := range x.icons {
		if i.timer != nil {
			i.timer.Stop()
		}
	}
	x.mu.Unlock()
	x.cancel()
	x.fetching.Wait()
}

// Show gives the hash of the picture that contact is to be shown with now, "" for none.
// known is false while that is not known; Changed tells when it is. uri is what his
// document says, "" when it says nothing.
func (x *Icons) Show(contact, uri string) (hash string, known bool) {
	if uri == "" {
		return "", true
	}
	x.mu.Lock()
	defer x.mu.Unlock()
	i := x.find(uri)
	if i == nil {
		return "", false
	}
	x.touch(i)
	i.contacts[contact] = struct{}{}
	if !time.Now().Before(i.next) {
		x.schedule(i, contact)
	}
	return i.hash, i.known
}

// Picture is the one at a URI that contact was shown with, nil when there is none at
// hand. One that is not in memory any more is fetched again, and Changed tells of it.
func (x *Icons) Picture(contact, uri string) *Picture {
	x.mu.Lock()
	defer x.mu.Unlock()
	i := x.icons[uri]
	if i == nil || i.hash == "" {
		return nil
	}
	if i.picture == nil {
		i.wanted = true
		i.contacts[contact] = struct{}{}
		if i.failures == 0 || !time.Now().Before(i.next) {
			x.schedule(i, contact)
		}
		return nil
	}
	x.touch(i)
	return i.picture
}

// find finds or makes the entry of a URI; nil when there is no room for it.
func (x *Icons) find(uri string) *icon {
	if i := x.icons[uri]; i != nil {
		return i
	}
	if x.closed || len(x.icons) >= maxIcons && !x.dropOldest() {
		return nil
	}
	i := &icon{uri: uri, contacts: make(map[string]struct{})}
	if p, ok := dataURI(uri, x.cfg.MaxBytes); ok {
		i.known, i.next = true, time.Now().Add(1<<62) // for ever
		if p != nil {
			i.hash = p.Hash
			x.hold(i, p)
		}
	} else if host, err := x.allowed(uri); err != nil {
		i.known, i.next = true, time.Now().Add(retryMost)
		x.cfg.Log.Debug().Err(err).Str("icon", shown(uri)).Msg("picture not fetched")
		x.count("refused")
	} else {
		i.host = host
	}
	x.icons[uri] = i
	i.inOrder = x.order.PushFront(i)
	return i
}

// dropOldest makes room for one; false when all that is old is under way.
func (x *Icons) dropOldest() bool {
	e := x.order.Back()
	for range 16 {
		if e == nil {
			return false
		}
		if i := e.Value.(*icon); i.state == iconIdle {
			x.drop(i)
			return true
		}
		e = e.Prev()
	}
	return false
}

func (x *Icons) drop(i *icon) {
	x.release(i)
	x.order.Remove(i.inOrder)
	delete(x.icons, i.uri)
}

func (x *Icons) touch(i *icon) {
	x.order.MoveToFront(i.inOrder)
	if i.inHeld != nil {
		x.held.MoveToFront(i.inHeld)
	}
}

// hold keeps a picture in memory, and lets those go that were shown longest ago.
func (x *Icons) hold(i *icon, p *Picture) {
	x.release(i)
	i.picture, i.inHeld = p, x.held.PushFront(i)
	x.bytes += len(p.Data)
	for x.bytes > x.cfg.CacheBytes && x.held.Len() > 1 {
		x.release(x.held.Back().Value.(*icon))
	}
}

func (x *Icons) release(i *icon) {
	if i.inHeld == nil {
		return
	}
	x.held.Remove(i.inHeld)
	x.bytes -= len(i.picture.Data)
	i.picture, i.inHeld = nil, nil
}

func (x *Icons) count(result string) {
	if x.cfg.Count != nil {
		x.cfg.Count(result)
	}
}

// fetch gets one picture and tells whom it concerns. It runs on a goroutine of its own.
func (x *Icons) fetch(i *icon, v validators) {
	got, err := x.get(x.ctx, i.uri, v)
	x.mu.Lock()
	contacts := x.settle(i, got, err)
	x.mu.Unlock()
	for c := range contacts {
		x.cfg.Changed(c, i.uri)
	}
}

// settle takes what a fetch brought and gives the contacts that are to be shown anew.
func (x *Icons) settle(i *icon, got fetched, err error) map[string]struct{} {
	i.state = iconIdle
	x.queue.done(i)
	defer x.pump()
	if x.closed {
		return nil
	}
	hash, known, wanted := i.hash, i.known, i.wanted
	wait, result := fresh, "fetched"
	switch {
	case err == nil && got.picture == nil:
		result = "unchanged"
		i.failures = 0
	case err == nil:
		i.failures, i.v, i.known, i.hash, i.wanted = 0, got.validators, true, got.picture.Hash, false
		x.hold(i, got.picture)
	case errors.Is(err, errGone), final(err):
		x.release(i)
		i.v, i.known, i.hash, i.wanted = validators{}, true, "", false
		if result = "gone"; final(err) {
			wait, result = retryMost, "refused"
		}
	default: // what was known stands
		wait, result = min(retry<<min(i.failures, 8), retryMost), "failed"
		i.failures++
	}
	i.next = time.Now().Add(wait)
	x.count(result)
	if e := x.cfg.Log.Debug(); err != nil {
		e.Err(err).Str("icon", shown(i.uri)).Msg("picture not fetched")
	} else {
		e.Str("icon", shown(i.uri)).Str("hash", i.hash).Msg("picture " + result)
	}
	if hash == i.hash && known == i.known && wanted == i.wanted {
		return nil
	}
	contacts := i.contacts // who is still shown it will be in it again
	i.contacts = make(map[string]struct{})
	return contacts
}
