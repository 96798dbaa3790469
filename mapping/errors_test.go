package mapping

import (
	"fmt"
	"strings"
	"testing"
	"time"
	"unicode/utf8"

	"github.com/stoxgate/stoxgate/sip"
	"github.com/stoxgate/stoxgate/xmpp"
)

// The tables of RFC 7247 §7 as text, so that a change of a row is seen twice.
const conditionTable = `
bad-request 400 400
conflict 400 400
feature-not-implemented 405 501
forbidden 403 603
gone 410 410
internal-server-error 500 500
item-not-found 404 604
jid-malformed 400 400
not-acceptable 406 606
not-allowed 403 403
not-authorized 403 403
policy-violation 403 403
recipient-unavailable 480 600
redirect 480 480
registration-required 403 403
remote-server-not-found 404 404
remote-server-timeout 408 408
resource-constraint 500 500
service-unavailable 480 480
subscription-required 400 400
undefined-condition 400 400
unexpected-request 400 400
`

func TestStanzaErrorToStatusTable(t *testing.T) {
	var got strings.Builder
	got.WriteByte('\n')
	for _, c := range xmpp.AllConditions {
		e := *xmpp.NewStanzaError(c, "")
		fmt.Fprintln(&got, c, StanzaErrorToStatus(e, ErrorContext{FullJID: true}).Code, StanzaErrorToStatus(e, ErrorContext{}).Code)
		if call := StanzaErrorToStatus(e, ErrorContext{Call: true}).Code; call >= 600 {
			t.Errorf("%s: a call got %d, which ends every branch of a fork", c, call)
		}
	}
	if got.String() != conditionTable {
		t.Errorf("got:%s", got.String())
	}
	if len(Conditions()) != len(xmpp.AllConditions) {
		t.Errorf("%d rows for %d conditions", len(Conditions()), len(xmpp.AllConditions))
	}
}

