package registrar

import (
	"context"
	"errors"
	"fmt"
	"iter"
	"net/netip"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/rs/zerolog"
	"golang.org/x/sync/errgroup"

	"github.com/stoxgate/stoxgate/sip"
	"github.com/stoxgate/stoxgate/sip/ua"
)

// ErrConfig is wrapped by [New] for a configuration that cannot work.
var ErrConfig = errors.New("registrar: bad configuration")

// Bindings is the durable memory of the registrar. Put replaces the row with the
// same AOR and ID and returns when it is safe. Delete of what is not there is no
// error. All calls f for every row until f returns an error, and returns that.
type Bindings interface {
	Put(ctx context.Context, r Row) error
	Delete(ctx context.Context, aor, id string) error
	All(ctx context.Context, f func(Row) error) error
}

// Config of a [Registrar]. Domain and Allowed are needed.
type Config struct {
	// Domain tells whether AORs of a host (lower case) are registered here.
	Domain func(host string) bool
	// Allowed tells whether a digest user may change the bindings of an AOR. The
	// user has proved itself in the realm that is the AOR's host.
	Allowed func(aor sip.URI, authUser string) bool
	// Store keeps bindings over a restart; nil: memory only.
	Store Bindings

	MinExpires     time.Duration // less is refused with 423; 60 s when zero
	DefaultExpires time.Duration // when the phone asks for none; 3600 s when zero
	MaxExpires     time.Duration // more is shortened; 7200 s when zero
	MaxContacts    int           // per AOR, more is refused with 403; 10 when zero
	// FlowTimer is what outbound phones are told of keep-alives (RFC 5626 §6);
	// zero: nothing, so that they use the values of the RFC.
	FlowTimer time.Duration
	// StoreTimeout bounds one write, 5 s when zero.
	StoreTimeout time.Duration
	// Alive tells whether a flow can still be used (ua.UA.Alive). With it bindings of
	// a closed connection are no longer returned from that moment on, and are removed
	// within seconds even if nobody calls FlowClosed. Nil: assume so.
	Alive func(ua.Flow) bool
	Log   zerolog.Logger
}

// Registrar is the registrar and location service for phones. All methods may be
// called from any goroutine.
type Registrar struct {
	cfg    Config
	limits limits
	expiry *expiry
	flows  *flowIndex

	mu       sync.RWMutex
	aors     map[string]*record
	watchers []func(sip.URI, []Binding)
}

// record is one AOR with at least one binding, or on its way to have one.
type record struct {
	mu   sync.Mutex // over one change: rules, store, watchers
	gone bool       // no longer in the map
	list atomic.Pointer[[]Binding]
}

func (r *record) bindings() []Binding {
	if p := r.list.Load(); p != nil {
		return *p
	}
	return nil
}

// New makes a registrar and reads the store, so that it can be asked at once.
// Bindings that have ended while nobody looked are removed.
func New(ctx context.Context, cfg Config) (*Registrar, error) {
	if cfg.Domain == nil || cfg.Allowed == nil {
		return nil, fmt.Errorf("%w: Domain and Allowed are needed", ErrConfig)
	}
	set := func(d *time.Duration, v time.Duration) {
		if *d == 0 {
			*d = v
		}
	}
	set(&cfg.MinExpires, time.Minute)
	set(&cfg.DefaultExpires, time.Hour)
	set(&cfg.MaxExpires, 2*time.Hour)
	set(&cfg.StoreTimeout, 5*time.Second)
	if cfg.MaxContacts == 0 {
		cfg.MaxContacts = 10
	}
	if cfg.MinExpires > cfg.DefaultExpires || cfg.DefaultExpires > cfg.MaxExpires {
		return nil, fmt.Errorf("%w: expiry %v ≤ %v ≤ %v does not hold", ErrConfig, cfg.MinExpires, cfg.DefaultExpires, cfg.MaxExpires)
	}
	r := &Registrar{
		cfg: cfg, limits: limits{min: cfg.MinExpires, max: cfg.MaxExpires, contacts: cfg.MaxContacts},
		expiry: newExpiry(), flows: newFlowIndex(), aors: map[string]*record{},
	}
	if err := r.load(ctx); err != nil {
		return nil, err
	}
	return r, nil
}

