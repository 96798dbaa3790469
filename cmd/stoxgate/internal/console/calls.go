package console

import (
	"context"
	"encoding/csv"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"strconv"
	"strings"
	"time"
)

// Calls are the accounts of calls that are kept.
type Calls interface {
	// Calls calls f for each call that q selects, the latest first; ErrInvalid for a party
	// that is no address or a position that is none.
	Calls(ctx context.Context, q CallQuery, f func(Call) error) error
}

// Call is the account of one call. Times that are missing mean that it did not come to
// that.
type Call struct {
	Flow      string    `json:"flow" doc:"correlation id, as in log and journal"`
	Direction string    `json:"direction" doc:"x2s or s2x: who calls whom"`
	JID       string    `json:"jid" doc:"the XMPP party"`
	AOR       string    `json:"aor" doc:"the SIP party"`
	Started   time.Time `json:"started"`
	Rang      time.Time `json:"rang,omitzero"`
	Answered  time.Time `json:"answered,omitzero"`
	Talked    time.Time `json:"talked,omitzero" doc:"both talk from here on"`
	Ended     time.Time `json:"ended,omitzero" doc:"missing while the call is up; of one that was interrupted, when the gateway came back"`
	Seconds   float64   `json:"seconds" doc:"time that was talked; 0 of a call that is up or was interrupted"`
	EndedBy   string    `json:"ended_by,omitempty" doc:"xmpp, sip or gateway"`
	Reason    string    `json:"reason,omitempty" doc:"Jingle reason, or interrupted when the program ended without telling"`
	Text      string    `json:"text,omitempty"`
	Status    int       `json:"status,omitempty" doc:"final SIP response"`
	Cause     int       `json:"cause,omitempty" doc:"Q.850 cause of the reason"`
	SID       string    `json:"sid,omitempty" doc:"id of the Jingle session"`
	CallID    string    `json:"call_id,omitempty" doc:"Call-ID of the SIP dialog"`
	XMPP      CallLeg   `json:"xmpp"`
	SIP       CallLeg   `json:"sip"`
}

// CallLeg is the media of one side of a call.
type CallLeg struct {
	Codec      string  `json:"codec,omitempty" doc:"received from there"`
	Protection string  `json:"protection,omitempty" doc:"none, sdes or dtls"`
	Received   int64   `json:"received" doc:"packets that came from there"`
	Sent       int64   `json:"sent" doc:"packets that went there"`
	Lost       int64   `json:"lost" doc:"packets of that side that did not come"`
	JitterMS   float64 `json:"jitter_ms" doc:"of what came, in milliseconds"`
	MOS        float64 `json:"mos" doc:"estimate of what was heard from there, 1 to 4.5; 0 when nothing was"`
}

// CallPage is a part of the list of calls.
type CallPage struct {
	Calls []Call `json:"calls"`
	Next  string `json:"next,omitempty" doc:"give this as after to get the next page; missing on the last"`
}

// CallQuery selects calls: by the time of their beginning, by one of their parties, and
// those after a position in the list.
type CallQuery struct {
	Since, Until time.Time
	Party        string
	After        string
	Limit        int // 0: no limit
}

// Position names a call in the list, for CallQuery.After.
func (c Call) Position() string { return strconv.FormatInt(c.Started.UnixMilli(), 10) + "." + c.Flow }

// ParsePosition reads Position; ErrInvalid for what is none.
func ParsePosition(s string) (started time.Time, flow string, err error) {
	at, flow, ok := strings.Cut(s, ".")
	ms, err := strconv.ParseInt(at, 10, 64)
	if !ok || err != nil || flow == "" {
		return started, "", fmt.Errorf("%w: after: %q is no position in the list", ErrInvalid, s)
	}
	return time.UnixMilli(ms), flow, nil
}

const callsPath = apiPath + "/calls"

var callsQuery = []parameter{
	{"since", "only calls that began at this time (RFC 3339) or later", "string"},
	{"until", "only calls that began before this time", "string"},
	{"party", "only calls of this JID or SIP address", "string"},
	{"after", "position after which the page begins", "string"},
	{"limit", "most calls, 1 to 1000, default 100; of CSV: default all", "integer"},
	{"format", "json or csv; default: what Accept prefers", "string"},
}

func (s *Server) listCalls(w http.ResponseWriter, r *http.Request) {
	v := r.URL.Query()
	q := CallQuery{Party: v.Get("party"), After: v.Get("after")}
	for name, into := range map[string]*time.Time{"since": &q.Since, "until": &q.Until} {
		var err error
		if text := v.Get(name); text == "" {
			continue
		} else if *into, err = time.Parse(time.RFC3339, text); err != nil {
			problem(w, http.StatusBadRequest, name+" must be a time such as 2026-11-24T15:04:05Z")
			return
		}
	}
	format := v.Get("format")
	if format == "" && strings.HasPrefix(r.Header.Get("Accept"), mediaCSV) {
		format = "csv"
	}
	fallback := int64(100)
	switch format {
	case "", "json":
	case "csv":
		fallback = 0
	default:
		problem(w, http.StatusBadRequest, "format must be json or csv")
		return
	}
	limit, ok := number(w, r, "limit", fallback, 1, 1000)
	if !ok {
		return
	}
	q.Limit = int(limit)
	if format == "csv" {
		s.exportCalls(w, r, q)
		return
	}
	page := CallPage{Calls: []Call{}}
	q.Limit++ // tells whether there is a next page
	err := s.cfg.Sources.Calls.Calls(r.Context(), q, func(c Call) error { page.Calls = append(page.Calls, c); return nil })
	if err != nil {
		s.failed(w, r, err)
		return
	}
	if n := int(limit); len(page.Calls) > n {
		page.Calls, page.Next = page.Calls[:n], page.Calls[n-1].Position()
	}
	answer(w, http.StatusOK, page)
}

