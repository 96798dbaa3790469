package interwork

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"sync"
	"time"

	"github.com/stoxgate/stoxgate/interwork/call"
	"github.com/stoxgate/stoxgate/interwork/cause"
	"github.com/stoxgate/stoxgate/interwork/journal"
	"github.com/stoxgate/stoxgate/interwork/relay"
	"github.com/stoxgate/stoxgate/jingle"
	"github.com/stoxgate/stoxgate/mapping"
	"github.com/stoxgate/stoxgate/sip"
	"github.com/stoxgate/stoxgate/sip/dialog"
	"github.com/stoxgate/stoxgate/sip/ua"
	"github.com/stoxgate/stoxgate/xmpp"
	"github.com/stoxgate/stoxgate/xmpp/component"
)

// CallConfig is what calls need to know. The zero value carries calls with the defaults of
// the relay.
type CallConfig struct {
	Disabled bool         // carry messages and presence only
	Relay    relay.Config // media
	Settings call.Settings
	Max      int           // calls at a time, default 2000
	PerUser  int           // calls at a time of one XMPP user, and from one SIP address that is not trusted; default 8
	Answer   time.Duration // how long a client may take to answer a Jingle stanza, default 20 s
	Keep     time.Duration // how long accounts of calls are kept in the store, default 30 days; negative: none are
	KeepMost int           // how many of them, default 1,000,000
	Services xmpp.JID      // XMPP server that is asked for STUN and TURN servers (XEP-0215); zero: none is
}

// Defaults of CallConfig.
const (
	defaultMaxCalls = 2000
	defaultPerUser  = 8
	defaultAnswer   = 20 * time.Second
	// callInbox bounds what one call lets in from the wire at a time, and callTombstone is
	// how long the id of an ended session stays taken.
	callInbox     = 64
	callTombstone = 32 * time.Second
	// callLeave is how long the last messages of a call have at shutdown.
	callLeave = 2 * time.Second
	// callRest is how long dialogs have that no call waits for any more.
	callRest = 200 * time.Millisecond
)

// calls ties the two wires and the relay to the actors of calls: it finds the call that
// something belongs to, and makes new ones.
type calls struct {
	g        *Gateway
	cfg      CallConfig
	relay    *relay.Relay
	layer    *dialog.Layer
	settings call.Settings
	devices  *devices
	requests *requests
	metrics  *callMetrics
	linked   chan struct{} // capacity 1: the XMPP link is up
	callers  sync.Map      // *sip.Request → caller: who sent an INVITE
	wg       sync.WaitGroup

	mu     sync.Mutex
	bySID  map[sessionKey]*actor
	byLeg  map[*dialog.Leg]*sipLeg
	all    map[*actor]struct{}
	byUser map[string]map[*actor]struct{} // by bare JID, and by AOR
	owed   []owed                         // last words that the link had no room for
	closed bool
}

// owed is a stanza that ends something at a client, and must reach it when the link
// stands again.
type owed struct {
	stanza xmpp.Stanza
	at     time.Time
}

const (
	maxOwed  = 10_000
	owedLife = 2 * time.Minute // a client has given up by then
)

// sessionKey names a session: an id alone is no proof, for its peer gave it out, and may
// give the same one to two of our users.
type sessionKey struct {
	user, self xmpp.JID // bare
	sid        string
}

func (g *Gateway) buildCalls() error {
	cfg := g.cfg.Calls
	if cfg.Disabled {
		return nil
	}
	if cfg.Max == 0 {
		cfg.Max = defaultMaxCalls
	}
	if cfg.PerUser == 0 {
		cfg.PerUser = defaultPerUser
	}
	if cfg.Answer == 0 {
		cfg.Answer = defaultAnswer
	}
	if cfg.Keep == 0 {
		cfg.Keep = defaultKeep
	}
	if cfg.KeepMost == 0 {
		cfg.KeepMost = defaultKeepMost
	}
	c := &calls{
		g: g, cfg: cfg, settings: cfg.Settings.WithDefaults(), requests: newRequests(), metrics: newCallMetrics(g.cfg.Metrics), linked: make(chan struct{}, 1),
		bySID: make(map[sessionKey]*actor), byLeg: make(map[*dialog.Leg]*sipLeg), all: make(map[*actor]struct{}),
		byUser: make(map[string]map[*actor]struct{}),
	}
	c.devices = newDevices(c)
	timers := g.cfg.SIP.Timers
	c.layer = dialog.New(g.ua, dialog.Config{
		Incoming: c.incoming, T1: timers.T1, T2: timers.T2, Log: g.log, Redirect: c.redirect,
		Ring: c.settings.Deadlines.Ring + c.settings.Deadlines.Reach + 10*time.Second,
	})
	for _, m := range dialog.Methods() {
		g.ua.Handle(m, c.layer.Handle)
	}
	g.ua.Handle(sip.INVITE, c.invite)
	g.ua.Handle(sip.NOTIFY, func(in *ua.Inbound) { // of a REFER, or of a subscription
		if !c.layer.Take(in) {
			g.events.subscriber.Handle(in)
		}
	})
	g.calls = c
	return nil
}

