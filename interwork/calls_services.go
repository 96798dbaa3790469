package interwork

import (
	"context"
	"fmt"
	"time"

	"github.com/stoxgate/stoxgate/interwork/relay"
	"github.com/stoxgate/stoxgate/jingle"
	"github.com/stoxgate/stoxgate/xmpp"
)

const (
	// servicesWait bounds one question for TURN servers.
	servicesWait = 20 * time.Second
	// servicesAgain is when they are asked for again: after a failure, and when their
	// credentials do not say how long they last.
	servicesAgain  = time.Minute
	servicesExpire = time.Hour
)

// iqLink is what asking takes of the component stream.
type iqLink interface {
	IQ(ctx context.Context, iq *xmpp.IQ) (*xmpp.IQ, error)
}

// services keeps the relay supplied with the STUN and TURN servers of the XMPP server
// (XEP-0215): it asks when the link comes up, and again when half of the time is over
// that the credentials last. It returns when ctx ends.
func (c *calls) services(ctx context.Context) error {
	if c == nil || c.cfg.Services.IsZero() {
		return nil
	}
	again := time.NewTimer(servicesAgain)
	defer again.Stop()
	for {
		select {
		case <-ctx.Done():
			return nil
		case <-c.linked:
		case <-again.C:
		}
		list, lasts, err := askServices(ctx, c.g.xmpp, c.g.flows.next('e'), c.g.self, c.cfg.Services, time.Now())
		if err != nil {
			if ctx.Err() == nil && c.g.xmpp.Up() {
				c.g.log.Warn().Err(err).Stringer("server", c.cfg.Services).Msg("no list of TURN servers")
			}
			again.Reset(servicesAgain)
			continue
		}
		c.relay.SetServers(list)
		c.g.log.Info().Int("servers", len(list)).Dur("lasts", lasts).Msg("TURN servers listed")
		again.Reset(lasts / 2)
	}
}

// askServices asks server and gives its STUN and TURN servers, and how long the list can
// be used.
func askServices(ctx context.Context, link iqLink, id string, self, server xmpp.JID, now time.Time) ([]relay.Server, time.Duration, error) {
	ctx, cancel := context.WithTimeout(ctx, servicesWait)
	defer cancel()
	res, err := link.IQ(ctx, &xmpp.IQ{
		From: self, To: server, ID: id, Type: xmpp.IQGet, Payload: (&jingle.Services{}).Element(),
	})
	if err != nil {
		return nil, 0, err
	}
	if res.Payload == nil {
		return nil, 0, fmt.Errorf("interwork: empty list of services: %w", xmpp.ErrNotWellFormed)
	}
	services, err := jingle.ParseServices(res.Payload)
	if err != nil {
		return nil, 0, err
	}
	list, lasts := turnServers(services.List, now)
	return list, lasts, nil
}

// turnServers picks what ICE can use. Of those that need credentials and came without,
// or with such that are over, there is no use.
func turnServers(list []jingle.Service, now time.Time) (out []relay.Server, lasts time.Duration) {
	lasts = servicesExpire
	for _, s := range list {
		v := relay.Server{Host: s.Host, Port: s.Port, Transport: s.Transport, Username: s.Username, Password: s.Password}
		port := uint16(3478)
		switch s.Type {
		case "stun":
		case "stuns":
			v.TLS, port = true, 5349
		case "turn":
			v.TURN = true
		case "turns":
			v.TURN, v.TLS, port = true, true, 5349
		default:
			continue
		}
		if s.Restricted && s.Username == "" {
			continue
		}
		if !s.Expires.IsZero() {
			left := s.Expires.Sub(now)
			if left <= 0 {
				continue
			}
			lasts = min(lasts, max(left, servicesAgain))
		}
		if v.Port == 0 {
			v.Port = port
		}
		out = append(out, v)
	}
	return out, lasts
}
