package interwork

import (
	"github.com/stoxgate/stoxgate/interwork/cause"
	"github.com/stoxgate/stoxgate/interwork/journal"
	"github.com/stoxgate/stoxgate/interwork/presence"
	"github.com/stoxgate/stoxgate/sip"
	"github.com/stoxgate/stoxgate/sip/event"
	"github.com/stoxgate/stoxgate/sip/pidf"
	"github.com/stoxgate/stoxgate/xmpp"
)

// This file is the subscriber's half of events: XMPP users watch SIP users.

// watchRef is the owner's part of a subscription of ours. All but its fixed fields
// belong to the calls of event.WatchOwner, which come in order.
type watchRef struct {
	key      pairKey
	id, flow string
	poll     bool
	answered bool         // the pair knows the answer to the SUBSCRIBE
	over     bool         // the pair knows that it has ended
	watch    *event.Watch // under events.mu; nil until the subscriber has given it
}

// WatchChanged implements event.WatchOwner. The pair decides itself when to try again,
// so a Watch that would wait for another attempt is ended.
func (e *events) WatchChanged(w *event.Watch, st event.WatchStatus) {
	ref, ok := w.Data.(*watchRef)
	if !ok {
		return
	}
	switch st.State {
	case event.WatchPending, event.WatchActive:
		e.keepWatch(ref, w)
		e.answered(ref, nil)
	case event.WatchWaiting:
		e.lost(ref, st)
		e.dropWatch(ref.id)
		w.Unsubscribe()
	case event.WatchTerminated:
		e.lost(ref, st)
		e.dropWatch(ref.id)
		e.forget(kindWatch, ref.id)
	}
}

func (e *events) answered(ref *watchRef, c *cause.Cause) {
	if ref.answered {
		return
	}
	ref.answered = true
	e.g.pairs.post(ref.key, presence.SubscribeAnswered{Flow: ref.flow, ID: ref.id, Cause: c})
}

// lost tells the pair that a subscription is over, unless a NOTIFY told it already or
// the pair ended it itself.
func (e *events) lost(ref *watchRef, st event.WatchStatus) {
	if ref.over || !e.follows(ref.id) {
		return
	}
	ref.over = true
	if ref.answered {
		e.g.pairs.post(ref.key, presence.SubscriptionLost{Flow: ref.flow, ID: ref.id})
		return
	}
	c := cause.Timeout(st.Err)
	switch {
	case st.Code != 0:
		c = cause.FromStatus(sip.Status{Code: st.Code, RetryAfter: st.RetryAfter})
	case st.Err != nil:
		c = requestFailure(st.Err)
	}
	e.answered(ref, c)
}

// Notified implements event.WatchOwner.
func (e *events) Notified(w *event.Watch, n event.Notified) {
	ref, ok := w.Data.(*watchRef)
	if !ok || !e.follows(ref.id) {
		return
	}
	e.answered(ref, nil)
	out := presence.Notified{
		Flow: e.g.flows.next('p'), ID: ref.id, Fork: n.Dialog, Reason: n.Reason, RetryAfter: n.RetryAfter, Lang: n.Language,
		Others: len(n.Live) > 0,
	}
	switch n.State {
	case sip.SubscriptionActive:
		out.State = presence.DialogActive
	case sip.SubscriptionTerminated:
		out.State = presence.DialogTerminated
		ref.over = !out.Others
	default:
		out.State = presence.DialogPending
	}
	if len(n.Body) > 0 {
		err := pidf.ErrUnsupported
		if sip.MediaTypeIs(n.ContentType, pidf.ContentType) {
			out.Document, err = pidf.Parse(n.Body)
		}
		if err != nil {
			out.Document, out.Unreadable = nil, true
			e.g.log.Info().Err(err).Str("flow", out.Flow).Str("aor", ref.key.aor).Msg("presence document not understood, the last one stands")
		}
	}
	e.g.note(out.Flow, ref.key.aor, journal.Gateway, "NOTIFY "+string(n.State))
	e.g.pairs.post(ref.key, out)
}

// route implements event.SubscriberConfig.Route.
func (e *events) route(_, to sip.URI) (event.Hop, error) {
	hops, c := e.g.router.hops(to, xmpp.JID{})
	if c != nil {
		return event.Hop{}, c.Status()
	}
	return event.Hop{RequestURI: hops[0].ruri, Target: hops[0].target}, nil
}

// begin starts a subscription. It is in the table before anything is sent: a NOTIFY may be
// faster than the answer to the SUBSCRIBE (RFC 6665 §4.1.2.4), and faster than Subscribe
// returns.
func (e *events) begin(ref *watchRef, o event.WatchOptions) error {
	o.Owner, o.Data = e, ref
	e.addWatch(ref)
	w, err := e.subscribe(o)
	e.mu.Lock()
	defer e.mu.Unlock()
	if err != nil {
		delete(e.watches, ref.id)
		return err
	}
	ref.watch = w
	return nil
}

func (e *events) addWatch(ref *watchRef) {
	e.mu.Lock()
	e.watches[ref.id] = ref
	e.mu.Unlock()
}

// follows tells whether a pair still listens to a subscription.
func (e *events) follows(id string) bool {
	e.mu.Lock()
	defer e.mu.Unlock()
	return e.watches[id] != nil
}

// watchOf is a subscription by its id, for the pair that began it; nil when it is over.
func (e *events) watchOf(id string) *event.Watch {
	e.mu.Lock()
	defer e.mu.Unlock()
	if ref := e.watches[id]; ref != nil {
		return ref.watch
	}
	return nil
}

// dropWatch forgets a subscription and gives it to the pair that began it.
func (e *events) dropWatch(id string) *event.Watch {
	e.mu.Lock()
	ref := e.watches[id]
	var w *event.Watch
	if ref != nil {
		w = ref.watch
		delete(e.watches, id)
	}
	e.mu.Unlock()
	if ref != nil {
		e.forget(kindWatch, id)
	}
	return w
}