func TestStanzaErrorToStatusNotes(t *testing.T) {
	e := func(c xmpp.Condition, address string) xmpp.StanzaError {
		return xmpp.StanzaError{Condition: c, Address: address}
	}
	app := func(c xmpp.Condition, code string) xmpp.StanzaError {
		return xmpp.StanzaError{Condition: c, App: xmpp.NewElement(NSStatus, "sip").Set("code", code)}
	}
	tests := []struct {
		name    string
		err     xmpp.StanzaError
		ctx     ErrorContext
		code    int
		headers string
	}{
		{"a device", e(xmpp.ConditionFeatureNotImplemented, ""), ErrorContext{FullJID: true}, 405, "Allow: MESSAGE, OPTIONS"},
		{"a Allow", e(xmpp.ConditionFeatureNotImplemented, ""), ErrorContext{FullJID: true, Allow: "INVITE"}, 405, "Allow: INVITE"},
		{"a bad Allow", e(xmpp.ConditionFeatureNotImplemented, ""), ErrorContext{FullJID: true, Allow: "a\r\nb"}, 405, "Allow: MESSAGE, OPTIONS"},
		{"c sip", e(xmpp.ConditionGone, "sip:new@h.example"), ErrorContext{}, 301, "Contact: <sip:new@h.example>"},
		{"c xmpp", e(xmpp.ConditionGone, `xmpp:o%5C27hara@h.example?message`), ErrorContext{}, 301, "Contact: <sip:o'hara@h.example>"},
		{"c xmpp authority", e(xmpp.ConditionGone, `xmpp://new@h.example`), ErrorContext{}, 301, "Contact: <sip:new@h.example>"},
		{"c bad", e(xmpp.ConditionGone, "xmpp:@"), ErrorContext{}, 410, ""},
		{"c injection", e(xmpp.ConditionGone, "sip:a@b\r\nX-Evil: 1"), ErrorContext{}, 410, ""},
		{"redirect", e(xmpp.ConditionRedirect, "tel:+4930"), ErrorContext{}, 302, "Contact: <tel:+4930>"},
		{"d", e(xmpp.ConditionRemoteServerNotFound, ""), ErrorContext{Unreachable: true}, 408, ""},
		{"e query", e(xmpp.ConditionServiceUnavailable, ""), ErrorContext{Query: true}, 405, "Allow: MESSAGE, OPTIONS"},
		{"e call", e(xmpp.ConditionServiceUnavailable, ""), ErrorContext{Query: true, Call: true}, 480, ""},
		{"glare", e(xmpp.ConditionUnexpectedRequest, ""), ErrorContext{Glare: true}, 491, ""},
		{"challenge", e(xmpp.ConditionNotAuthorized, ""), ErrorContext{Challenge: `Digest realm="x"`}, 401, `WWW-Authenticate: Digest realm="x"`},
		{"proxy", e(xmpp.ConditionRegistrationRequired, ""), ErrorContext{Challenge: `Digest realm="x"`}, 407, `Proxy-Authenticate: Digest realm="x"`},
		{"bad challenge", e(xmpp.ConditionNotAuthorized, ""), ErrorContext{Challenge: "a\r\nb"}, 403, ""},
		{"unknown condition", e("payment-required", ""), ErrorContext{}, 400, ""},
		{"no condition", e("", ""), ErrorContext{}, 400, ""},
		{"exact", app(xmpp.ConditionNotAcceptable, "483"), ErrorContext{}, 483, ""},
		{"exact contradicts", app(xmpp.ConditionForbidden, "483"), ErrorContext{}, 603, ""},
		{"exact 6xx in a call", app(xmpp.ConditionRecipientUnavailable, "603"), ErrorContext{Call: true}, 480, ""},
		{"exact 6xx", app(xmpp.ConditionRecipientUnavailable, "603"), ErrorContext{}, 603, ""},
		{"exact without challenge", app(xmpp.ConditionNotAuthorized, "401"), ErrorContext{}, 403, ""},
		{"exact 503", app(xmpp.ConditionInternalServerError, "503"), ErrorContext{}, 500, ""},
		{"exact nonsense", app(xmpp.ConditionNotAcceptable, "2000"), ErrorContext{FullJID: true}, 406, ""},
		{"exact 200", app(xmpp.ConditionUndefinedCondition, "200"), ErrorContext{}, 400, ""},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			s := StanzaErrorToStatus(tt.err, tt.ctx)
			var h []string
			for _, x := range s.Headers {
				h = append(h, x.Name()+": "+x.Value())
			}
			if s.Code != tt.code || strings.Join(h, "|") != tt.headers {
				t.Fatalf("%d %q", s.Code, h)
			}
		})
	}
	if s := StanzaErrorToStatus(e(xmpp.ConditionResourceConstraint, ""), ErrorContext{}); s.RetryAfter != retryLater {
		t.Error("no Retry-After")
	}
	s := StanzaErrorToStatus(xmpp.StanzaError{Condition: xmpp.ConditionForbidden, Text: "no\r\nX: 1 " + strings.Repeat("é", 300)}, ErrorContext{})
	if len(s.Reason) > maxReason || strings.ContainsAny(s.Reason, "\r\n") || !utf8.ValidString(s.Reason) || !strings.HasPrefix(s.Reason, "no X: 1 é") {
		t.Errorf("%q", s.Reason)
	}
}

const statusTable = `
300 redirect modify
301 gone cancel
302 redirect modify
305 redirect modify
380 not-acceptable modify
399 redirect modify
400 bad-request modify
401 not-authorized auth
402 bad-request modify
403 forbidden auth
404 item-not-found cancel
405 feature-not-implemented cancel
406 not-acceptable modify
407 registration-required auth
408 remote-server-timeout wait
409 bad-request modify
410 gone cancel
413 policy-violation modify
414 policy-violation modify
415 not-acceptable modify
416 not-acceptable modify
420 feature-not-implemented cancel
421 not-acceptable modify
423 resource-constraint wait
424 forbidden auth
428 forbidden auth
429 forbidden auth
430 recipient-unavailable wait
433 forbidden auth
436 forbidden auth
437 forbidden auth
438 forbidden auth
439 feature-not-implemented cancel
440 policy-violation modify
469 policy-violation modify
470 policy-violation modify
480 recipient-unavailable wait
481 item-not-found cancel
482 not-acceptable modify
483 not-acceptable modify
484 item-not-found cancel
485 item-not-found cancel
486 recipient-unavailable wait
487 recipient-unavailable wait
488 not-acceptable modify
489 policy-violation modify
491 unexpected-request wait
493 bad-request modify
494 not-acceptable modify
500 internal-server-error cancel
501 feature-not-implemented cancel
502 remote-server-not-found cancel
503 internal-server-error cancel
504 remote-server-timeout wait
505 not-acceptable modify
513 policy-violation modify
555 internal-server-error cancel
580 not-acceptable modify
600 recipient-unavailable wait
603 recipient-unavailable wait
604 item-not-found cancel
606 not-acceptable modify
607 forbidden auth
608 policy-violation modify
699 service-unavailable cancel
`

