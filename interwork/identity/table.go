package identity

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"sort"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/rs/zerolog"

	"github.com/stoxgate/stoxgate/interwork/store"
	"github.com/stoxgate/stoxgate/sip"
	"github.com/stoxgate/stoxgate/xmpp"
)

// Config of a Table.
type Config struct {
	Store     *store.Store  // nil: the table lives in memory only
	Numbers   Numbers       // how numbers of identities are read
	Component string        // the gateway's own XMPP domain: no identity's JID may be in it; "": not checked
	Poll      time.Duration // how often Run looks for changes by other processes; default 1 s
	Log       zerolog.Logger
}

// Table is the identity table. All methods are safe for concurrent use; look-ups take no
// lock.
type Table struct {
	cfg Config
	cur atomic.Pointer[snapshot]
	mu  sync.Mutex // held by an edit from its checks to its end
}

// New reads the table from the store.
func New(ctx context.Context, cfg Config) (*Table, error) {
	if err := cfg.Numbers.check(); err != nil {
		return nil, err
	}
	if cfg.Poll <= 0 {
		cfg.Poll = time.Second
	}
	t := &Table{cfg: cfg}
	t.cur.Store(emptySnapshot())
	if cfg.Store == nil {
		return t, nil
	}
	t.mu.Lock()
	defer t.mu.Unlock()
	if err := t.reload(ctx); err != nil {
		return nil, err
	}
	return t, nil
}

// Run takes over what other processes change, until ctx ends; then it returns nil. A
// database that fails is logged and asked again.
func (t *Table) Run(ctx context.Context) error {
	if t.cfg.Store == nil {
		<-ctx.Done()
		return nil
	}
	tick := time.NewTicker(t.cfg.Poll)
	defer tick.Stop()
	failing := false
	for {
		select {
		case <-ctx.Done():
			return nil
		case <-tick.C:
		}
		err := t.Refresh(ctx)
		if err != nil && !failing && ctx.Err() == nil {
			t.cfg.Log.Warn().Err(err).Msg("identities cannot be refreshed")
		}
		failing = err != nil
	}
}

// Refresh takes over at once what other processes changed.
func (t *Table) Refresh(ctx context.Context) error {
	if t.cfg.Store == nil {
		return nil
	}
	v, err := t.cfg.Store.IdentitiesVersion(ctx)
	if err != nil {
		return err
	}
	if v == t.cur.Load().version {
		return nil
	}
	t.mu.Lock()
	defer t.mu.Unlock()
	return t.reload(ctx)
}

// reload reads what was changed since the current snapshot; mu is held.
func (t *Table) reload(ctx context.Context) error {
	cur := t.cur.Load()
	// The counter first: rows read after it are at least as new.
	version, err := t.cfg.Store.IdentitiesVersion(ctx)
	if err != nil {
		return err
	}
	if version < cur.version { // another database under the same name
		cur = emptySnapshot()
	}
	e := cur.edit()
	var fresh []*Identity
	err = t.cfg.Store.Identities(ctx, cur.version, func(r store.IdentityRow) error {
		version = max(version, r.Version)
		e.remove(r.ID)
		if r.Removed {
			return nil
		}
		id, err := fromRow(r)
		if err != nil {
			t.cfg.Log.Error().Err(err).Str("identity", r.ID).Msg("identity in the database is left out")
			return nil
		}
		fresh = append(fresh, id)
		return nil
	})
	if err != nil {
		return err
	}
	// All have given up their addresses before any takes one: they may have traded.
	for _, id := range fresh {
		if err := e.conflict(id); err != nil {
			t.cfg.Log.Error().Err(err).Str("identity", id.ID).Msg("identity in the database is left out")
			continue
		}
		e.add(id)
	}
	t.cur.Store(e.done(version))
	return nil
}

// change writes identities, which are in normal form, and removes others; mu is held.
func (t *Table) change(ctx context.Context, put []*Identity, remove []string) error {
	cur := t.cur.Load()
	e := cur.edit()
	for _, id := range remove {
		e.remove(id)
	}
	for _, id := range put {
		e.remove(id.ID)
	}
	for _, id := range put {
		if err := e.conflict(id); err != nil {
			return err
		}
		e.add(id)
	}
	version := cur.version + 1
	if t.cfg.Store != nil {
		rows := make([]store.IdentityRow, len(put))
		for i, id := range put {
			rows[i] = toRow(id)
		}
		var err error
		version, err = t.cfg.Store.ChangeIdentities(ctx, rows, remove)
		var conflict *store.ConflictError
		if errors.As(err, &conflict) { // with one that another process has just added
			return errors.Join(&TakenError{Address: conflict.Key, Owner: conflict.Owner}, t.reload(ctx))
		}
		if err != nil {
			return fmt.Errorf("identity: %w", err)
		}
		if version != cur.version+1 {
			return t.reload(ctx)
		}
	}
	t.cur.Store(e.done(version))
	return nil
}

// Add adds an identity; without an id it gets one made from its addresses. A password is
// turned into credentials for every login (see Credential); it replaces those given.
// Errors wrap ErrInvalid, ErrExists or ErrTaken.
func (t *Table) Add(ctx context.Context, id Identity, password string) (*Identity, error) {
	t.mu.Lock()
	defer t.mu.Unlock()
	cur := t.cur.Load()
	if id.ID == "" {
		id.ID = newID(&id, func(s string) bool { return cur.byID(s) != nil })
	} else if cur.byID(id.ID) != nil {
		return nil, fmt.Errorf("%w: %s", ErrExists, id.ID)
	}
	if err := t.prepare(&id, password); err != nil {
		return nil, err
	}
	if err := t.change(ctx, []*Identity{&id}, nil); err != nil {
		return nil, err
	}
	return &id, nil
}

