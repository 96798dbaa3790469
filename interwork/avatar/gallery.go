package avatar

import (
	"container/list"
	"context"
	"errors"
	"fmt"
	"slices"
	"sync"
	"time"

	"github.com/rs/zerolog"

	"github.com/stoxgate/stoxgate/xmpp"
)

// Why a Gallery gives no picture.
var (
	// ErrUnknown: the hash is none that a SIP watcher holds now, or nobody has such a
	// picture any more.
	ErrUnknown = errors.New("avatar: no such picture")
	// ErrUnavailable: her server cannot be asked now, or too many pictures are asked for.
	ErrUnavailable = errors.New("avatar: picture not available now")
)

const (
	// lasting is how long a hash in a document is good without being in another one: a
	// dialog tells all again at least every hour.
	lasting = 24 * time.Hour
	// askTime bounds a question to a user's server, and waitTime how long a watcher waits.
	askTime  = 10 * time.Second
	waitTime = 20 * time.Second
	// asking is how many questions are under way, and askers how many watchers may wait.
	asking = 16
	askers = 256
	// unfound is how long a picture that was not found is not looked for again.
	unfound = time.Minute
	// maxOffers bounds the hashes that are good, and maxGrants the watchers that are known
	// to hold one: more get it all the same, as long as one of those may.
	maxOffers = 200_000
	maxGrants = 16
)

// Gallery serves the pictures of XMPP users to those whom a document told their hash. Its
// methods may be called from any goroutine; only Picture waits.
type Gallery struct {
	cfg    GalleryConfig
	slots  chan struct{} // questions under way
	ctx    context.Context
	cancel context.CancelFunc
	asks   sync.WaitGroup

	mu     sync.Mutex
	closed bool
	offers map[hashName]*offer
	users  map[xmpp.JID][]hashName // whose offers there are
	order  list.List               // of *offer, the one that was offered last in front
	held   list.List               // of those whose picture is in memory, the one served last in front
	bytes  int
	wait   int // watchers that wait
}

// GalleryConfig says what a Gallery may do.
type GalleryConfig struct {
	// Ask sends an IQ get and gives the payload of its result, or an error, which is a
	// *xmpp.StanzaError when that is the answer.
	Ask        func(ctx context.Context, from, to xmpp.JID, query *xmpp.Element) (*xmpp.Element, error)
	MaxBytes   int               // of one picture; DefaultMaxBytes when 0
	CacheBytes int               // DefaultCacheBytes when 0
	Count      func(what string) // for the metrics; may be nil
	Log        zerolog.Logger
}

// offer is one hash that is good.
type offer struct {
	name    hashName
	grants  []grant
	picture *Picture // nil: not in memory
	missing time.Time
	asked   *question // under way; nil: none

	inOrder, inHeld *list.Element
}

// grant is one watcher who was shown that a user has the picture.
type grant struct {
	user, watcher xmpp.JID // bare
	until         time.Time
}

// question is one look for a picture, for all who wait for it.
type question struct {
	done chan struct{}
	err  error // set before done is closed
	got  *Picture
}

// NewGallery makes an empty Gallery; Close ends it.
func NewGallery(cfg GalleryConfig) *Gallery {
	if cfg.MaxBytes <= 0 {
		cfg.MaxBytes = DefaultMaxBytes
	}
	if cfg.CacheBytes <= 0 {
		cfg.CacheBytes = DefaultCacheBytes
	}
	g := &Gallery{cfg: cfg, slots: make(chan struct{}, asking), offers: make(map[hashName]*offer), users: make(map[xmpp.JID][]hashName)}
	g.ctx, g.cancel = context.WithCancel(context.Background())
	return g
}

// Close ends what is under way and waits for it.
func (g *Gallery) Close() {
	g.mu.Lock()
	g.closed = true
	g.mu.Unlock()
	g.cancel()
	g.asks.Wait()
}

