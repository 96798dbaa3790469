package interwork

import (
	"context"
	"fmt"
	"time"

	"github.com/stoxgate/stoxgate/interwork/call"
	"github.com/stoxgate/stoxgate/interwork/relay"
	"github.com/stoxgate/stoxgate/interwork/store"
	"github.com/stoxgate/stoxgate/jingle"
	"github.com/stoxgate/stoxgate/mapping"
)

const (
	// pruneEvery is how often old accounts of calls are deleted.
	pruneEvery      = time.Hour
	defaultKeep     = 30 * 24 * time.Hour
	defaultKeepMost = 1_000_000
)

// keeps tells whether accounts of calls are kept.
func (c *calls) keeps() bool { return c.cfg.Keep > 0 }

// began writes the account of a call in which both talk: should the program die, it can be
// seen that there was one.
func (c *calls) began(a *actor) {
	if !c.keeps() {
		return
	}
	now := time.Now()
	c.keep(a, store.CallRow{
		Started: a.started, Flow: a.flow, Direction: string(a.dir), JID: a.user.String(), AOR: a.uri.AOR().String(), Answered: now, Talked: now,
	})
}

// ended writes the whole account.
func (c *calls) ended(a *actor, r *call.Record) {
	if !c.keeps() {
		return
	}
	row := store.CallRow{
		Started: a.started, Flow: a.flow, Direction: string(r.Direction), JID: a.user.String(), AOR: a.uri.AOR().String(), SID: r.SID, CallID: r.CallID,
		Rang: r.Rang, Answered: r.Answered, Talked: r.Bridged, Ended: r.Ended, EndedBy: string(r.EndedBy), Reason: string(r.Reason), Text: r.Text,
		Status: r.Status, XMPP: callLeg(&r.Stats[relay.Jingle]), SIP: callLeg(&r.Stats[relay.SIP]),
	}
	for _, reason := range mapping.ReasonToReasons(jingle.Reason{Condition: r.Reason}, true) {
		if reason.Protocol == "Q.850" {
			row.Cause = reason.Cause
		}
	}
	c.keep(a, row)
}

func callLeg(s *relay.LegStats) store.CallLeg {
	return store.CallLeg{
		Codec: s.Codec, Protection: s.Protection.String(), Received: s.Received, Sent: s.Sent, Lost: s.Lost, Jitter: s.Jitter, MOS: s.MOS,
	}
}

// keep hands a row to the store's writer, which takes it in its next commit.
func (c *calls) keep(a *actor, row store.CallRow) {
	failed := func(err error) {
		if err != nil {
			a.log.Error().Err(err).Msg("account of the call not written")
		}
	}
	if err := c.g.store.PutCall(row, failed); err != nil {
		failed(err)
	}
}

// interrupted closes the accounts of the calls that were up when the program died.
func (c *calls) interrupted(ctx context.Context) error {
	if c == nil {
		return nil
	}
	n, err := c.g.store.InterruptCalls(ctx)
	if err != nil {
		return fmt.Errorf("interwork: calls of before: %w", err)
	}
	if n > 0 {
		c.g.log.Warn().Int64("calls", n).Msg("calls were interrupted when the program ended last")
	}
	return nil
}

// prune deletes old accounts until ctx ends.
func (c *calls) prune(ctx context.Context) error {
	if c == nil {
		return nil
	}
	tick := time.NewTicker(pruneEvery)
	defer tick.Stop()
	for {
		n, err := c.g.store.PruneCalls(ctx, time.Now().Add(-max(c.cfg.Keep, 0)), c.cfg.KeepMost)
		switch {
		case ctx.Err() != nil:
			return nil
		case err != nil:
			c.g.log.Warn().Err(err).Msg("old accounts of calls not deleted")
		case n > 0:
			c.g.log.Info().Int64("calls", n).Msg("old accounts of calls deleted")
		}
		select {
		case <-ctx.Done():
			return nil
		case <-tick.C:
		}
	}
}