func TestStatusToStanzaErrorTable(t *testing.T) {
	var got strings.Builder
	got.WriteByte('\n')
	named := map[int]bool{399: true, 409: true, 555: true, 699: true}
	for _, r := range Statuses() {
		named[r.Code] = true
	}
	for code := 300; code <= 699; code++ {
		e := StatusToStanzaError(sip.Status{Code: code})
		if named[code] {
			fmt.Fprintln(&got, code, e.Condition, e.Type)
		} else if class := statusRow(code / 100 * 100); e.Condition != statusRow(code).Condition || !statusRow(code).Class && class.Code != code {
			t.Errorf("%d is neither a row nor its class", code)
		}
		if e.Text == "" || e.Lang != "en" || e.App.Attribute("code") != fmt.Sprint(code) {
			t.Errorf("%d: %+v", code, e)
		}
	}
	if got.String() != statusTable {
		t.Errorf("got:%s", got.String())
	}
}

func TestStatusToStanzaErrorDetails(t *testing.T) {
	contact := sip.MustHeader("Contact", `"New" <sip:new@h.example>;q=1, <sip:other@h.example>`)
	for code, want := range map[int]string{301: "sip:new@h.example", 302: "sip:new@h.example", 399: "sip:new@h.example", 410: "", 404: "", 380: ""} {
		if e := StatusToStanzaError(sip.Status{Code: code, Headers: []sip.Header{contact}}); e.Address != want {
			t.Errorf("%d: address %q", code, e.Address)
		}
	}
	if e := StatusToStanzaError(sip.Status{Code: 503, RetryAfter: time.Minute}); e.Type != xmpp.ErrorWait {
		t.Errorf("503 with Retry-After: %s", e.Type)
	}
	for _, code := range []int{0, 100, 200, 299, 700, -1} {
		if e := StatusToStanzaError(sip.Status{Code: code}); e.Condition != xmpp.ConditionUndefinedCondition {
			t.Errorf("%d: %s", code, e.Condition)
		}
	}
	if e := StatusToStanzaError(sip.Status{Code: 480, Reason: "gone\x00fishing"}); e.Text != "gone fishing" {
		t.Errorf("%q", e.Text)
	}
}

// A failure that crosses XMPP between two gateways is the same failure behind it.
func TestStatusRoundTrip(t *testing.T) {
	for code := 400; code <= 699; code++ {
		switch code {
		case 401, 407, 410, 503:
			continue // need headers, or are told apart by an address
		}
		e := StatusToStanzaError(sip.Status{Code: code})
		parsed := xmpp.ParseStanzaError(e.Element(xmpp.NSClient))
		if s := StanzaErrorToStatus(*parsed, ErrorContext{}); s.Code != code {
			t.Errorf("%d came back as %d", code, s.Code)
		}
	}
}

func TestFailures(t *testing.T) {
	for f, want := range map[Failure]xmpp.Condition{
		FailureTimeout: xmpp.ConditionRemoteServerTimeout, FailureResolve: xmpp.ConditionRemoteServerNotFound,
		FailureTransport: xmpp.ConditionRemoteServerNotFound, 0: xmpp.ConditionRemoteServerNotFound,
	} {
		if e := FailureToStanzaError(f); e.Condition != want || e.Type != want.DefaultType() || e.Text == "" {
			t.Errorf("%d: %+v", f, e)
		}
	}
}