// Offer makes a hash good: a document for watcher, as XMPP sees him, tells it of user.
func (g *Gallery) Offer(hash string, user, watcher xmpp.JID) {
	name, ok := parseHash(hash)
	if !ok {
		return
	}
	now := time.Now()
	g.mu.Lock()
	defer g.mu.Unlock()
	o := g.offers[name]
	if o == nil {
		g.makeRoom(now)
		o = &offer{name: name}
		g.offers[name], o.inOrder = o, g.order.PushFront(o)
	}
	g.order.MoveToFront(o.inOrder)
	for i := range o.grants {
		if x := &o.grants[i]; x.user == user && x.watcher == watcher {
			x.until = now.Add(lasting)
			return
		}
	}
	if len(o.grants) == maxGrants {
		oldest := o.grants[0].user
		o.grants = slices.Delete(o.grants, 0, 1)
		g.unindex(o, oldest)
	}
	o.grants = append(o.grants, grant{user, watcher, now.Add(lasting)})
	if names := g.users[user]; !slices.Contains(names, name) {
		g.users[user] = append(names, name)
	}
}

// Revoke takes back what watcher was shown of user: he may not see her any more.
func (g *Gallery) Revoke(user, watcher xmpp.JID) {
	g.mu.Lock()
	defer g.mu.Unlock()
	for _, name := range slices.Clone(g.users[user]) {
		o := g.offers[name]
		o.grants = slices.DeleteFunc(o.grants, func(x grant) bool { return x.user == user && x.watcher == watcher })
		g.unindex(o, user)
		if len(o.grants) == 0 {
			g.drop(o)
		}
	}
}

// makeRoom drops what was offered so long ago that it is not good any more, and the
// oldest when there are too many.
func (g *Gallery) makeRoom(now time.Time) {
	for range 2 { // more than are added, so none is left at last
		e := g.order.Back()
		if e == nil {
			return
		}
		o := e.Value.(*offer)
		if len(g.offers) < maxOffers && slices.ContainsFunc(o.grants, func(x grant) bool { return now.Before(x.until) }) {
			return
		}
		g.drop(o)
	}
}

func (g *Gallery) drop(o *offer) {
	grants := o.grants
	o.grants = nil
	for i := range grants {
		g.unindex(o, grants[i].user)
	}
	g.release(o)
	g.order.Remove(o.inOrder)
	delete(g.offers, o.name)
}

// unindex takes an offer from the list of a user who is in none of its grants.
func (g *Gallery) unindex(o *offer, user xmpp.JID) {
	if slices.ContainsFunc(o.grants, func(x grant) bool { return x.user == user }) {
		return
	}
	if g.users[user] = slices.DeleteFunc(g.users[user], func(h hashName) bool { return h == o.name }); len(g.users[user]) == 0 {
		delete(g.users, user)
	}
}

func (g *Gallery) release(o *offer) {
	if o.inHeld == nil {
		return
	}
	g.held.Remove(o.inHeld)
	g.bytes -= len(o.picture.Data)
	o.picture, o.inHeld = nil, nil
}

// hold keeps a picture in memory, and lets those go that were served longest ago.
func (g *Gallery) hold(o *offer, p *Picture) {
	g.release(o)
	o.picture, o.inHeld = p, g.held.PushFront(o)
	g.bytes += len(p.Data)
	for g.bytes > g.cfg.CacheBytes && g.held.Len() > 1 {
		g.release(g.held.Back().Value.(*offer))
	}
}

func (g *Gallery) count(what string) {
	if g.cfg.Count != nil {
		g.cfg.Count(what)
	}
}

// Picture gives the picture with this hash; the error is ErrUnknown, ErrUnavailable or
// that of ctx. It waits for a user's server for at most 20 s.
func (g *Gallery) Picture(ctx context.Context, hash string) (*Picture, error) {
	p, q, err := g.look(hash, time.Now())
	if q == nil {
		return p, err
	}
	ctx, cancel := context.WithTimeout(ctx, waitTime)
	defer cancel()
	defer func() {
		g.mu.Lock()
		g.wait--
		g.mu.Unlock()
	}()
	select {
	case <-q.done:
		return q.got, q.err
	case <-ctx.Done():
		return nil, fmt.Errorf("%w: %w", ErrUnavailable, ctx.Err())
	}
}