// Run ends bindings by time and with their connections until ctx ends; then it
// returns nil. Bindings stay in the store.
func (r *Registrar) Run(ctx context.Context) error {
	var wg sync.WaitGroup
	if r.cfg.Alive != nil {
		wg.Go(func() { r.sweep(ctx.Done()) })
	}
	r.expiry.run(ctx.Done(), r.ended)
	wg.Wait()
	return nil
}

// load fills the memory from the store.
func (r *Registrar) load(ctx context.Context) error {
	if r.cfg.Store == nil {
		return nil
	}
	now := time.Now()
	byAOR := map[string][]Binding{}
	var dead []Row
	err := r.cfg.Store.All(ctx, func(row Row) error {
		b, err := row.Binding()
		if err != nil { // must not keep the others away
			r.cfg.Log.Error().Err(err).Msg("stored binding is unreadable, removed")
		}
		if err != nil || b.Expired(now) {
			dead = append(dead, row)
			return nil
		}
		byAOR[b.AOR] = append(byAOR[b.AOR], b)
		return nil
	})
	if err != nil {
		return fmt.Errorf("registrar: read the store: %w", err)
	}
	for aor, list := range byAOR {
		sortBindings(list)
		rec := &record{}
		rec.list.Store(&list)
		r.aors[aor] = rec
		for i := range list {
			r.expiry.set(aor, list[i].ID, list[i].Expires)
		}
	}
	for _, b := range dead {
		if err := r.cfg.Store.Delete(ctx, b.AOR, b.ID); err != nil {
			r.cfg.Log.Warn().Err(err).Str("aor", b.AOR).Msg("ended binding stays in the store")
		}
	}
	r.cfg.Log.Info().Int("aors", len(byAOR)).Int("ended", len(dead)).Msg("registrations read")
	return nil
}

// Watch adds a function that is called after each change of an AOR with what is
// registered now (nil: nothing), in the order of the changes to that AOR. It is
// called under the AOR's lock: it must be quick and may call Lookup only. Add
// watchers before requests come in.
func (r *Registrar) Watch(f func(aor sip.URI, list []Binding)) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.watchers = append(r.watchers, f)
}

// Lookup returns the live bindings of an AOR in the order in which to try them:
// by q, then newest first. A GRUU (parameter gr) selects the bindings of that
// phone. The list is shared: do not change it.
func (r *Registrar) Lookup(aor sip.URI) []Binding {
	r.mu.RLock()
	rec := r.aors[aor.Key()]
	r.mu.RUnlock()
	if rec == nil {
		return nil
	}
	list := r.usable(rec.bindings(), time.Now())
	gr, ok := aor.Params.Get("gr")
	if !ok || gr == "" {
		return list
	}
	var one []Binding
	for _, b := range list {
		if strings.EqualFold(b.Instance, gr) {
			one = append(one, b)
		}
	}
	return one
}

// usable leaves out the bindings that have ended by time or by their connection;
// it is list itself when there are none of them.
func (r *Registrar) usable(list []Binding, now time.Time) []Binding {
	dead := func(b *Binding) bool {
		return b.Expired(now) || b.Connected && r.cfg.Alive != nil && !r.cfg.Alive(b.Flow)
	}
	for i := range list {
		if dead(&list[i]) {
			return slices.DeleteFunc(slices.Clone(list), func(b Binding) bool { return dead(&b) })
		}
	}
	return list
}

// All yields the live bindings of all AORs, in no order.
func (r *Registrar) All() iter.Seq[Binding] {
	return func(yield func(Binding) bool) {
		r.mu.RLock()
		records := make([]*record, 0, len(r.aors))
		for _, rec := range r.aors {
			records = append(records, rec)
		}
		r.mu.RUnlock()
		now := time.Now()
		for _, rec := range records {
			for _, b := range r.usable(rec.bindings(), now) {
				if !yield(b) {
					return
				}
			}
		}
	}
}

