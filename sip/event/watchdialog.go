package event

import (
	"context"
	"slices"
	"time"

	"github.com/stoxgate/stoxgate/sip"
	"github.com/stoxgate/stoxgate/sip/ua"
)

// watchDialog is one dialog with a notifier.
type watchDialog struct {
	tag     string // the notifier's
	texts   texts  // textTarget, textRoutes
	flow    *ua.Flow
	hopKey  uint64
	state   sip.SubState
	busy    bool // a SUBSCRIBE is in the outbox or under way
	leaving bool // the next one is to have Expires 0
	said    bool // it was sent; the last NOTIFY is to come
	briefed bool
	asked   time.Duration // the longest that it may last
	expires time.Duration // these on the clock of the alarms
	refresh time.Duration
	silence time.Duration // timer N of a refresh, or never
	// remoteSeq is the CSeq of the last NOTIFY.
	remoteSeq uint32
}

// schedule sets the end of a dialog and its refresh.
func (w *Watch) schedule(d *watchDialog, left time.Duration) {
	now := w.s.alarms.now()
	d.expires = now + left
	d.refresh = now + max(refreshAfter(left, lot()), minRefresh)
}

// minRefresh keeps a notifier that grants seconds from being flooded.
const minRefresh = 5 * time.Second

// keep remembers how the notifier is reached.
func (d *watchDialog) keep(p peer) error {
	t, err := packTexts([textCount]string{textTarget: p.target.String(), textRoutes: routesText(p.routes)})
	if err != nil {
		return err
	}
	d.texts = t
	d.flow = nil
	if !p.flow.IsZero() {
		f := p.flow
		d.flow = &f
	}
	d.hopKey = p.hopOf()
	return nil
}

// retarget follows a target refresh; the route set stays.
func (d *watchDialog) retarget(p peer) {
	if d.texts.get(textRoutes) == "" && p.target.String() == d.texts.get(textTarget) && (d.flow == nil && p.flow.IsZero() || d.flow != nil && *d.flow == p.flow) {
		return
	}
	old, err := d.peer()
	if err != nil {
		return
	}
	old.target = p.target
	if len(old.routes) == 0 {
		old.flow = p.flow
	}
	_ = d.keep(old) // too long: the old one stays
}

func (d *watchDialog) peer() (p peer, err error) {
	if p.target, err = sip.ParseURI(d.texts.get(textTarget)); err != nil {
		return p, err
	}
	if p.routes, err = parseRoutes(d.texts.get(textRoutes)); err != nil {
		return p, err
	}
	if d.flow != nil {
		p.flow = *d.flow
	}
	return p, nil
}

// dialogJob is a SUBSCRIBE in a dialog: a refresh or an end.
type dialogJob struct {
	w *Watch
	d *watchDialog
}

func (j *dialogJob) hop() uint64 { return j.d.hopKey }

func (j *dialogJob) send(ctx context.Context) {
	w, d := j.w, j.d
	h, routeErr := w.route()
	w.mu.Lock()
	if !slices.Contains(w.dialogs, d) {
		w.mu.Unlock()
		return
	}
	if routeErr == nil {
		w.contact = h.Contact.String() // our address may be another one by now
	}
	leaving, ask, heard := d.leaving, w.ask, d.remoteSeq
	if leaving {
		ask = 0
	}
	w.seq++
	p, err := d.peer()
	var req *sip.Request
	if err == nil {
		req, err = w.request(p.target, d, w.seq, ask)
	}
	w.mu.Unlock()
	target := p.way(w.s.cfg.Sender.Alive)
	if routeErr == nil {
		target.Credentials, target.TLSName = h.Target.Credentials, h.Target.TLSName
	}
	var res *sip.Response
	if err == nil {
		limit, cancel := context.WithTimeout(ctx, w.s.cfg.Timeout)
		res, err = w.s.cfg.Sender.Do(limit, req, target)
		cancel()
	}
	if ctx.Err() != nil {
		return
	}
	w.mu.Lock()
	d.busy = false
	if slices.Contains(w.dialogs, d) {
		w.dialogAnswer(d, leaving, ask, heard, res, err)
	}
	w.mu.Unlock()
	w.settle()
}

// dialogAnswer takes the answer to a SUBSCRIBE in a dialog. heard is the last NOTIFY
// before it was sent.
func (w *Watch) dialogAnswer(d *watchDialog, leaving bool, ask time.Duration, heard uint32, res *sip.Response, err error) {
	now := w.s.alarms.now()
	v, code := verdictGone, 0 // no answer: presence.md §3.1 row 18
	if err == nil {
		code = res.StatusCode
		v = judgeRefresh(code)
		w.count(res)
	}
	if v != verdictOK {
		w.s.cfg.Log.Debug().Err(err).Int("status", code).Bool("leaving", leaving).Stringer("verdict", v).
			Str("call_id", w.callID).Str("event", w.pkg).Msg("subscribe in dialog failed")
		w.last.Code, w.last.Err, w.last.RetryAfter = code, err, 0
	}
	if leaving {
		d.said = true
		if v != verdictOK {
			w.lose(d)
		}
		return
	}
	switch v {
	case verdictOK:
		w.last = WatchStatus{}
		d.asked, d.briefed = ask, false
		left := ask
		if e, ok := expiresOf(res); ok {
			left = min(e, ask)
		}
		w.schedule(d, max(left, time.Second))
		if d.remoteSeq == heard && code != 204 { // RFC 5839: 204 announces that no NOTIFY comes
			d.silence = now + w.s.cfg.Timeout // timer N of the refresh
		}
		if list, star, err := sip.Contacts(res); err == nil && !star && len(list) == 1 && list[0].URI.IsSIP() {
			if p, err := d.peer(); err == nil { // RFC 3261 §12.2.1.2
				p.target = list[0].URI
				d.retarget(p)
			}
		}
		w.changed()
	case verdictBrief:
		if least, ok := raise(res, ask); ok && !d.briefed {
			w.ask, d.briefed, d.refresh = least, true, now
			return
		}
		d.refresh = never // it lasts until it expires
	case verdictGone:
		w.lose(d)
	case verdictLater, verdictFinal, verdictUnknown:
		// The subscription stays valid until it expires (RFC 6665 §4.1.2.2).
		after, _ := sip.ParseRetryAfter(sip.Value(res, "Retry-After"))
		d.refresh = now + max(after, (d.expires-now)/2, 2*minRefresh)
	}
}