// look gives a picture at hand, or a question to wait for.
func (g *Gallery) look(hash string, now time.Time) (*Picture, *question, error) {
	name, ok := parseHash(hash)
	if !ok {
		return nil, nil, ErrUnknown
	}
	g.mu.Lock()
	defer g.mu.Unlock()
	o := g.offers[name]
	if o == nil {
		return nil, nil, ErrUnknown
	}
	good := slices.DeleteFunc(slices.Clone(o.grants), func(x grant) bool { return !now.Before(x.until) })
	switch {
	case len(good) == 0:
		g.drop(o)
		return nil, nil, ErrUnknown
	case o.picture != nil:
		g.held.MoveToFront(o.inHeld)
		return o.picture, nil, nil
	case now.Before(o.missing):
		return nil, nil, ErrUnknown
	case g.wait >= askers || g.closed:
		return nil, nil, ErrUnavailable
	}
	g.wait++
	if o.asked == nil {
		q := &question{done: make(chan struct{})}
		o.asked = q
		g.asks.Go(func() { g.ask(o, q, good) })
	}
	return nil, o.asked, nil
}

// ask looks for a picture and tells those who wait. It runs on a goroutine of its own.
func (g *Gallery) ask(o *offer, q *question, grants []grant) {
	ctx, cancel := context.WithTimeout(g.ctx, waitTime)
	defer cancel()
	select {
	case g.slots <- struct{}{}:
		q.got, q.err = g.find(ctx, o.name, grants)
		<-g.slots
	case <-ctx.Done():
		q.err = fmt.Errorf("%w: %w", ErrUnavailable, ctx.Err())
	}
	g.mu.Lock()
	defer g.mu.Unlock()
	o.asked = nil
	switch {
	case q.err == nil && g.offers[o.name] == o:
		g.hold(o, q.got)
		g.count("found")
	case q.err == nil: // nobody may see it any more
		q.got, q.err = nil, ErrUnknown
	case errors.Is(q.err, ErrUnknown):
		o.missing = time.Now().Add(unfound)
		g.count("missing")
	default:
		g.count("unavailable")
	}
	close(q.done)
}

// find asks the users who are known to have the picture, the latest first, in the name of
// somebody who may see them: her vCard, and when that has another one, her PEP node
// (XEP-0153 §3.2, XEP-0084 §3.4).
func (g *Gallery) find(ctx context.Context, name hashName, grants []grant) (*Picture, error) {
	hash := name.String()
	result := ErrUnknown
	asked := map[xmpp.JID]bool{}
	for _, x := range slices.Backward(grants) {
		if asked[x.user] || len(asked) == maxUsers {
			continue
		}
		asked[x.user] = true
		for _, query := range []*xmpp.Element{vCardQuery(), dataQuery(hash)} {
			p, err := g.query(ctx, x, query, hash)
			if err == nil {
				return p, nil
			}
			g.cfg.Log.Debug().Err(err).Stringer("jid", x.user).Str("hash", hash).Msg("picture not found")
			var refusal *xmpp.StanzaError
			if final := errors.As(err, &refusal) && refusal.Type != xmpp.ErrorWait; !final && !errors.Is(err, ErrUnknown) {
				result = ErrUnavailable // she may have it all the same
			}
		}
	}
	return nil, result
}

// maxUsers bounds how many users are asked for one picture.
const maxUsers = 3

func (g *Gallery) query(ctx context.Context, x grant, query *xmpp.Element, hash string) (*Picture, error) {
	ctx, cancel := context.WithTimeout(ctx, askTime)
	defer cancel()
	answer, err := g.cfg.Ask(ctx, x.watcher, x.user, query)
	if err != nil {
		return nil, err
	}
	data, err := pictureBytes(answer, g.cfg.MaxBytes)
	if err != nil {
		return nil, fmt.Errorf("%w: %w", ErrUnknown, err)
	}
	p, err := inspect(data, g.cfg.MaxBytes)
	switch {
	case err != nil:
		return nil, fmt.Errorf("%w: %w", ErrUnknown, err)
	case p.Hash != hash:
		return nil, fmt.Errorf("%w: it has the hash %s", ErrUnknown, p.Hash)
	}
	return p, nil
}
