package store

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"math"
	"strconv"
	"strings"
	"time"
)

// CallRow is the account of one call. Times are kept to the millisecond; zero ones mean
// that it did not come to that.
type CallRow struct {
	Started   time.Time // with Flow what names the call
	Flow      string    // correlation id, as in the log and the journal
	Direction string    // X2S or S2X
	JID       string    // bare JID of the XMPP party
	AOR       string    // of the SIP party
	SID       string    // Jingle session
	CallID    string    // SIP dialog
	Rang      time.Time
	Answered  time.Time
	Talked    time.Time // both talk from here on
	Ended     time.Time // zero: it is under way
	EndedBy   string
	Reason    string
	Text      string
	Status    int // final SIP response; 0: none
	Cause     int // Q.850; 0: none
	XMPP, SIP CallLeg
}

// CallLeg is what one side of a call sent and got.
type CallLeg struct {
	Codec          string // received from there
	Protection     string // none, sdes or dtls
	Received, Sent uint64 // packets
	Lost           int64  // of what was sent by that side
	Jitter         time.Duration
	MOS            float64 // of what was heard from there, to a hundredth; 0: nothing was
}

// CallInterrupted is the reason of a call that was under way when the program ended
// without telling.
const CallInterrupted = "interrupted"

const callColumns = `started, flow, direction, jid, aor, sid, call_id, rang, answered, talked, ended, ended_by, reason, detail, status, cause,
	xmpp_codec, xmpp_protection, xmpp_received, xmpp_sent, xmpp_lost, xmpp_jitter, xmpp_mos,
	sip_codec, sip_protection, sip_received, sip_sent, sip_lost, sip_jitter, sip_mos`

// putCall is an upsert by the key; both engines take excluded.
var putCall = func() string {
	names := strings.Split(strings.Join(strings.Fields(callColumns), ""), ",")
	values, set := make([]string, len(names)+1), []string{}
	for i := range values {
		values[i] = "$" + strconv.Itoa(i+1)
	}
	for _, n := range names[2:] {
		set = append(set, n+" = excluded."+n)
	}
	return `INSERT INTO calls (` + callColumns + `, node) VALUES (` + strings.Join(values, ", ") + `)
		ON CONFLICT (started, flow, node) DO UPDATE SET ` + strings.Join(set, ", ")
}()

// PutCall writes the account of a call, replacing what was written of it before. It does
// not wait: done (may be nil) is called once after the commit, from the writer goroutine,
// unless PutCall itself returns an error.
func (s *Store) PutCall(r CallRow, done func(error)) error {
	if r.Started.IsZero() || r.Flow == "" {
		return fmt.Errorf("%w: a call needs a beginning and a flow", ErrInvalid)
	}
	if err := checkText(r.Flow, r.Direction, r.JID, r.AOR, r.SID, r.CallID, r.EndedBy, r.Reason, r.Text,
		r.XMPP.Codec, r.XMPP.Protection, r.SIP.Codec, r.SIP.Protection); err != nil {
		return err
	}
	args := []any{
		toMillis(r.Started), r.Flow, r.Direction, r.JID, r.AOR, r.SID, r.CallID, toMillis(r.Rang), toMillis(r.Answered), toMillis(r.Talked),
		toMillis(r.Ended), r.EndedBy, r.Reason, r.Text, r.Status, r.Cause,
	}
	for _, l := range []*CallLeg{&r.XMPP, &r.SIP} {
		args = append(args, l.Codec, l.Protection, int64(min(l.Received, math.MaxInt64)), int64(min(l.Sent, math.MaxInt64)), l.Lost,
			l.Jitter.Microseconds(), int64(math.Round(l.MOS*100)))
	}
	return s.enqueue(op{done: done, run: func(c *writeConn) error {
		_, err := c.exec(putCall, append(args[:len(args):len(args)], c.node)...)
		return err
	}})
}

// InterruptCalls closes the accounts of this node's calls that nobody ended, as of now, and
// says how many there were.
func (s *Store) InterruptCalls(ctx context.Context) (int64, error) {
	var n int64
	err := s.change(ctx, false, func(c *writeConn) (err error) {
		n, err = c.exec(`UPDATE calls SET ended = $1, ended_by = 'gateway', reason = $2 WHERE node = $3 AND ended = 0`,
			toMillis(s.now()), CallInterrupted, c.node)
		return err
	})
	if err != nil {
		return 0, err // the writer may still be at it
	}
	return n, nil
}

// callsAtOnce bounds what one transaction deletes.
const callsAtOnce = 5000

