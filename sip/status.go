package sip

import (
	"errors"
	"fmt"
	"strconv"
	"strings"
	"time"
)

// Status is an answer to a SIP request, without the parts that are copied from
// the request. It is an error: "404 Not Found".
type Status struct {
	Code       int           // 100–699
	Reason     string        // empty: the phrase of the standard
	RetryAfter time.Duration // written in whole seconds, rounded up; 0: no header
	Headers    []Header
	Body       []byte // its Content-Type is among Headers
}

// Error is the code and the phrase.
func (s Status) Error() string { return strconv.Itoa(s.Code) + " " + s.Phrase() }

// Phrase is the Reason or the phrase of the standard.
func (s Status) Phrase() string {
	if s.Reason != "" {
		return s.Reason
	}
	return Text(s.Code)
}

// Text is the reason phrase that the standards give a status code; for an
// unknown code it is that of its class (RFC 3261 §8.1.3.2).
func Text(code int) string {
	if t, ok := phrases[code]; ok {
		return t
	}
	if t, ok := phrases[code/100*100]; ok {
		return t
	}
	return "Unknown"
}

// phrases: RFC 3261 §21 and the registry behind it.
var phrases = map[int]string{
	100: "Trying", 180: "Ringing", 181: "Call Is Being Forwarded", 182: "Queued", 183: "Session Progress", 199: "Early Dialog Terminated",
	200: "OK", 202: "Accepted", 204: "No Notification",
	300: "Multiple Choices", 301: "Moved Permanently", 302: "Moved Temporarily", 305: "Use Proxy", 380: "Alternative Service",
	400: "Bad Request", 401: "Unauthorized", 402: "Payment Required", 403: "Forbidden", 404: "Not Found", 405: "Method Not Allowed",
	406: "Not Acceptable", 407: "Proxy Authentication Required", 408: "Request Timeout", 409: "Conflict", 410: "Gone",
	412: "Conditional Request Failed", 413: "Request Entity Too Large", 414: "Request-URI Too Long", 415: "Unsupported Media Type",
	416: "Unsupported URI Scheme", 417: "Unknown Resource-Priority", 420: "Bad Extension", 421: "Extension Required",
	422: "Session Interval Too Small", 423: "Interval Too Brief", 424: "Bad Location Information", 425: "Bad Alert Message",
	428: "Use Identity Header", 429: "Provide Referrer Identity", 430: "Flow Failed", 433: "Anonymity Disallowed",
	436: "Bad Identity Info", 437: "Unsupported Credential", 438: "Invalid Identity Header", 439: "First Hop Lacks Outbound Support",
	440: "Max-Breadth Exceeded", 469: "Bad Info Package", 470: "Consent Needed", 480: "Temporarily Unavailable",
	481: "Call/Transaction Does Not Exist", 482: "Loop Detected", 483: "Too Many Hops", 484: "Address Incomplete", 485: "Ambiguous",
	486: "Busy Here", 487: "Request Terminated", 488: "Not Acceptable Here", 489: "Bad Event", 491: "Request Pending",
	493: "Undecipherable", 494: "Security Agreement Required",
	500: "Server Internal Error", 501: "Not Implemented", 502: "Bad Gateway", 503: "Service Unavailable", 504: "Server Time-out",
	505: "Version Not Supported", 513: "Message Too Large", 555: "Push Notification Service Not Supported", 580: "Precondition Failure",
	600: "Busy Everywhere", 603: "Decline", 604: "Does Not Exist Anywhere", 606: "Not Acceptable", 607: "Unwanted", 608: "Rejected",
}

// StatusOf reads a response back into a Status with every header that is not
// copied from the request.
func StatusOf(res *Response) Status {
	s := Status{Code: res.StatusCode, Reason: res.Reason, Body: res.Body()}
	for _, h := range res.Headers() {
		switch fieldOf(h) {
		case viaField, fromField, toField, callIDField, cseqField, contentLengthField, recordRouteField:
		case retryAfterField:
			s.RetryAfter, _ = ParseRetryAfter(h.Value())
		default:
			s.Headers = append(s.Headers, h)
		}
	}
	return s
}

// ParseRetryAfter reads the delta-seconds of a Retry-After value and skips its
// comment and parameters (RFC 3261 §20.33).
func ParseRetryAfter(v string) (time.Duration, bool) {
	v = strings.TrimSpace(v)
	n := 0
	for n < len(v) && '0' <= v[n] && v[n] <= '9' {
		n++
	}
	s, err := strconv.ParseUint(v[:n], 10, 32)
	if err != nil {
		return 0, false
	}
	return time.Duration(s) * time.Second, true
}

// ErrReason tells that a Reason field cannot be read.
var ErrReason = errors.New("sip: malformed Reason")

// Reason is one value of the Reason header field (RFC 3326).
type Reason struct {
	Protocol string // "SIP", "Q.850", …
	Cause    int    // 0: absent
	Text     string // plain text
}

// String is the text form: SIP ;cause=200 ;text="Call completed elsewhere".
func (r Reason) String() string {
	dst := appendToken(nil, r.Protocol)
	if r.Cause > 0 {
		dst = append(dst, " ;cause="...)
		dst = strconv.AppendInt(dst, int64(r.Cause), 10)
	}
	if r.Text != "" {
		dst = append(dst, " ;text="...)
		dst = appendQuoted(dst, r.Text)
	}
	return string(dst)
}

// ParseReasons reads a Reason value, which may be a comma-separated list.
func ParseReasons(v string) ([]Reason, error) {
	var list []Reason
	for {
		v = trimLWS(v)
		n := 0
		for n < len(v) && tokenChars[v[n]] {
			n++
		}
		if n == 0 {
			return nil, fmt.Errorf("%w: no protocol in %q", ErrReason, clip(v))
		}
		r := Reason{Protocol: v[:n]}
		p, rest, err := parseHeaderParams(v[n:])
		if err != nil {
			return nil, fmt.Errorf("%w: %w", ErrReason, err)
		}
		if c, ok := p.Get("cause"); ok {
			if r.Cause, err = strconv.Atoi(c); err != nil {
				return nil, fmt.Errorf("%w: cause %q", ErrReason, clip(c))
			}
		}
		r.Text = p.Value("text")
		list = append(list, r)
		if rest == "" {
			return list, nil
		}
		v = rest[1:]
	}
}