// open opens the relay's sockets.
func (c *calls) open() (err error) {
	if c == nil {
		return nil
	}
	cfg := c.cfg.Relay
	cfg.Log = c.g.log
	if c.relay, err = relay.New(cfg); err != nil {
		return fmt.Errorf("interwork: %w", err)
	}
	if port := c.relay.ICEPort(); port != 0 {
		c.g.log.Info().Uint16("port", port).Msg("media of all clients")
	}
	return nil
}

// admit makes a call, unless there are too many or the gateway is going down. source is the
// SIP address whose calls are counted, "" for none: a hotline may be called by many, and a
// trusted peer may show one number for all its users.
func (c *calls) admit(dir call.Direction, self, user xmpp.JID, uri sip.URI, sid, source string) (*actor, *cause.Cause) {
	if c.g.draining.Load() {
		return nil, cause.Overloaded(nil)
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	names := [2]string{user.Bare().String(), source}
	switch {
	case c.closed || len(c.all) >= c.cfg.Max:
		return nil, cause.Overloaded(errors.New("interwork: too many calls"))
	case len(c.byUser[names[0]]) >= c.cfg.PerUser || source != "" && len(c.byUser[source]) >= c.cfg.PerUser:
		return nil, cause.Overloaded(errors.New("interwork: too many calls of one user"))
	}
	a := &actor{g: c.g, calls: c, dir: dir, flow: c.g.flows.next('c'), self: self, asked: self, user: user.Bare(), uri: uri, names: names, sid: sid, started: time.Now()}
	a.log = c.g.log.With().Str("flow", a.flow).Str("direction", string(dir)).Stringer("jid", a.user).Str("aor", uri.Key()).Logger()
	a.box = newMailbox(callInbox, &c.wg, c.g.crew.run, func(in call.Input) { a.call.Handle(in) })
	a.call = call.New(a, &c.settings, dir, self, user)
	c.all[a] = struct{}{}
	for _, n := range names {
		if n == "" {
			continue
		}
		if c.byUser[n] == nil {
			c.byUser[n] = make(map[*actor]struct{}, 1)
		}
		c.byUser[n][a] = struct{}{}
	}
	if sid != "" {
		a.addSession(sid)
	}
	c.g.metrics.underWay.Add(1)
	c.metrics.current.Inc()
	return a, nil
}

// forget drops an actor; its sessions stay known for a while, so that what comes late is
// answered by what it was.
func (c *calls) forget(a *actor) {
	c.mu.Lock()
	if _, ok := c.all[a]; !ok {
		c.mu.Unlock()
		return
	}
	delete(c.all, a)
	for _, n := range a.names {
		if delete(c.byUser[n], a); len(c.byUser[n]) == 0 {
			delete(c.byUser, n)
		}
	}
	closed := c.closed
	c.mu.Unlock()
	c.g.metrics.underWay.Add(-1)
	c.metrics.current.Dec()
	if closed {
		c.bury(a)
		return
	}
	time.AfterFunc(callTombstone, func() { c.bury(a) })
}

func (c *calls) bury(a *actor) {
	c.mu.Lock()
	defer c.mu.Unlock()
	for _, k := range a.keys {
		if c.bySID[k] == a {
			delete(c.bySID, k)
		}
	}
}

// find finds the call of a stanza from user to self.
func (c *calls) find(user, self xmpp.JID, sid string) *actor {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.bySID[sessionKey{user.Bare(), self.Bare(), sid}]
}

// crossing tells whether a call the other way waits to be taken.
func (c *calls) crossing(dir call.Direction, user xmpp.JID, uri sip.URI) bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	for a := range c.byUser[user.Bare().String()] {
		if a.dir == dir && a.uri.Key() == uri.Key() && a.waiting.Load() {
			return true
		}
	}
	return false
}