// Update replaces an identity. Without a password and with nil Credentials it keeps those
// it has, as far as they fit its addresses. Errors wrap ErrUnknown, ErrInvalid or ErrTaken.
func (t *Table) Update(ctx context.Context, id Identity, password string) (*Identity, error) {
	t.mu.Lock()
	defer t.mu.Unlock()
	old := t.cur.Load().byID(id.ID)
	if old == nil {
		return nil, fmt.Errorf("%w: %s", ErrUnknown, id.ID)
	}
	if id.Credentials == nil {
		id.Credentials = old.Credentials
	}
	if err := t.prepare(&id, password); err != nil {
		return nil, err
	}
	if err := t.change(ctx, []*Identity{&id}, nil); err != nil {
		return nil, err
	}
	return &id, nil
}

// Remove removes an identity; ErrUnknown when there is none.
func (t *Table) Remove(ctx context.Context, id string) error {
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.cur.Load().byID(id) == nil {
		return fmt.Errorf("%w: %s", ErrUnknown, id)
	}
	return t.change(ctx, nil, []string{id})
}

func (t *Table) prepare(id *Identity, password string) error {
	if err := id.normalise(t.cfg.Numbers, t.cfg.Component); err != nil {
		return err
	}
	return id.setPassword(password)
}

// newID makes an id that a person recognises and that is not taken.
func newID(id *Identity, taken func(string) bool) string {
	candidate := func(s string) string {
		s = strings.Map(func(r rune) rune {
			if r < 0x80 && checkID(string(r)) == nil {
				return r
			}
			return '-'
		}, strings.ToLower(s))
		return strings.Trim(s[:min(len(s), 64)], "-")
	}
	name := ""
	switch {
	case len(id.AORs) > 0:
		user, _ := sip.UnescapeUser(id.AORs[0].User)
		name = candidate(user)
	case !id.JID.IsZero():
		name = candidate(id.JID.Local())
	case len(id.Numbers) > 0:
		name = candidate(id.Numbers[0])
	}
	if name == "" {
		name = strings.ToLower(rand.Text()[:10])
	}
	for n := 1; ; n++ {
		if s := name; n == 1 && !taken(s) {
			return s
		} else if s = fmt.Sprintf("%s-%d", name, n); n > 1 && !taken(s) {
			return s
		}
	}
}

// Len is how many identities there are.
func (t *Table) Len() int { return t.cur.Load().count }

// Get returns the identity with that id.
func (t *Table) Get(id string) (*Identity, bool) {
	x := t.cur.Load().byID(id)
	return x, x != nil
}

// ByJID returns the identity of a JID; the resource does not count.
func (t *Table) ByJID(j xmpp.JID) (*Identity, bool) {
	x := t.cur.Load().byJID(jidKeyOf(j))
	return x, x != nil
}

// ByAOR returns the identity that has a SIP address; parameters and case of the user do
// not count.
func (t *Table) ByAOR(u sip.URI) (*Identity, bool) {
	x := t.cur.Load().byAOR(keyOf(u))
	return x, x != nil
}

// ByNumber returns the identity that has a number in E.164 form.
func (t *Table) ByNumber(e164 string) (*Identity, bool) {
	x := t.cur.Load().byNumber(e164)
	return x, x != nil
}

// ByUser returns the identity that logs in with a digest user name in a realm: the user
// of one of its addresses, or its id, in the realm that is the host of one of them.
func (t *Table) ByUser(user, realm string) (*Identity, bool) {
	id, _ := t.login(user, realm)
	return id, id != nil
}

// HA1 returns H(user:realm:password) in hexadecimal for "MD5" or "SHA-256".
func (t *Table) HA1(user, realm, algorithm string) (string, bool) {
	_, c := t.login(user, realm)
	if c == nil {
		return "", false
	}
	return c.HA1(algorithm)
}

func loginKey(user, realm string) aorKey {
	return keyOf(sip.URI{Scheme: "sip", User: sip.EscapeUser(user), Host: realm})
}

func (t *Table) login(user, realm string) (*Identity, *Credential) {
	cur := t.cur.Load()
	for _, id := range [...]*Identity{cur.byAOR(loginKey(user, realm)), cur.byID(user)} {
		if id == nil {
			continue
		}
		if c := id.credential(user, realm); c != nil {
			return id, c
		}
	}
	return nil, nil
}

// List returns at most limit identities in the order of their ids, those after an id, and
// of those the ones that hold search in an id, address or name (case does not count; ""
// matches all). next is "" on the last page, else the after of the next.
func (t *Table) List(search, after string, limit int) (page []*Identity, next string) {
	all := t.cur.Load().byIDOrder()
	search = strings.ToLower(search)
	i := sort.Search(len(all), func(i int) bool { return all[i].ID > after })
	for ; i < len(all); i++ {
		if search != "" && !all[i].matches(search) {
			continue
		}
		if len(page) == limit {
			if limit > 0 {
				next = page[limit-1].ID
			}
			return page, next
		}
		page = append(page, all[i])
	}
	return page, ""
}

func (id *Identity) matches(lower string) bool {
	has := func(s string) bool { return strings.Contains(strings.ToLower(s), lower) }
	if has(id.ID) || has(id.Name) || has(id.JID.String()) {
		return true
	}
	for _, a := range id.AORs {
		if has(a.String()) {
			return true
		}
	}
	for _, n := range id.Numbers {
		if has(n) {
			return true
		}
	}
	return false
}