func (s *Server) exportCalls(w http.ResponseWriter, r *http.Request, q CallQuery) {
	extend(w)
	out := csv.NewWriter(w)
	begun := false
	begin := func() {
		begun = true
		w.Header().Set("Content-Type", mediaCSV+"; charset=utf-8")
		w.Header().Set("Content-Disposition", `attachment; filename="calls.csv"`)
		_ = out.Write(callColumns) // what cannot be written shows in Error
	}
	err := s.cfg.Sources.Calls.Calls(r.Context(), q, func(c Call) error {
		if !begun {
			begin()
		}
		return out.Write(c.cells())
	})
	switch {
	case err == nil && !begun:
		begin()
	case err != nil && !begun:
		s.failed(w, r, err)
		return
	}
	out.Flush()
	if err == nil {
		err = out.Error()
	}
	if err != nil {
		s.cfg.Log.Error().Err(err).Msg("export of calls failed")
		panic(http.ErrAbortHandler) // part of it may be sent: the client must see that it is cut
	}
}

var callColumns = []string{
	"flow", "direction", "jid", "aor", "started", "rang", "answered", "talked", "ended", "seconds", "ended_by", "reason", "text", "status", "cause",
	"sid", "call_id",
	"xmpp_codec", "xmpp_protection", "xmpp_received", "xmpp_sent", "xmpp_lost", "xmpp_jitter_ms", "xmpp_mos",
	"sip_codec", "sip_protection", "sip_received", "sip_sent", "sip_lost", "sip_jitter_ms", "sip_mos",
}

// cells is a line of CSV. What somebody wrote is kept from being taken for a formula.
func (c Call) cells() []string {
	at := func(t time.Time) string {
		if t.IsZero() {
			return ""
		}
		return t.UTC().Format("2006-01-02T15:04:05.000Z")
	}
	decimal := func(f float64) string { return strconv.FormatFloat(f, 'f', -1, 64) }
	out := []string{
		c.Flow, c.Direction, harmless(c.JID), harmless(c.AOR), at(c.Started), at(c.Rang), at(c.Answered), at(c.Talked), at(c.Ended), decimal(c.Seconds),
		c.EndedBy, harmless(c.Reason), harmless(c.Text), strconv.Itoa(c.Status), strconv.Itoa(c.Cause), harmless(c.SID), harmless(c.CallID),
	}
	for _, l := range []*CallLeg{&c.XMPP, &c.SIP} {
		out = append(out, harmless(l.Codec), l.Protection, strconv.FormatInt(l.Received, 10), strconv.FormatInt(l.Sent, 10),
			strconv.FormatInt(l.Lost, 10), decimal(l.JitterMS), decimal(l.MOS))
	}
	return out
}

func harmless(s string) string {
	if s != "" && strings.ContainsRune("=+-@\t\r", rune(s[0])) {
		return "'" + s
	}
	return s
}

func (q CallQuery) values() url.Values {
	v := url.Values{}
	for name, t := range map[string]time.Time{"since": q.Since, "until": q.Until} {
		if !t.IsZero() {
			v.Set(name, t.UTC().Format(time.RFC3339))
		}
	}
	for name, text := range map[string]string{"party": q.Party, "after": q.After} {
		if text != "" {
			v.Set(name, text)
		}
	}
	if q.Limit > 0 {
		v.Set("limit", strconv.Itoa(q.Limit))
	}
	return v
}

// callsPage is how many calls the client asks for at once.
const callsPage = 1000

// Calls implements Calls, page by page.
func (c *Client) Calls(ctx context.Context, q CallQuery, f func(Call) error) error {
	left := q.Limit
	for {
		if q.Limit = callsPage; left > 0 {
			q.Limit = min(left, callsPage)
		}
		var page CallPage
		if err := c.json(ctx, http.MethodGet, callsPath+"?"+q.values().Encode(), nil, &page); err != nil {
			return err
		}
		for i := range page.Calls {
			if err := f(page.Calls[i]); err != nil {
				return err
			}
		}
		if left > 0 {
			if left -= len(page.Calls); left <= 0 {
				return nil
			}
		}
		if page.Next == "" {
			return nil
		}
		q.After = page.Next
	}
}

// CallsCSV writes the calls that q selects as CSV.
func (c *Client) CallsCSV(ctx context.Context, q CallQuery, out io.Writer) error {
	v := q.values()
	v.Set("format", "csv")
	res, err := c.do(ctx, http.MethodGet, callsPath+"?"+v.Encode(), "", nil)
	if err != nil {
		return err
	}
	defer res.Body.Close()
	if _, err := io.Copy(out, res.Body); err != nil {
		return fmt.Errorf("console: export: %w", err)
	}
	return nil
}
