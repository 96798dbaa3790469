package main

import (
	"context"
	"encoding/json"
	"fmt"
	"strconv"
	"strings"
	"time"

	"github.com/stoxgate/stoxgate/cmd/stoxgate/internal/console"
	"github.com/stoxgate/stoxgate/interwork/store"
	"github.com/stoxgate/stoxgate/xmpp"
)

// callsCmd lists accounts of calls through the API of the running gateway.
type callsCmd struct {
	daemonFlags `embed:""`
	Since       string `placeholder:"TIME" help:"Only calls that began then or later: 2026-11-24, 2026-11-24T15:04:05Z, or how long ago, as 90m or 7d."`
	Until       string `placeholder:"TIME" help:"Only calls that began before."`
	Party       string `placeholder:"ADDRESS" help:"Only calls of this JID or SIP address."`
	Limit       int    `default:"50" help:"Most calls (${default}); 0: all."`
	CSV         bool   `name:"csv" xor:"form" help:"Print CSV, with everything that is kept."`
	JSON        bool   `name:"json" xor:"form" help:"Print a JSON object a line."`
}

func (callsCmd) Help() string {
	return `The latest call comes first. Accounts are kept for calls.keep. A call that is up has no end yet; one
that was up when the program died is "interrupted".

Examples:
  stoxgate calls
  stoxgate calls --since 7d --party mira@chat.example
  stoxgate calls --since 2026-11-01 --until 2026-12-01 --limit 0 --csv > november.csv`
}

func (c callsCmd) Run(p *program) error {
	q := console.CallQuery{Party: c.Party, Limit: max(c.Limit, 0)}
	for _, t := range []struct {
		name, text string
		into       *time.Time
	}{{"--since", c.Since, &q.Since}, {"--until", c.Until, &q.Until}} {
		var err error
		if *t.into, err = parseTime(t.text, time.Now()); err != nil {
			return fmt.Errorf("%w: %s: %w", console.ErrInvalid, t.name, err)
		}
	}
	client, err := c.client(p)
	if err != nil {
		return err
	}
	defer client.Close()
	if c.CSV && q.Limit <= 1000 {
		return client.CallsCSV(p.ctx, q, p.stdout)
	}
	if c.CSV {
		return fmt.Errorf("%w: --limit of CSV is at most 1000, or 0 for all", console.ErrInvalid)
	}
	if c.JSON {
		out := json.NewEncoder(p.stdout)
		return client.Calls(p.ctx, q, func(a console.Call) error { return out.Encode(a) })
	}
	t := newTable("STARTED", "FROM", "TO", "TALKED", "END", "CODECS", "MOS", "FLOW")
	err = client.Calls(p.ctx, q, func(a console.Call) error { t.row(callRow(a)...); return nil })
	if err != nil {
		return err
	}
	return t.print(p.stdout)
}

// parseTime reads a date, a time, or how long ago; "" is the zero time.
func parseTime(text string, now time.Time) (time.Time, error) {
	if text == "" {
		return time.Time{}, nil
	}
	if days, ok := strings.CutSuffix(text, "d"); ok {
		if n, err := strconv.ParseUint(days, 10, 16); err == nil {
			return now.AddDate(0, 0, -int(n)), nil
		}
	}
	if d, err := time.ParseDuration(text); err == nil && d >= 0 {
		return now.Add(-d), nil
	}
	for _, layout := range []string{time.RFC3339, time.DateTime, time.DateOnly} {
		if t, err := time.ParseInLocation(layout, text, time.Local); err == nil {
			return t, nil
		}
	}
	return time.Time{}, fmt.Errorf("%q is neither a date, a time nor a duration", text)
}

func callRow(a console.Call) []string {
	from, to := a.JID, strings.TrimPrefix(a.AOR, "sip:")
	codecs := []string{a.XMPP.Codec, a.SIP.Codec}
	mos := []float64{a.XMPP.MOS, a.SIP.MOS}
	if a.Direction == store.S2X {
		from, to = to, from
		codecs[0], codecs[1], mos[0], mos[1] = codecs[1], codecs[0], mos[1], mos[0]
	}
	talked, end := "", "up"
	if a.Seconds > 0 {
		talked = time.Duration(a.Seconds * float64(time.Second)).Round(time.Second).String()
	}
	if !a.Ended.IsZero() {
		end = a.Reason + " by " + a.EndedBy
		if a.Status >= 300 {
			end += fmt.Sprintf(" (%d)", a.Status)
		}
	}
	heard := ""
	if mos[0] > 0 || mos[1] > 0 {
		heard = fmt.Sprintf("%.1f/%.1f", mos[0], mos[1])
	}
	return []string{a.Started.Local().Format(time.DateTime), from, to, talked, end, strings.Trim(strings.Join(codecs, "/"), "/"), heard, a.Flow}
}

// callAccounts is the console's view of the accounts of calls.
type callAccounts struct{ store *store.Store }

var _ console.Calls = callAccounts{}

// Calls implements console.Calls.
func (c callAccounts) Calls(ctx context.Context, q console.CallQuery, f func(console.Call) error) error {
	in := store.CallQuery{Since: q.Since, Until: q.Until, Limit: q.Limit}
	if q.After != "" {
		started, flow, err := console.ParsePosition(q.After)
		if err != nil {
			return err
		}
		in.After = store.CallKey{Started: started, Flow: flow}
	}
	var err error
	if in.JID, in.AOR, err = party(q.Party); err != nil {
		return err
	}
	return c.store.Calls(ctx, in, func(r store.CallRow) error { return f(accountOf(&r)) })
}

// party reads an address: without a scheme it may be one of either side.
func party(text string) (jid, aor string, err error) {
	if text == "" {
		return "", "", nil
	}
	scheme := strings.HasPrefix(text, "sip:") || strings.HasPrefix(text, "sips:")
	if u, err := parseAOR(text); err == nil {
		aor = u.String()
	} else if scheme {
		return "", "", err
	}
	if scheme {
		return "", aor, nil
	}
	if j, err := xmpp.ParseJID(text); err == nil {
		jid = j.Bare().String()
	}
	if jid == "" && aor == "" {
		return "", "", fmt.Errorf("%w: party: %q is no address", console.ErrInvalid, text)
	}
	return jid, aor, nil
}

func accountOf(r *store.CallRow) console.Call {
	out := console.Call{
		Flow: r.Flow, Direction: r.Direction, JID: r.JID, AOR: r.AOR, Started: r.Started, Rang: r.Rang, Answered: r.Answered, Talked: r.Talked, Ended: r.Ended,
		EndedBy: r.EndedBy, Reason: r.Reason, Text: r.Text, Status: r.Status, Cause: r.Cause, SID: r.SID, CallID: r.CallID,
		XMPP: legOf(&r.XMPP), SIP: legOf(&r.SIP),
	}
	if !r.Talked.IsZero() && !r.Ended.IsZero() && r.Reason != store.CallInterrupted {
		out.Seconds = r.Ended.Sub(r.Talked).Seconds()
	}
	return out
}

func legOf(l *store.CallLeg) console.CallLeg {
	return console.CallLeg{
		Codec: l.Codec, Protection: l.Protection, Received: int64(l.Received), Sent: int64(l.Sent), Lost: l.Lost,
		JitterMS: float64(l.Jitter.Microseconds()) / 1000, MOS: l.MOS,
	}
}
