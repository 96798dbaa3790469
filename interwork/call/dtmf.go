package call

import (
	"fmt"
	"strconv"
	"strings"
	"time"

	"github.com/stoxgate/stoxgate/interwork/relay"
	"github.com/stoxgate/stoxgate/jingle"
)

const (
	dtmfRelay = "application/dtmf-relay"
	dtmfPlain = "application/dtmf"

	defaultTone = 100 * time.Millisecond
	maxTone     = 10 * time.Second
)

// digitOfHers: a key in the signalling (XEP-0181). It becomes an event within his media if
// he takes those, else an INFO.
func (c *Call) digitOfHers(b *branch, d jingle.DTMF) {
	if b != c.used || c.used2 == nil || !c.state.Answered() || b.media == nil {
		return
	}
	dur := d.Duration
	if dur <= 0 {
		dur = defaultTone
	}
	if err := b.media.SendDTMF(relay.SIP, d.Code, dur); err != nil {
		c.used2.Info(dtmfRelay, dtmfBody(d.Code, dur))
	}
}

// digitOfHis: a key in an INFO, in either of the forms that phones use.
func (c *Call) digitOfHis(in LegInfo) {
	l := c.legOf(in.Leg)
	if l == nil || l != c.used2 || !c.state.Answered() || c.used == nil || c.used.media == nil {
		return
	}
	digit, dur, ok := ReadDTMF(in.Type, in.Body)
	if !ok {
		return
	}
	if err := c.used.media.SendDTMF(relay.Jingle, digit, dur); err != nil {
		c.info(c.used, jingle.DTMF{Code: digit, Duration: dur})
	}
}

// passDigit tells one side by signalling what the other pressed and its media cannot carry.
func (c *Call) passDigit(e relay.Event) {
	switch {
	case e.Side == relay.Jingle && c.used2 != nil:
		c.used2.Info(dtmfRelay, dtmfBody(e.Digit, e.Duration))
	case e.Side == relay.SIP && c.used != nil && c.used.session != nil:
		c.info(c.used, jingle.DTMF{Code: e.Digit, Duration: e.Duration})
	}
}

func dtmfBody(digit byte, d time.Duration) []byte {
	return fmt.Appendf(nil, "Signal=%c\r\nDuration=%d\r\n", digit, d.Milliseconds())
}

// ReadDTMF reads the body of an INFO with a key: application/dtmf-relay (Signal= and
// Duration= in milliseconds) or application/dtmf (the bare key). ok is false for anything
// else.
func ReadDTMF(contentType string, body []byte) (digit byte, d time.Duration, ok bool) {
	kind, _, _ := strings.Cut(contentType, ";")
	text, d := "", defaultTone
	switch strings.ToLower(strings.TrimSpace(kind)) {
	case dtmfPlain:
		text = string(body[:min(len(body), 16)])
	case dtmfRelay:
		for line := range strings.Lines(string(body[:min(len(body), 256)])) {
			name, value, found := strings.Cut(line, "=")
			if !found {
				continue
			}
			switch value = strings.TrimSpace(value); strings.ToLower(strings.TrimSpace(name)) {
			case "signal":
				text = value
			case "duration":
				if ms, err := strconv.ParseUint(value, 10, 32); err == nil && ms > 0 {
					d = min(time.Duration(ms)*time.Millisecond, maxTone)
				}
			}
		}
	default:
		return 0, 0, false
	}
	text = strings.ToUpper(strings.TrimSpace(text))
	switch text { // the numbers of RFC 4733 for the keys that are none
	case "10":
		text = "*"
	case "11":
		text = "#"
	}
	if len(text) != 1 || !strings.Contains("0123456789*#ABCD", text) {
		return 0, 0, false
	}
	return text[0], d, true
}
