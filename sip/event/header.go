package event

import (
	"strconv"
	"strings"
	"time"

	"github.com/stoxgate/stoxgate/sip"
)

// eventOf reads the Event field. ok is false when there is not exactly one that can be
// read.
func eventOf(msg sip.Message) (e sip.Event, ok bool) {
	list := sip.Values(msg, "Event")
	if len(list) != 1 {
		return e, false
	}
	e, err := sip.ParseEvent(list[0])
	return e, err == nil
}

// eventValue is the Event field for a package and an id.
func eventValue(name, id string) string {
	if id == "" {
		return name
	}
	return sip.Event{Package: name, ID: id}.String()
}

// substateOf reads Subscription-State. ok is false when there is not exactly one that
// can be read.
func substateOf(msg sip.Message) (s sip.SubscriptionState, ok bool) {
	list := sip.Values(msg, "Subscription-State")
	if len(list) != 1 {
		return s, false
	}
	s, err := sip.ParseSubscriptionState(list[0])
	return s, err == nil
}

// isToken tells a token of RFC 3261 §25.1, not longer than anybody needs.
func isToken(s string) bool {
	if s == "" || len(s) > 128 {
		return false
	}
	for i := range len(s) {
		c := s[i]
		switch {
		case 'a' <= c && c <= 'z', 'A' <= c && c <= 'Z', '0' <= c && c <= '9':
		case strings.IndexByte("-.!%*_+`'~", c) >= 0:
		default:
			return false
		}
	}
	return true
}

// maxSeconds is the largest delta-seconds (RFC 3261 §20.19).
const maxSeconds = 1<<32 - 1

// parseSeconds reads delta-seconds; more than the largest is the largest.
func parseSeconds(v string) (time.Duration, bool) {
	v = strings.TrimSpace(v)
	for i := range len(v) {
		if v[i] < '0' || v[i] > '9' {
			return 0, false
		}
	}
	if v == "" {
		return 0, false
	}
	n, err := strconv.ParseUint(v, 10, 32)
	if err != nil {
		n = maxSeconds
	}
	return time.Duration(n) * time.Second, true
}

// expiresOf is the Expires field; ok is false when it is absent or unreadable, which
// is to be taken for absent (RFC 3261 §20.19).
func expiresOf(msg sip.Message) (d time.Duration, ok bool) {
	return parseSeconds(sip.Value(msg, "Expires"))
}

func seconds(d time.Duration) string { return strconv.FormatInt(int64(d/time.Second), 10) }

// acceptList reads Accept; a message without one accepts what fallback says, one with
// an empty Accept nothing (RFC 3261 §20.1).
func acceptList(msg sip.Message, fallback []string) []string {
	if len(sip.Values(msg, "Accept")) == 0 {
		return fallback
	}
	return sip.Tokens(msg, "Accept")
}

// accepts tells whether an Accept list takes a media type.
func accepts(list []string, mediaType string) bool {
	mediaType, _, _ = strings.Cut(mediaType, ";")
	mediaType = strings.TrimSpace(mediaType)
	for _, t := range list {
		t, params, _ := strings.Cut(t, ";")
		if refused(params) {
			continue
		}
		switch t = strings.TrimSpace(t); {
		case t == "*/*" || t == "*" || strings.EqualFold(t, mediaType):
			return true
		case strings.HasSuffix(t, "/*"):
			if n := len(t) - 1; len(mediaType) > n && strings.EqualFold(t[:n], mediaType[:n]) {
				return true
			}
		}
	}
	return false
}

// refused tells q=0, which means "not this" (RFC 3261 §20.1).
func refused(params string) bool {
	for params != "" {
		var p string
		p, params, _ = strings.Cut(params, ";")
		k, v, _ := strings.Cut(p, "=")
		if strings.EqualFold(strings.TrimSpace(k), "q") {
			q, err := strconv.ParseFloat(strings.TrimSpace(v), 64)
			return err == nil && q == 0
		}
	}
	return false
}

// optionalBody tells a body that may be ignored when it is not understood (RFC 3261
// §20.11).
func optionalBody(msg sip.Message) bool {
	_, params, _ := strings.Cut(sip.Value(msg, "Content-Disposition"), ";")
	for params != "" {
		var p string
		p, params, _ = strings.Cut(params, ";")
		k, v, _ := strings.Cut(p, "=")
		if strings.EqualFold(strings.TrimSpace(k), "handling") {
			return strings.EqualFold(strings.TrimSpace(v), "optional")
		}
	}
	return false
}

// hops is how many Via values a request has, that is through how many elements it
// came.
func hopCount(req *sip.Request) (n int) {
	for _, v := range sip.Values(req, "Via") {
		n += 1 + strings.Count(v, ",")
	}
	return n
}

func header(name, value string) sip.Header {
	h, err := sip.NewHeader(name, value)
	if err != nil { // every caller has checked the value: a token, a number, our own list
		return sip.MustHeader(name, "")
	}
	return h
}
