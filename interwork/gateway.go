package interwork

import (
	"context"
	"errors"
	"fmt"
	"iter"
	"net/netip"
	"sync"
	"sync/atomic"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/rs/zerolog"
	"golang.org/x/sync/errgroup"

	"github.com/stoxgate/stoxgate/interwork/chat"
	"github.com/stoxgate/stoxgate/interwork/identity"
	"github.com/stoxgate/stoxgate/interwork/journal"
	"github.com/stoxgate/stoxgate/interwork/store"
	"github.com/stoxgate/stoxgate/sip/registrar"
	"github.com/stoxgate/stoxgate/sip/ua"
	"github.com/stoxgate/stoxgate/xmpp"
	"github.com/stoxgate/stoxgate/xmpp/component"
	"github.com/stoxgate/stoxgate/xmpp/disco"
)

// Config is everything a Gateway needs to know. XMPP.Domain is the component's domain.
type Config struct {
	XMPP component.Config
	SIP  ua.Config

	SIPDomains []string       // SIP domains that are ours; default: the component's domain
	Trunks     []Trunk        // named next hops
	Trusted    []netip.Prefix // peers that need no digest
	Registrar  bool           // phones may register here
	// Bounds and default of the time of a registration; zero: those of the registrar.
	RegisterMin, RegisterDefault, RegisterMax time.Duration

	KeepFor       time.Duration // how long messages wait for the XMPP link; default 24 h
	RefuseOffline bool          // refuse instead of keeping while the link is down
	MessageType   MessageType   // of stanzas made from SIP messages; default chat

	Region       string        // ISO country of numbers without "+"
	Emergency    bool          // let emergency numbers through
	ENUM         identity.ENUM // nil: no look-ups (RFC 6116)
	ENUMZone     string        // default e164.arpa
	Store        *store.Store
	Identities   *identity.Table // run by the caller
	Journal      *journal.Journal
	Metrics      prometheus.Registerer
	Log          zerolog.Logger
	Version      string
	Drain        time.Duration // how long Run waits for work under way at the end; default 10 s
	Calls        CallConfig
	Avatars      AvatarConfig
	SeedContacts bool // offer the phones here to XMPP users who add the gateway
	// ConfirmWatchers lets XMPP users who want to see a phone here wait until its owner, or
	// an operator, agrees; otherwise whoever asks is let in, as phones cannot be asked.
	ConfirmWatchers bool
	ContactList     string // user part of the URI of everybody's resource list (RFC 4662); "": none
	PublicMessages  bool   // accept messages of SIP users that are not ours from anywhere
}

// MessageType is the type of stanzas made from SIP messages (RFC 7572 §5).
type MessageType string

const (
	// MessageChat makes every SIP message a chat message: what all current clients show well.
	MessageChat MessageType = "chat"
	// MessageNormal is the letter of RFC 7572 §5.
	MessageNormal MessageType = "normal"
)

// Gateway is the translator: see the package comment for who owns what.
type Gateway struct {
	cfg          Config
	log          zerolog.Logger
	self         xmpp.JID
	xmpp         *component.Component
	ua           *ua.UA
	registrar    *registrar.Registrar
	trunks       []trunkState
	disco        *disco.Responder
	receipts     *receipts
	events       *events
	calls        *calls // nil: calls are not carried
	publications *publications
	posters      *posters
	gates        *gates
	seeder       *seeder
	callStates   callStates
	loads        taskQueue
	winfo        *winfo
	lists        *lists
	avatars      *avatars
	table        *identity.Table
	addresses    *identity.Addresses
	store        *store.Store
	journal      *journal.Journal
	router       *router
	pairs        *pairs
	deliverer    *deliverer
	caps         *capsCache
	chatSettings chat.Settings
	metrics      *metrics
	sendSlots    chan struct{} // bounds the SIP client transactions under way
	lightSeq     atomic.Uint64
	flows        flowIDs

	crew     *crew          // runs the actors
	work     sync.WaitGroup // what waits for the wire
	workCtx  context.Context
	stopWork context.CancelFunc
	draining atomic.Bool
	started  time.Time
	ready    atomic.Bool

	linkSince atomic.Int64 // Unix nanoseconds of the last change of the link
}

// maxTransactions bounds the SIP client transactions under way at a time.
const maxTransactions = 2048