// message takes a message that has to do with calls; false: it has not.
func (g *Gateway) callMessage(m *xmpp.Message) bool {
	c := g.calls
	if c == nil {
		return false
	}
	if kind, sid, ok := jingle.Bounced(m); ok {
		if a := c.find(m.From, m.To, sid); a != nil {
			a.note(a.user.String(), journal.Gateway, journal.XMPP, string(kind)+" bounced", nil)
			e := m.Error
			if e == nil {
				e = xmpp.NewStanzaError(xmpp.ConditionUndefinedCondition, "")
			}
			a.post(call.MessageBounced{From: m.From, Kind: kind, Error: e})
		}
		return true
	}
	if m.IsError() {
		return false
	}
	if kind, sid, ok := jingle.Received(m); ok {
		if a := c.find(m.From, m.To, sid); a != nil && kind == jingle.KindPropose {
			a.offer(call.ReceiptReceived{From: m.From})
		}
		return true
	}
	jm, ok, err := jingle.FromMessage(m)
	if !ok {
		return false
	}
	if err != nil {
		g.log.Debug().Err(err).Stringer("from", m.From).Msg("jingle message unusable")
		return true
	}
	a := c.find(m.From, m.To, jm.ID)
	if a == nil && jm.Kind == jingle.KindPropose {
		a = c.proposed(m, jm)
	}
	if a == nil {
		return true
	}
	a.note(a.user.String(), journal.Gateway, journal.XMPP, "message "+string(jm.Kind), rawStanza(m))
	receipt := ""
	if jingle.Receipt(m) != nil {
		receipt = m.ID
	}
	if !a.offer(call.MessageReceived{From: m.From, Message: jm, ReceiptFor: receipt}) && jm.Kind == jingle.KindPropose {
		c.forget(a)
	}
	return true
}

// proposed begins a call of hers, or rejects it.
func (c *calls) proposed(m *xmpp.Message, jm *jingle.Message) *actor {
	g := c.g
	reject := func(r jingle.Reason, tie bool) *actor {
		c.metrics.count(call.XMPPToSIP, "refused")
		g.send((&jingle.Message{Kind: jingle.KindReject, ID: jm.ID, Reason: &r, TieBreak: tie}).Wrap(m.To, m.From))
		return nil
	}
	uri, refused := c.mayCall(m.From, m.To)
	if refused != nil {
		return reject(mapping.StatusToReason(refused.Status(), false), false)
	}
	if c.crossing(call.SIPToXMPP, m.From, uri) {
		return reject(jingle.Reason{Condition: jingle.ReasonExpired}, true)
	}
	a, refused := c.admit(call.XMPPToSIP, c.fullJID(m.To, uri), m.From, uri, jm.ID, "")
	if refused != nil {
		return reject(jingle.Reason{Condition: jingle.ReasonBusy, Text: refused.StanzaError().Text}, false)
	}
	a.asked = m.To // that he answers from one of his devices does not mean that only that one rings
	return a
}

// mayCall finds the SIP address that she calls, unless she may not.
func (c *calls) mayCall(from, to xmpp.JID) (sip.URI, *cause.Cause) {
	uri, err := c.g.addresses.ToSIP(to)
	if err != nil {
		return sip.URI{}, cause.FromSender(err, mapping.ErrorContext{Call: true})
	}
	if id, ok := c.g.table.ByJID(from); ok && !id.Policy.CallOut {
		return sip.URI{}, cause.FromStanza(*xmpp.NewStanzaError(xmpp.ConditionForbidden, "You may not call SIP users"), mapping.ErrorContext{Call: true})
	}
	uri.Params = uri.Params.Clone()
	uri.Params.Del("gr") // the device is chosen by the resource
	return uri, nil
}

// fullJID is the full JID that he speaks from: the one she called, or that of his first
// phone, which is also what her roster shows.
func (c *calls) fullJID(to xmpp.JID, uri sip.URI) xmpp.JID {
	if to.Resource() != "" {
		return to
	}
	resource := mapping.DeviceResource(sip.NameAddr{URI: sip.URI{Scheme: "sip", Host: uri.Host}})
	for _, h := range c.g.Hops(uri) {
		if h.resource != "" {
			resource = h.resource
			break
		}
	}
	full, err := to.WithResource(resource)
	if err != nil {
		return to
	}
	return full
}

