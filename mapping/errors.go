package mapping

import (
	"strconv"
	"strings"
	"time"
	"unicode/utf8"

	"github.com/stoxgate/stoxgate/sip"
	"github.com/stoxgate/stoxgate/xmpp"
)

// The tables of RFC 7247 §7 are in errortables.go; here they are carried out.

const (
	// NSStatus qualifies the element <sip code='…'/> that keeps the exact SIP status inside a stanza error
	// (RFC 6120 §8.3.4, application-specific condition). The tables fold many codes into one condition; with
	// it, a failure that crosses two gateways is still the same failure.
	NSStatus = "urn:stoxgate:sip-status:0"
	// maxReason bounds texts that are copied between <text/> and Reason-Phrase, in bytes.
	maxReason = 200
	// retryLater is the Retry-After of an overload that names none.
	retryLater = 30 * time.Second
)

// ErrorContext is what the table of RFC 7247 §7.1 needs to know besides the condition.
type ErrorContext struct {
	FullJID     bool   // a device answered, not the account (notes a and b)
	Call        bool   // the request was an INVITE: 6xx would cancel the other branches of a fork
	Query       bool   // the error answered an IQ that stands for the SIP method itself
	Glare       bool   // the same request may be repeated after a short wait (491)
	Unreachable bool   // the remote server exists and could not be reached (note d)
	Allow       string // value of Allow in a 405; default "MESSAGE, OPTIONS"
	Challenge   string // value of WWW-Authenticate or Proxy-Authenticate; without it 401 and 407 become 403
}

// StanzaErrorToStatus maps an XMPP error to the SIP answer (RFC 7247 §7.1). It is total: what is no condition
// of RFC 6120 counts as undefined-condition. The text of the error becomes the Reason-Phrase.
func StanzaErrorToStatus(e xmpp.StanzaError, ctx ErrorContext) sip.Status {
	row := conditionRow(e.Condition)
	s := sip.Status{Code: row.Account, Reason: cleanLine(e.Text, maxReason)}
	if ctx.FullJID || ctx.Call {
		s.Code = row.Device
	}
	switch row.Condition {
	case xmpp.ConditionGone, xmpp.ConditionRedirect:
		redirect(&s, e)
	case xmpp.ConditionRemoteServerNotFound:
		if ctx.Unreachable {
			s.Code = 408
		}
	case xmpp.ConditionServiceUnavailable:
		if ctx.Query && !ctx.Call {
			s.Code = 405
		}
	case xmpp.ConditionUnexpectedRequest:
		if ctx.Glare {
			s.Code = 491
		}
	case xmpp.ConditionResourceConstraint:
		s.RetryAfter = retryLater
	case xmpp.ConditionNotAuthorized, xmpp.ConditionRegistrationRequired:
		challenge(&s, ctx)
	}
	if code := exactCode(e); code != 0 && !(ctx.Call && code >= 600) {
		s.Code = code
	}
	if s.Code == 405 {
		// RFC 3261 §8.2.1: a 405 must say what is allowed.
		s.Headers = append(s.Headers, header("Allow", ctx.Allow, "MESSAGE, OPTIONS"))
	}
	return s
}

// redirect carries out note c and the same rule for <redirect/>: with a new address the answer is a
// redirection to it, without one it is a plain failure.
func redirect(s *sip.Status, e xmpp.StanzaError) {
	contact, ok := contactOf(e.Address)
	if !ok {
		if e.Condition == xmpp.ConditionRedirect {
			s.Code = 480 // a redirection must name where to (RFC 3261 §8.1.3.4)
		}
		return
	}
	if e.Condition == xmpp.ConditionGone {
		s.Code = 301
	}
	s.Headers = append(s.Headers, sip.NewContact(contact))
}

// contactOf reads the URI of a gone or redirect. An xmpp: URI becomes the sip: URI of the same address, since
// no SIP client could use it.
func contactOf(address string) (sip.NameAddr, bool) {
	address = strings.TrimSpace(address)
	if address == "" {
		return sip.NameAddr{}, false
	}
	if len(address) > 5 && strings.EqualFold(address[:5], "xmpp:") {
		path, _, _ := strings.Cut(strings.TrimPrefix(address[5:], "//"), "?")
		if plain, err := sip.UnescapeUser(path); err == nil {
			path = plain
		}
		j, err := xmpp.ParseJID(path)
		if err != nil {
			return sip.NameAddr{}, false
		}
		u, err := JIDToURI(j)
		return sip.NameAddr{URI: u}, err == nil
	}
	u, err := sip.ParseURI(address)
	return sip.NameAddr{URI: u}, err == nil
}