// Remove drops all bindings of an AOR, as when its identity is deleted.
func (r *Registrar) Remove(ctx context.Context, aor sip.URI) error {
	return r.change(ctx, aor.Key(), false, func([]Binding) ([]Binding, error) { return nil, nil })
}

// Handle answers one REGISTER.
func (r *Registrar) Handle(in *ua.Inbound) {
	s := r.register(in)
	if s == nil {
		return // the challenge was the answer
	}
	if err := in.Respond(*s); err != nil {
		r.cfg.Log.Debug().Err(err).Str("source", in.Source.String()).Msg("REGISTER could not be answered")
	}
}

func (r *Registrar) register(in *ua.Inbound) *sip.Status {
	aor, refused := parseAOR(in.Request, r.cfg.Domain)
	if refused != nil {
		return refused
	}
	in.Auth = ua.Identity{} // a trusted address is no excuse, see the package comment
	if !in.Authenticate(aor.Host) {
		return nil
	}
	if !r.cfg.Allowed(aor, in.Auth.User) {
		r.cfg.Log.Warn().Str("aor", aor.String()).Str("user", in.Auth.User).Str("source", in.Source.String()).
			Msg("user may not register this address")
		return refuse(403, "")
	}
	return r.accept(in.Request, aor, in.Transport, in.Source, in.Flow)
}

// accept is Handle behind authentication.
func (r *Registrar) accept(req *sip.Request, aor sip.URI, transport string, source netip.AddrPort, flow ua.Flow) *sip.Status {
	reg, refused := parseRegistration(req, aor, r.cfg.DefaultExpires, r.cfg.Domain)
	if refused != nil {
		return refused
	}
	reg.transport, reg.source, reg.flow = strings.ToLower(transport), source, flow
	return r.process(&reg)
}

func (r *Registrar) process(reg *registration) *sip.Status {
	if !reg.star && len(reg.contacts) == 0 { // a question (§10.2.3)
		s := reg.answer(r.Lookup(reg.aor), time.Now(), r.cfg.FlowTimer)
		return &s
	}
	var now time.Time
	var next []Binding
	ctx, cancel := context.WithTimeout(context.Background(), r.cfg.StoreTimeout)
	defer cancel()
	err := r.change(ctx, reg.aor.String(), false, func(current []Binding) ([]Binding, error) {
		now = time.Now()
		list, refused := reg.apply(r.usable(current, now), now, r.limits)
		if refused != nil {
			return nil, refused
		}
		next = list
		return list, nil
	})
	var refused *sip.Status
	switch {
	case errors.As(err, &refused):
		return refused
	case err != nil: // §10.3 step 7: the whole request fails with 500
		r.cfg.Log.Error().Err(err).Str("aor", reg.aor.String()).Msg("registration not stored")
		return refuse(500, "")
	}
	s := reg.answer(next, now, r.cfg.FlowTimer)
	return &s
}

// acquire returns the record of an AOR, locked.
func (r *Registrar) acquire(aor string) *record {
	for {
		r.mu.Lock()
		rec := r.aors[aor]
		if rec == nil {
			rec = &record{}
			r.aors[aor] = rec
		}
		r.mu.Unlock()
		rec.mu.Lock()
		if !rec.gone {
			return rec
		}
		rec.mu.Unlock()
	}
}

// errUnchanged is what a rule returns that has nothing to do.
var errUnchanged = errors.New("registrar: nothing to change")

