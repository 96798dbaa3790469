package component

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"os"
	"syscall"
	"time"

	"github.com/stoxgate/stoxgate/xmpp"
)

// Run keeps the link up until ctx ends: it connects at once and after a loss again and again, with waits from 0.2 s
// to 60 s. When ctx ends, the queue is written and the stream closed, within CloseTimeout, and Run returns nil. It
// returns an error only with FailFast, for ErrHostUnknown and ErrNotAuthorized. Run must be called once at a time.
func (c *Component) Run(ctx context.Context) error {
	var wait backoff
	for {
		lasted, err := c.once(ctx)
		if ctx.Err() != nil {
			return nil
		}
		c.setLastError(err)
		if c.cfg.FailFast && (errors.Is(err, ErrHostUnknown) || errors.Is(err, ErrNotAuthorized)) {
			return err
		}
		if lasted >= stableLink {
			wait.reset()
		}
		d := wait.next(err, rand.Int64N)
		c.cfg.Log.Warn().Err(err).Str("domain", c.cfg.Domain).Dur("retry_in", d).Msg("component: no link")
		select {
		case <-ctx.Done():
			return nil
		case <-time.After(d):
		}
	}
}

// once makes one link and serves it until it ends. The error says why there is none any more.
func (c *Component) once(ctx context.Context) (lasted time.Duration, err error) {
	l, err := c.connect(ctx)
	if err != nil {
		return 0, err
	}
	since := time.Now()
	c.cfg.Log.Info().Str("domain", c.cfg.Domain).Msg("component: link is up")
	c.setLastError(nil)
	c.link.Store(l)
	l.batcher, _ = c.handler.(Batcher)
	go l.write()
	stop := context.AfterFunc(ctx, func() {
		c.link.CompareAndSwap(l, nil)
		l.shutdown()
	})
	defer stop()
	c.handler.LinkChanged(true, nil)

	err = c.read(l)

	c.link.CompareAndSwap(l, nil)
	err = l.close(err, lastWords(err))
	c.tracker.failAll(fmt.Errorf("%w: %w", ErrLinkDown, err))
	if ctx.Err() != nil {
		err = nil
		c.cfg.Log.Info().Str("domain", c.cfg.Domain).Msg("component: link is closed")
	}
	c.handler.LinkChanged(false, err)
	return time.Since(since), err
}

// read hands out what comes in until the stream ends. The error says why it did.
func (c *Component) read(l *link) error {
	defer l.release()
	for {
		e, err := l.dec.Next()
		var large *xmpp.ErrTooLarge
		switch {
		case err == nil:
		case errors.As(err, &large):
			c.tapIn(nil, nil)
			c.refuse(err, large)
			continue
		case errors.Is(err, os.ErrDeadlineExceeded):
			return fmt.Errorf("%w for %s: %w", ErrServerSilent, l.patience(), err)
		case errors.Is(err, syscall.ETIMEDOUT):
			return fmt.Errorf("%w: %w", ErrServerStalled, err) // TCP_USER_TIMEOUT
		case errors.Is(err, xmpp.ErrStreamClosed):
			return fmt.Errorf("%w: %w", ErrServerClosed, err)
		default:
			return fmt.Errorf("component: read: %w", err)
		}
		if e.Is(xmpp.NSStream, "error") {
			return parseStreamError(e)
		}
		s, err := xmpp.ParseStanza(e)
		if err != nil {
			c.tapIn(l, nil)
			var malformed *xmpp.MalformedError
			if errors.As(err, &malformed) {
				c.refuse(err, malformed)
			} else {
				c.cfg.Log.Debug().Err(err).Msg("component: ignored")
			}
			continue
		}
		c.take(l, s)
	}
}

// take hands a stanza to whom it concerns.
func (c *Component) take(l *link, s xmpp.Stanza) {
	iq, isIQ := s.(*xmpp.IQ)
	if isIQ && l.isPing(iq) {
		return
	}
	c.tapIn(l, s)
	from, to := s.Addresses()
	if to.IsZero() {
		to = c.domain // a stanza for whoever is at this end of the stream
		address(s, from, to)
	}
	if to.Domain() != c.domain.Domain() {
		// It can not even be answered: its to would be a from that the server does not accept from us.
		c.cfg.Log.Warn().Stringer("from", from).Stringer("to", to).Msg("component: stanza for another domain dropped")
		return
	}
	if isIQ && !iq.IsRequest() {
		switch c.tracker.deliver(iq) {
		case matched:
			return
		case forged:
			c.cfg.Log.Warn().Stringer("from", from).Str("id", iq.ID).Msg("component: iq answer of somebody who was not asked dropped")
			return
		}
	}
	if from.IsZero() {
		c.cfg.Log.Warn().Stringer("to", to).Msg("component: stanza without from dropped")
		return
	}
	l.hold()
	c.handler.HandleStanza(s)
}

// address sets from and to.
func address(s xmpp.Stanza, from, to xmpp.JID) {
	switch s := s.(type) {
	case *xmpp.Message:
		s.From, s.To = from, to
	case *xmpp.Presence:
		s.From, s.To = from, to
	case *xmpp.IQ:
		s.From, s.To = from, to
	}
}

// refuse answers a stanza that could not be parsed, where an answer is allowed.
func (c *Component) refuse(err error, s interface{ ErrorReply() (xmpp.Stanza, bool) }) {
	reply, ok := s.ErrorReply()
	if ok {
		from, to := reply.Addresses()
		if from.IsZero() {
			address(reply, c.domain, to)
		}
		if sendErr := c.Send(reply, nil); sendErr != nil {
			c.cfg.Log.Warn().Err(sendErr).Msg("component: malformed stanza not answered")
		}
	}
	c.cfg.Log.Debug().Err(err).Bool("answered", ok).Msg("component: malformed stanza")
}

// tapIn shows what was read to the tap.
func (c *Component) tapIn(l *link, s xmpp.Stanza) {
	if c.cfg.Tap == nil {
		return
	}
	c.cfg.Tap(false, time.Now(), func() []byte {
		if l == nil {
			return nil
		}
		return bytes.Clone(l.dec.Raw())
	}, s)
}