// PruneCalls deletes this node's calls that began before a time, and the oldest of all
// beyond a number. Calls under way stay.
func (s *Store) PruneCalls(ctx context.Context, before time.Time, most int) (n int64, err error) {
	limit := toMillis(before)
	var last int64
	err = s.db.QueryRowContext(ctx, `SELECT started FROM calls WHERE node = $1 ORDER BY started DESC LIMIT 1 OFFSET $2`, s.cfg.Node, most).Scan(&last)
	switch {
	case err == nil:
		limit = max(limit, last+1)
	case !errors.Is(err, sql.ErrNoRows):
		return 0, fmt.Errorf("store: counting calls: %w", err)
	}
	for {
		to, more := limit, false
		err := s.db.QueryRowContext(ctx, `SELECT started FROM calls WHERE node = $1 AND ended > 0 AND started < $2 ORDER BY started LIMIT 1 OFFSET $3`,
			s.cfg.Node, limit, callsAtOnce).Scan(&last)
		if err == nil {
			to, more = min(last+1, limit), true // last+1: there may be as many of one millisecond
		} else if !errors.Is(err, sql.ErrNoRows) {
			return n, fmt.Errorf("store: finding old calls: %w", err)
		}
		var gone int64
		err = s.change(ctx, false, func(c *writeConn) (err error) {
			gone, err = c.exec(`DELETE FROM calls WHERE node = $1 AND ended > 0 AND started < $2`, c.node, to)
			return err
		})
		if err != nil {
			return n, err // the writer may still be at it
		}
		if n += gone; !more {
			return n, nil
		}
	}
}

// CallQuery selects calls. Zero fields select all.
type CallQuery struct {
	Since, Until time.Time // of the beginning; Until is not included
	JID, AOR     string    // of a party, as in the rows; of both either will do
	After        CallKey   // the row behind which the list goes on
	Limit        int       // 0: no limit
}

// CallKey names a row: lists are in falling order of it.
type CallKey struct {
	Started time.Time
	Flow    string
}

// Calls calls f for each call that q selects, the latest first, until f returns an error,
// which it returns. Those of other nodes are among them.
func (s *Store) Calls(ctx context.Context, q CallQuery, f func(CallRow) error) error {
	var where []string
	var args []any
	arg := func(v any) string {
		args = append(args, v)
		return "$" + strconv.Itoa(len(args))
	}
	if !q.Since.IsZero() {
		where = append(where, "started >= "+arg(toMillis(q.Since)))
	}
	if !q.Until.IsZero() {
		where = append(where, "started < "+arg(toMillis(q.Until)))
	}
	if checkText(q.JID, q.AOR) != nil {
		return nil // nobody has such an address
	}
	switch {
	case q.JID != "" && q.AOR != "":
		where = append(where, "(jid = "+arg(q.JID)+" OR aor = "+arg(q.AOR)+")")
	case q.JID != "":
		where = append(where, "jid = "+arg(q.JID))
	case q.AOR != "":
		where = append(where, "aor = "+arg(q.AOR))
	}
	if !q.After.Started.IsZero() {
		if err := checkText(q.After.Flow); err != nil {
			return err
		}
		at := toMillis(q.After.Started)
		where = append(where, "(started < "+arg(at)+" OR started = "+arg(at)+" AND flow < "+arg(q.After.Flow)+")")
	}
	query := `SELECT ` + callColumns + ` FROM calls`
	if len(where) > 0 {
		query += ` WHERE ` + strings.Join(where, " AND ")
	}
	query += ` ORDER BY started DESC, flow DESC`
	if q.Limit > 0 {
		query += ` LIMIT ` + arg(q.Limit)
	}
	rows, err := s.db.QueryContext(ctx, query, args...)
	if err != nil {
		return fmt.Errorf("store: reading calls: %w", err)
	}
	defer rows.Close()
	for rows.Next() {
		r, err := scanCall(rows)
		if err != nil {
			return fmt.Errorf("store: reading calls: %w", err)
		}
		if err := f(r); err != nil {
			return err
		}
	}
	if err := rows.Err(); err != nil {
		return fmt.Errorf("store: reading calls: %w", err)
	}
	return nil
}

func scanCall(rows *sql.Rows) (r CallRow, err error) {
	var times [5]int64
	var counts [2]struct{ received, sent, jitter, mos int64 }
	dest := []any{
		&times[0], &r.Flow, &r.Direction, &r.JID, &r.AOR, &r.SID, &r.CallID, &times[1], &times[2], &times[3], &times[4],
		&r.EndedBy, &r.Reason, &r.Text, &r.Status, &r.Cause,
	}
	legs := []*CallLeg{&r.XMPP, &r.SIP}
	for i, l := range legs {
		n := &counts[i]
		dest = append(dest, &l.Codec, &l.Protection, &n.received, &n.sent, &l.Lost, &n.jitter, &n.mos)
	}
	if err := rows.Scan(dest...); err != nil {
		return r, err
	}
	for i, t := range []*time.Time{&r.Started, &r.Rang, &r.Answered, &r.Talked, &r.Ended} {
		*t = fromMillis(times[i])
	}
	for i, l := range legs {
		n := counts[i]
		l.Received, l.Sent, l.Jitter, l.MOS = uint64(n.received), uint64(n.sent), time.Duration(n.jitter)*time.Microsecond, float64(n.mos)/100
	}
	return r, nil
}