// change replaces the bindings of an AOR by what rule makes of them, in memory
// and in the store, and tells the watchers. When rule returns an error or the
// store fails nothing changes; with force the store may fail.
func (r *Registrar) change(ctx context.Context, aor string, force bool, rule func(current []Binding) ([]Binding, error)) error {
	rec := r.acquire(aor)
	defer rec.mu.Unlock()
	defer func() {
		if len(rec.bindings()) == 0 {
			rec.gone = true
			r.mu.Lock()
			delete(r.aors, aor)
			r.mu.Unlock()
		}
	}()
	current := rec.bindings()
	next, err := rule(current)
	if err != nil || len(current) == 0 && len(next) == 0 {
		return err
	}
	if err := r.store(ctx, current, next); err != nil && !force {
		return err
	} else if err != nil {
		r.cfg.Log.Error().Err(err).Str("aor", aor).Msg("binding not removed from the store")
	}
	rec.list.Store(&next)
	r.flows.replace(aor, current, next)
	kept := map[string]bool{}
	for i := range next {
		kept[next[i].ID] = true
		r.expiry.set(aor, next[i].ID, next[i].Expires)
	}
	for i := range current {
		if !kept[current[i].ID] {
			r.expiry.clear(aor, current[i].ID)
		}
	}
	r.tell(aor, next)
	return nil
}

func (r *Registrar) tell(aor string, list []Binding) {
	r.mu.RLock()
	watchers := r.watchers
	r.mu.RUnlock()
	if len(watchers) == 0 {
		return
	}
	u, err := sip.ParseURI(aor)
	if err != nil {
		return
	}
	for _, w := range watchers {
		w(u, list)
	}
}

// store writes the difference between two lists; when a write fails the earlier
// ones are taken back.
func (r *Registrar) store(ctx context.Context, current, next []Binding) error {
	if r.cfg.Store == nil {
		return nil
	}
	durable := func(list []Binding) map[string]Binding {
		m := make(map[string]Binding, len(list))
		for _, b := range list {
			if !b.Connected {
				m[b.ID] = b
			}
		}
		return m
	}
	was, is := durable(current), durable(next)
	var undo []func() error
	fail := func(err error) error {
		for _, f := range undo {
			err = errors.Join(err, f())
		}
		return err
	}
	for id, b := range is {
		old, known := was[id]
		if known && old.Updated.Equal(b.Updated) && old.CSeq == b.CSeq && old.CallID == b.CallID {
			continue
		}
		if err := r.cfg.Store.Put(ctx, b.Row()); err != nil {
			return fail(err)
		}
		undo = append(undo, func() error {
			if known {
				return r.cfg.Store.Put(ctx, old.Row())
			}
			return r.cfg.Store.Delete(ctx, b.AOR, b.ID)
		})
	}
	for id, b := range was {
		if _, stays := is[id]; stays {
			continue
		}
		if err := r.cfg.Store.Delete(ctx, b.AOR, b.ID); err != nil {
			return fail(err)
		}
		undo = append(undo, func() error { return r.cfg.Store.Put(ctx, b.Row()) })
	}
	return nil
}

// ended removes what has expired from AORs. Each waits for the store, so many
// are done at once.
func (r *Registrar) ended(aors []string) {
	var g errgroup.Group
	g.SetLimit(64)
	for _, aor := range aors {
		g.Go(func() error {
			r.edit(aor, func(b *Binding) (keep, changed bool) {
				dead := b.Expired(time.Now())
				return !dead, dead
			})
			return nil
		})
	}
	_ = g.Wait()
}

// edit lets f change each binding of an AOR or end it. The memory counts: what
// the store does not take ends by its time at the next start.
func (r *Registrar) edit(aor string, f func(b *Binding) (keep, changed bool)) {
	ctx, cancel := context.WithTimeout(context.Background(), r.cfg.StoreTimeout)
	defer cancel()
	_ = r.change(ctx, aor, true, func(current []Binding) ([]Binding, error) {
		var next []Binding
		touched := false
		for _, b := range current {
			keep, changed := f(&b)
			touched = touched || changed
			if keep {
				next = append(next, b)
			}
		}
		if !touched {
			return nil, errUnchanged
		}
		return next, nil
	})
}
