package component

import (
	"strconv"
	"strings"
	"time"

	"github.com/stoxgate/stoxgate/xmpp"
)

// keepalive belongs to the writer of a link. It sends a ping when nothing was read, and a space when nothing was
// written, for PingInterval (XEP-0199, RFC 6120 §4.6.1). That the ping is answered is seen by the reader, which
// gives up when nothing comes at all.
type keepalive struct {
	l     *link
	timer *time.Timer
	tick  <-chan time.Time // nil, and so never, without pings
}

func newKeepalive(l *link) *keepalive {
	k := &keepalive{l: l}
	if l.cfg.PingInterval > 0 {
		k.timer = time.NewTimer(l.cfg.PingInterval)
		k.tick = k.timer.C
	}
	return k
}

func (k *keepalive) stop() {
	if k.timer != nil {
		k.timer.Stop()
	}
}

// check does what is due, if anything is.
func (k *keepalive) check() error {
	select {
	case <-k.tick:
		return k.due()
	default:
		return nil
	}
}

// due is called when the timer has fired; it sets it again for the earliest time at which there can be something
// to do.
func (k *keepalive) due() error {
	interval, now := k.l.cfg.PingInterval, time.Now()
	heard := time.Unix(0, k.l.lastRead.Load())
	if now.Sub(heard) >= interval {
		if err := k.l.sendPing(); err != nil {
			return err
		}
		heard = now
	} else if now.Sub(k.l.lastWrite) >= interval {
		if err := k.l.send([]byte(" ")); err != nil {
			return err
		}
	}
	next := heard.Add(interval)
	if n := k.l.lastWrite.Add(interval); n.Before(next) {
		next = n
	}
	k.timer.Reset(next.Sub(now))
	return nil
}

// sendPing writes a ping past the queue.
func (l *link) sendPing() error {
	l.pings++
	ping := &xmpp.IQ{
		From: l.domain, To: l.cfg.PingTarget, ID: l.pingID + strconv.Itoa(l.pings), Type: xmpp.IQGet,
		Payload: xmpp.NewElement(xmpp.NSPing, "ping"),
	}
	return l.send(ping.Append(nil))
}

// isPing tells whether iq belongs to our own pings: an answer, or the ping itself where the component pings
// itself by way of the server.
func (l *link) isPing(iq *xmpp.IQ) bool {
	return strings.HasPrefix(iq.ID, l.pingID) && (iq.From == l.cfg.PingTarget || iq.From.IsZero())
}