// callIQ takes a Jingle IQ set; false: it is none.
func (g *Gateway) callIQ(iq *xmpp.IQ) bool {
	c := g.calls
	if c == nil || iq.Type != xmpp.IQSet || !jingle.Is(iq.Payload) {
		return false
	}
	j, err := jingle.ParseIQ(iq)
	if err != nil {
		var e *xmpp.StanzaError
		if !errors.As(err, &e) {
			e = xmpp.NewStanzaError(xmpp.ConditionBadRequest, "")
		}
		g.send(iq.ErrorReply(*e))
		return true
	}
	a := c.find(iq.From, iq.To, j.SID)
	if a == nil && j.Action == jingle.ActionSessionInitiate {
		uri, refused := c.mayCall(iq.From, iq.To)
		if refused == nil && c.crossing(call.SIPToXMPP, iq.From, uri) {
			g.send(iq.ErrorReply(*jingle.TieBreak()))
			return true
		}
		if refused == nil {
			a, refused = c.admit(call.XMPPToSIP, iq.To, iq.From, uri, j.SID, "")
		}
		if refused != nil {
			c.metrics.count(call.XMPPToSIP, "refused")
			g.send(iq.ErrorReply(refused.StanzaError()))
			return true
		}
	}
	if a == nil {
		g.send(iq.ErrorReply(*jingle.UnknownSession()))
		return true
	}
	a.note(a.user.String(), journal.Gateway, journal.XMPP, string(j.Action), rawStanza(iq))
	if !a.offer(call.StanzaReceived{IQ: iq, Jingle: j}) {
		g.send(iq.ErrorReply(cause.Overloaded(nil).StanzaError()))
	}
	return true
}

// callAnswered takes the answer to a Jingle IQ of ours.
func (g *Gateway) callAnswered(iq *xmpp.IQ) {
	if g.calls != nil {
		g.calls.requests.answered(iq)
	}
}

// presence lets the calls know who is there.
func (c *calls) presence(p *xmpp.Presence) {
	if c != nil {
		c.devices.presence(p)
	}
}

// linkDown ends what can only be ended by an answer that will not come; calls that stand
// go on, for their media do.
func (c *calls) linkDown() {
	if c == nil {
		return
	}
	c.requests.failAll(noLink())
}

// last sends a stanza that must not get lost with the link.
func (c *calls) last(s xmpp.Stanza) error {
	err := c.g.xmpp.Send(s, nil)
	if errors.Is(err, component.ErrLinkDown) {
		c.mu.Lock()
		defer c.mu.Unlock()
		if len(c.owed) < maxOwed {
			c.owed = append(c.owed, owed{s, time.Now()})
		}
	}
	return err
}

// linkUp says the last words that were owed.
func (c *calls) linkUp() {
	if c == nil {
		return
	}
	select {
	case c.linked <- struct{}{}:
	default:
	}
	c.mu.Lock()
	list := c.owed
	c.owed = nil
	c.mu.Unlock()
	for _, o := range list {
		if time.Since(o.at) < owedLife {
			c.g.send(o.stanza)
		}
	}
}

// end ends the calls that have not ended by themselves, on both sides and with a reason, and
// waits a moment for the last messages to go. Dialogs that are left then are given up.
func (c *calls) end() {
	if c == nil {
		return
	}
	c.mu.Lock()
	c.closed = true
	list := make([]*actor, 0, len(c.all))
	for a := range c.all {
		list = append(list, a)
	}
	c.mu.Unlock()
	for _, a := range list {
		a.post(call.Drop{Reason: jingle.Reason{Condition: jingle.ReasonGone, Text: "The gateway is being shut down"}})
	}
	ctx, cancel := context.WithTimeout(context.Background(), callLeave)
	defer cancel()
	tick := time.NewTicker(5 * time.Millisecond)
	defer tick.Stop()
	for c.count() > 0 && ctx.Err() == nil {
		<-tick.C
	}
	// Only now: closing a dialog gives no reason.
	rest, cancelRest := context.WithTimeout(context.Background(), callRest)
	defer cancelRest()
	if err := c.layer.Close(rest); err != nil {
		c.g.log.Warn().Err(err).Int("calls", c.count()).Msg("the SIP side did not answer the end of calls in time")
	}
	for c.count() > 0 && rest.Err() == nil {
		<-tick.C
	}
}

func (c *calls) count() int {
	if c == nil {
		return 0
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	return len(c.all)
}

// close waits for the actors.
func (c *calls) close() {
	if c == nil {
		return
	}
	c.mu.Lock()
	for a := range c.all {
		a.box.shut()
	}
	c.mu.Unlock()
	c.requests.close()
	c.wg.Wait()
	if c.relay != nil {
		if err := c.relay.Close(); err != nil {
			c.g.log.Warn().Err(err).Msg("relay shutdown")
		}
	}
	for a := range c.all {
		a.stopTimers()
	}
}

// host is the domain that our identifiers carry.
func (c *calls) host() string { return strings.ToLower(c.g.self.Domain()) }