func challenge(s *sip.Status, ctx ErrorContext) {
	if ctx.Challenge == "" {
		s.Code = 403 // RFC 3261 §22.1: no 401 without WWW-Authenticate
		return
	}
	name := "WWW-Authenticate"
	if s.Code == 407 {
		name = "Proxy-Authenticate"
	}
	h, err := sip.NewHeader(name, ctx.Challenge)
	if err != nil {
		s.Code = 403
		return
	}
	s.Headers = append(s.Headers, h)
}

// exactCode is the code that a StatusToStanzaError elsewhere put into the error. It counts only where the
// table maps it to the very condition of the error, so it refines and never contradicts; and never for codes
// whose answer needs headers that are not at hand.
func exactCode(e xmpp.StanzaError) int {
	if !e.App.Is(NSStatus, "sip") {
		return 0
	}
	code, err := strconv.Atoi(e.App.Attribute("code"))
	if err != nil || code < 400 || code > 699 || code == 401 || code == 407 || code == 503 {
		return 0
	}
	if statusRow(code).Condition != e.Condition {
		return 0
	}
	return code
}

func header(name, value, fallback string) sip.Header {
	if value == "" {
		value = fallback
	}
	h, err := sip.NewHeader(name, value)
	if err != nil {
		h = sip.MustHeader(name, fallback)
	}
	return h
}

// StatusToStanzaError maps a SIP failure to the XMPP error for the sender (RFC 7247 §7.2). It is total: a code
// without a row of its own counts as its class, and what is no failure as undefined-condition. The
// Reason-Phrase becomes the text; the first Contact of a 301 or another redirection becomes the new address.
func StatusToStanzaError(s sip.Status) xmpp.StanzaError {
	row := statusRow(s.Code)
	e := xmpp.StanzaError{Type: row.Type, Condition: row.Condition, Lang: "en", Text: cleanLine(s.Phrase(), maxReason)}
	if s.Code >= 300 && s.Code <= 699 {
		e.App = xmpp.NewElement(NSStatus, "sip").Set("code", strconv.Itoa(s.Code))
	}
	switch {
	case s.Code != 410 && (e.Condition == xmpp.ConditionGone || e.Condition == xmpp.ConditionRedirect):
		e.Address = firstContact(s.Headers)
	case s.RetryAfter > 0 && e.Type == xmpp.ErrorCancel && s.Code >= 500:
		// The other side says that it will work again, so it is no reason to give up.
		e.Type = xmpp.ErrorWait
	}
	return e
}

func firstContact(headers []sip.Header) string {
	for _, h := range headers {
		if strings.EqualFold(h.Name(), "Contact") || strings.EqualFold(h.Name(), "m") {
			if list, err := sip.ParseNameAddrs(h.Value()); err == nil {
				return list[0].URI.String()
			}
		}
	}
	return ""
}

// Failure is a request that no SIP answer came to.
type Failure uint8

const (
	// FailureTimeout: no answer in time (RFC 3261 timer F).
	FailureTimeout Failure = iota + 1
	// FailureResolve: no address of the next hop could be found.
	FailureResolve
	// FailureTransport: the next hop could not be reached or broke the connection.
	FailureTransport
)

// FailureToStanzaError maps what happened without an answer to the XMPP error for the sender.
func FailureToStanzaError(f Failure) xmpp.StanzaError {
	e := xmpp.StanzaError{Condition: xmpp.ConditionRemoteServerNotFound, Lang: "en"}
	switch f {
	case FailureTimeout:
		e.Condition, e.Text = xmpp.ConditionRemoteServerTimeout, "no answer from the SIP side"
	case FailureResolve:
		e.Text = "the SIP domain was not found"
	default:
		e.Text = "the SIP server could not be reached"
	}
	e.Type = e.Condition.DefaultType()
	return e
}

// stanzaError builds an error for the sender of a stanza, with an English text.
func stanzaError(c xmpp.Condition, text string) *xmpp.StanzaError {
	e := xmpp.NewStanzaError(c, text)
	e.Lang = "en"
	return e
}

// validReason keeps a Reason-Phrase of ours inside its bounds; it is for texts with foreign parts in them.
func validReason(s string) string {
	if len(s) <= maxReason && utf8.ValidString(s) {
		return s
	}
	return cleanLine(s, maxReason)
}