// New makes a Gateway and reads what the store holds; nothing is opened before Run.
func New(ctx context.Context, cfg Config) (*Gateway, error) {
	if cfg.Store == nil || cfg.Identities == nil {
		return nil, errors.New("interwork: a store and an identity table are needed")
	}
	self, err := xmpp.ParseJID(cfg.XMPP.Domain)
	if err != nil || self.Local() != "" || self.Resource() != "" {
		return nil, fmt.Errorf("interwork: component domain %q: %w", cfg.XMPP.Domain, errors.Join(err, xmpp.ErrJIDMalformed))
	}
	if len(cfg.SIPDomains) == 0 {
		cfg.SIPDomains = []string{self.Domain()}
	}
	if cfg.KeepFor == 0 {
		cfg.KeepFor = 24 * time.Hour
	}
	if cfg.MessageType == "" {
		cfg.MessageType = MessageChat
	}
	if cfg.Drain == 0 {
		cfg.Drain = 10 * time.Second
	}
	if cfg.Journal == nil {
		cfg.Journal = journal.New(journal.Config{})
	}
	g := &Gateway{
		cfg: cfg, log: cfg.Log, self: self, table: cfg.Identities, store: cfg.Store, journal: cfg.Journal,
		sendSlots: make(chan struct{}, maxTransactions), started: time.Now(),
		chatSettings: chat.Settings{KeepFor: cfg.KeepFor, RefuseOffline: cfg.RefuseOffline, QueueLimit: 256},
		metrics:      newMetrics(cfg.Metrics),
		crew:         newCrew(),
	}
	g.linkSince.Store(g.started.UnixNano())
	g.lightSeq.Store(uint64(time.Now().UnixNano()))
	g.workCtx, g.stopWork = context.WithCancel(context.Background())
	if err := g.build(ctx); err != nil {
		g.stopWork()
		return nil, err
	}
	return g, nil
}

// Run serves until ctx ends, then drains: it stops taking new work, lets what is under
// way finish for at most Config.Drain, and closes everything that it opened.
func (g *Gateway) Run(ctx context.Context) error {
	if err := g.calls.open(); err != nil {
		g.shutdown()
		return err
	}
	if err := g.calls.interrupted(ctx); err != nil {
		g.shutdown()
		return err
	}
	// Before anybody can reach us: a request in a dialog that is not known yet would get
	// 481, and end it.
	if err := g.events.restore(ctx); err != nil {
		g.shutdown()
		return err
	}
	if err := g.ua.Start(ctx); err != nil {
		g.shutdown()
		return fmt.Errorf("interwork: sip: %w", err)
	}
	if err := g.buildTrunks(ctx); err != nil {
		g.shutdown()
		return err
	}
	if err := g.restore(ctx); err != nil {
		g.shutdown()
		return fmt.Errorf("interwork: outbox: %w", err)
	}
	background, stop := context.WithCancel(context.Background())
	group, gctx := errgroup.WithContext(background)
	g.ready.Store(true) // before the link: whoever sees that up may use all the rest
	group.Go(func() error { return g.xmpp.Run(gctx) })
	group.Go(func() error { g.pairs.sweep(gctx); return nil })
	group.Go(func() error { return g.calls.services(gctx) })
	group.Go(func() error { return g.calls.prune(gctx) })
	group.Go(func() error { return g.registrar.Run(gctx) })
	group.Go(func() error { return g.events.notifier.Run(gctx) })
	group.Go(func() error { return g.publications.server.Run(gctx) })
	group.Go(func() error { return g.posters.publisher.Run(gctx) })
	group.Go(func() error { return g.events.subscriber.Run(gctx) })
	for _, c := range g.trunks {
		group.Go(func() error { return c.Run(gctx) })
	}
	g.log.Info().Str("component", g.self.String()).Strs("sip_domains", g.cfg.SIPDomains).Msg("gateway up")

	select {
	case <-ctx.Done():
	case <-gctx.Done(): // something ended by itself
	}
	g.ready.Store(false)
	g.drain()
	g.calls.end()
	g.gates.down() // the link writes what it has before it closes
	stop()
	err := group.Wait()
	g.shutdown()
	if errors.Is(err, context.Canceled) {
		err = nil
	}
	return err
}

// drain waits until no pair has anything under way that could still end.
func (g *Gateway) drain() {
	g.draining.Store(true)
	deadline := time.NewTimer(g.cfg.Drain)
	defer deadline.Stop()
	tick := time.NewTicker(20 * time.Millisecond)
	defer tick.Stop()
	for g.metrics.underWay.Load() > 0 {
		select {
		case <-deadline.C:
			calls := int64(g.calls.count())
			if rest := g.metrics.underWay.Load() - calls; rest > 0 {
				g.log.Warn().Int64("messages", rest).Msg("not delivered in time, the outbox keeps them")
			}
			if calls > 0 {
				g.log.Info().Int64("calls", calls).Msg("calls that are still up are ended")
			}
			return
		case <-tick.C:
		}
	}
}

func (g *Gateway) shutdown() {
	ctx, cancel := context.WithTimeout(context.Background(), g.cfg.Drain)
	defer cancel()
	g.stopWork()
	if err := g.ua.Shutdown(ctx); err != nil {
		g.log.Warn().Err(err).Msg("sip shutdown")
	}
	g.loads.close()
	g.avatars.close()
	g.work.Wait()
	g.calls.close()
	g.pairs.close()
	g.crew.close()
}

// restore puts what the outbox holds back into the pairs.
func (g *Gateway) restore(ctx context.Context) error {
	var after int64
	n := 0
	for {
		entries, err := g.store.Pending(ctx, after, 512)
		if err != nil {
			return err
		}
		if len(entries) == 0 {
			break
		}
		for _, e := range entries {
			after = e.Seq
			if err := g.restoreEntry(e); err != nil {
				// It cannot be read, now or ever; it must not stop the others.
				g.log.Error().Err(err).Int64("seq", e.Seq).Str("flow", e.Flow).Msg("outbox entry is unreadable, dropped")
				g.store.Remove(e.Seq)
				continue
			}
			n++
		}
	}
	if n > 0 {
		g.log.Info().Int("messages", n).Msg("resuming what the outbox holds")
	}
	return nil
}

func (g *Gateway) restoreEntry(e store.OutboxEntry) error {
	s, err := xmpp.ReadStanza(e.Payload)
	if err != nil {
		return err
	}
	m, ok := s.(*xmpp.Message)
	if !ok {
		return fmt.Errorf("interwork: a %T in the outbox", s)
	}
	key, err := parsePairKey(e.Pair)
	if err != nil {
		return err
	}
	switch chat.Direction(e.Direction) {
	case chat.XMPPToSIP:
		g.pairs.post(key, chat.OutboundFound{Flow: e.Flow, Seq: e.Seq, Taken: e.Created, Message: m})
	case chat.SIPToXMPP:
		g.pairs.post(key, chat.InboundFound{Flow: e.Flow, Seq: e.Seq, Message: m, Expires: e.Expires})
	default:
		return fmt.Errorf("interwork: direction %q in the outbox", e.Direction)
	}
	return nil
}

// StatusOf the gateway for the console and the health checks.
type StatusOf struct {
	Link       bool
	LinkSince  time.Time // of Link
	LinkError  string    // why the link is down
	Ready      bool
	Started    time.Time
	Pairs      int64
	UnderWay   int64
	Trunks     []TrunkStatus
	Version    string
	Component  string
	SIPDomains []string
}

// TrunkStatus is how one trunk does.
type TrunkStatus struct {
	Name   string
	URI    string
	State  string // up, down, registered, refused, unknown
	Detail string
	Since  time.Time
}

// Status says how the gateway does.
func (g *Gateway) Status() StatusOf {
	st := StatusOf{
		Link: g.xmpp.Up(), Ready: g.ready.Load(), Started: g.started, Pairs: g.pairs.count.Load(),
		UnderWay: g.metrics.underWay.Load(), Version: g.cfg.Version, Component: g.self.String(), SIPDomains: g.cfg.SIPDomains,
	}
	st.LinkSince = time.Unix(0, g.linkSince.Load())
	if !st.Link {
		if err := g.xmpp.LastError(); err != nil {
			st.LinkError = err.Error()
		}
	}
	if st.Ready { // before that they are being made
		for _, c := range g.trunks {
			st.Trunks = append(st.Trunks, c.status())
		}
	}
	return st
}

// Registrations yields the registered contacts of all phones.
func (g *Gateway) Registrations() iter.Seq[registrar.Binding] { return g.registrar.All() }

// SIPAddr is host:port on which a transport is served; "" before Run and for a
// transport without a listener.
func (g *Gateway) SIPAddr(transport string) string {
	if !g.ready.Load() {
		return ""
	}
	if a := g.ua.Addr(transport); a.IsValid() {
		return a.String()
	}
	return ""
}
