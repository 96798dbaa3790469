package identity

import (
	"errors"
	"fmt"
	"net/netip"
	"strings"
	"sync"
	"sync/atomic"

	"github.com/stoxgate/stoxgate/mapping"
	"github.com/stoxgate/stoxgate/sip"
	"github.com/stoxgate/stoxgate/xmpp"
)

// Reasons why an address is not translated. The error that wraps one also wraps a
// *sip.Status and a *xmpp.StanzaError, for errors.As: what each side is told.
var (
	// ErrNoUser tells that there is nobody behind an address, or nobody on the other network.
	ErrNoUser = errors.New("identity: no such user")
	// ErrRefused tells that the identity behind an address may not be reached.
	ErrRefused = errors.New("identity: may not be reached")
	// ErrOnXMPP tells that an XMPP user asked for somebody who is on XMPP; the stanza error
	// redirects there.
	ErrOnXMPP = errors.New("identity: is an XMPP user")
	// ErrScheme tells that a URI of that scheme is not translated.
	ErrScheme = errors.New("identity: URI scheme is not translated")
)

// refusal is an error that knows its answers.
type refusal struct {
	err    error
	status sip.Status
	stanza xmpp.StanzaError
}

func (r *refusal) Error() string { return r.err.Error() }

// Unwrap lets errors.Is and errors.As find the reason and both answers.
func (r *refusal) Unwrap() []error { return []error{r.err, &r.status, &r.stanza} }

func refuse(err error, code int, c xmpp.Condition, text string) error {
	return &refusal{err, sip.Status{Code: code, Reason: text}, xmpp.StanzaError{Type: c.DefaultType(), Condition: c, Text: text, Lang: "en"}}
}

func noUser(what string) error {
	return refuse(fmt.Errorf("%w: %s", ErrNoUser, what), 404, xmpp.ConditionItemNotFound, "")
}

// asRefusal gives errors of mapping and of the dial plan their answers.
func asRefusal(err error) error {
	switch {
	case err == nil:
		return nil
	case errors.Is(err, ErrEmergency):
		return refuse(err, 404, xmpp.ConditionNotAllowed, "Emergency numbers are not carried")
	case errors.Is(err, ErrShort):
		return refuse(err, 404, xmpp.ConditionItemNotFound, "Short numbers are not carried")
	case errors.Is(err, ErrNumber), errors.Is(err, mapping.ErrNumberMalformed), errors.Is(err, mapping.ErrNumberParameter):
		return refuse(err, 484, xmpp.ConditionItemNotFound, "Not a complete telephone number")
	}
	return &refusal{err, mapping.AddressStatus(err), mapping.AddressError(err)}
}

// AddressConfig tells whose addresses they are.
type AddressConfig struct {
	Component  string   // the gateway's XMPP domain
	SIPDomains []string // SIP domains that are ours; default: the component's domain
	Table      *Table
	Region     string // see Numbers
	Emergency  bool   // see Numbers

	ENUM     ENUM   // nil: no look-ups
	ENUMZone string // default e164.arpa
}

// Addresses translates addresses in both directions. It is safe for concurrent use, and
// nothing but LookupNumber waits for the network.
type Addresses struct {
	component string
	home      string // SIP domain of users that are written as user@component
	ours      map[string]bool
	table     *Table
	numbers   Numbers
	enum      ENUM
	enumZone  string
	spellings spellings
}

// NewAddresses checks the configuration. When the component's domain is one of the SIP
// domains it is their home, else the first SIP domain is.
func NewAddresses(cfg AddressConfig) (*Addresses, error) {
	self, err := xmpp.NewJID("", cfg.Component, "")
	if err != nil {
		return nil, fmt.Errorf("%w: component: %w", ErrInvalid, err)
	}
	if cfg.Table == nil {
		return nil, fmt.Errorf("%w: no identity table", ErrInvalid)
	}
	a := &Addresses{
		component: self.Domain(), ours: make(map[string]bool), table: cfg.Table,
		numbers: Numbers{Region: cfg.Region, Emergency: cfg.Emergency},
		enum:    cfg.ENUM, enumZone: cfg.ENUMZone,
	}
	if err := a.numbers.check(); err != nil {
		return nil, err
	}
	// The component's domain as a SIP host (A-labels).
	own, err := mapping.JIDToURI(self)
	if err != nil {
		return nil, fmt.Errorf("%w: component: %w", ErrInvalid, err)
	}
	if len(cfg.SIPDomains) == 0 {
		cfg.SIPDomains = []string{own.Host}
	}
	for _, d := range cfg.SIPDomains {
		u, err := sip.ParseURI("sip:" + d)
		if err != nil || u.Port != 0 || len(u.Params)+len(u.Headers) > 0 {
			return nil, fmt.Errorf("%w: SIP domain %q", ErrInvalid, d)
		}
		if a.home == "" || u.Host == own.Host {
			a.home = u.Host
		}
		a.ours[u.Host] = true
	}
	a.ours[own.Host] = true
	return a, nil
}

// isHome tells whether users of a SIP host are written as user@component.
func (a *Addresses) isHome(host string) bool { return host == a.home }

// ToSIP gives the SIP address that a JID of the component stands for:
//
//	+49…@component, 030…@component   sip:+49…@home;user=phone, or the first SIP address of
//	                                 the identity that has the number
//	user@component                   sip:user@home
//	user\40host@component            sip:user@host
//
// in the spelling of the identity that has it. The resource becomes gr.
func (a *Addresses) ToSIP(j xmpp.JID) (sip.URI, error) {
	local := j.Local()
	if j.Domain() != a.component || local == "" {
		return sip.URI{}, noUser(j.String() + " stands for no SIP user")
	}
	if n, ok := mapping.NumberFromLocalpart(local); ok {
		return a.numberToSIP(n)
	}
	u, foreign, err := mapping.ComponentToURI(j)
	if err != nil {
		return sip.URI{}, asRefusal(err)
	}
	if !foreign {
		if u, err = mapping.JIDToURI(j); err != nil {
			return sip.URI{}, asRefusal(err)
		}
		u.Host = a.home
	}
	if mapping.IsAnonymous(u) || !foreign && local == anonymous {
		return sip.URI{}, noUser("anonymous callers cannot be reached")
	}
	gr := u.Params // gr or nothing
	if id, ok := a.table.ByAOR(u); ok {
		if !id.Policy.CallIn {
			return sip.URI{}, notReachable(id)
		}
		u, _ = id.AOR(u)
		u.Params = gr
		return u, nil
	}
	if !foreign && isDialled(local) {
		if n, ok, err := a.dialled(local); ok || err != nil {
			if err != nil {
				return sip.URI{}, asRefusal(err)
			}
			return a.numberToSIP(n)
		}
	}
	return a.spellings.restore(u), nil
}

// anonymous is the localpart of every caller that hides.
const anonymous = "anonymous"

func notReachable(id *Identity) error {
	return refuse(fmt.Errorf("%w: %s", ErrRefused, id.ID), 403, xmpp.ConditionForbidden, "")
}

// dialled reads a user part of digits by the dial plan: ok is false when it is no number
// of the region, so that it may be an extension, and err when it must not be used.
func (a *Addresses) dialled(user string) (n mapping.Number, ok bool, err error) {
	if n, err = mapping.ParseNumber(user); err != nil {
		return n, false, nil
	}
	emergency := a.numbers.IsEmergency(n.Digits)
	if n, err = a.numbers.Global(n); emergency {
		n.Context = a.home
		return n, err == nil, err
	}
	return n, err == nil && n.IsGlobal(), nil
}

func (a *Addresses) numberToSIP(n mapping.Number) (sip.URI, error) {
	n, err := a.numbers.Global(n)
	if err != nil {
		return sip.URI{}, asRefusal(err)
	}
	if id, ok := a.table.ByNumber(n.Digits); ok && n.Ext == "" {
		switch {
		case !id.Policy.CallIn:
			return sip.URI{}, notReachable(id)
		case len(id.AORs) > 0:
			return id.AORs[0], nil
		case !id.JID.IsZero():
			err := refuse(fmt.Errorf("%w: %s", ErrOnXMPP, id.JID), 302, xmpp.ConditionRedirect, "")
			err.(*refusal).stanza.Address = "xmpp:" + id.JID.String()
			return sip.URI{}, err
		}
	}
	return n.SIPURI(a.home), nil
}

// ToXMPP gives the XMPP user whom a SIP address stands for: the JID of the identity that
// has the address or number, else by RFC 7247 §6.4 the JID of the same user and domain.
// The user of our own domain may be a whole XMPP address (sip:mira%40chat.example@home).
// Everybody else in our own domain is on SIP, so a request for one is not sent to XMPP,
// where it would come back: ErrNoUser. gr becomes the resource.
func (a *Addresses) ToXMPP(u sip.URI) (xmpp.JID, error) {
	switch u.Scheme {
	case "sip", "im", "pres", "tel":
	default: // sips: XMPP cannot promise TLS to the end (RFC 7247 §8)
		return xmpp.JID{}, refuse(fmt.Errorf("%w: %s", ErrScheme, u.Scheme), 416, xmpp.ConditionNotAcceptable, "")
	}
	if mapping.IsAnonymous(u) {
		return xmpp.JID{}, noUser("anonymous callers cannot be reached")
	}
	if _, err := netip.ParseAddr(strings.Trim(u.Host, "[]")); err == nil {
		// Carriers and phones write the address of the gateway where the domain belongs.
		u.Host, u.Port = a.home, 0
	}
	if id, ok := a.table.ByAOR(u); ok && u.Scheme != "tel" {
		return personOn(id, u)
	}
	if n, err := mapping.NumberFromURI(u); err == nil {
		n, err = a.numbers.Global(n)
		if id, ok := a.table.ByNumber(n.Digits); ok && err == nil && n.Ext == "" {
			return personOn(id, u)
		}
		if u.Scheme == "tel" || a.ours[u.Host] {
			if err == nil {
				err = noUser("nobody has the number " + n.Digits)
			}
			return xmpp.JID{}, asAny(err)
		}
	} else if u.Scheme == "tel" {
		return xmpp.JID{}, asRefusal(err)
	}
	if !a.ours[u.Host] {
		return a.byRFC(u)
	}

	user, err := sip.UnescapeUser(u.User)
	if err != nil {
		return xmpp.JID{}, asRefusal(fmt.Errorf("%w: %w", mapping.ErrAddressMalformed, err))
	}
	if at := strings.LastIndexByte(user, '@'); at > 0 {
		inner, err := sip.ParseURI("sip:" + sip.EscapeUser(user[:at]) + "@" + user[at+1:])
		if err != nil || len(inner.Headers) > 0 || a.ours[inner.Host] {
			return xmpp.JID{}, noUser(u.String())
		}
		inner.Params = u.Params
		if id, ok := a.table.ByAOR(inner); ok {
			return personOn(id, inner)
		}
		return a.byRFC(inner)
	}
	if isDialled(user) {
		if n, ok, err := a.dialled(user); err != nil {
			return xmpp.JID{}, asRefusal(err)
		} else if id, found := a.table.ByNumber(n.Digits); ok && found {
			return personOn(id, u)
		}
	}
	if !a.isHome(u.Host) && u.Host != a.component {
		// Another SIP domain of ours may be an XMPP domain too: the same name, two networks.
		return a.byRFC(u)
	}
	return xmpp.JID{}, noUser(u.String() + " is no XMPP user")
}

// asAny leaves refusals as they are.
func asAny(err error) error {
	var r *refusal
	if errors.As(err, &r) {
		return err
	}
	return asRefusal(err)
}

// byRFC is RFC 7247 §6.4.
func (a *Addresses) byRFC(u sip.URI) (xmpp.JID, error) {
	j, err := mapping.URIToJID(u)
	if err != nil {
		return xmpp.JID{}, asRefusal(err)
	}
	if j.Domain() == a.component {
		return xmpp.JID{}, noUser(u.String() + " is no XMPP user")
	}
	if id, ok := a.table.ByJID(j); ok && !id.Policy.CallIn {
		return xmpp.JID{}, notReachable(id)
	}
	return j, nil
}

// personOn gives the JID of an identity that was found by a SIP address.
func personOn(id *Identity, u sip.URI) (xmpp.JID, error) {
	switch {
	case !id.Policy.CallIn:
		return xmpp.JID{}, notReachable(id)
	case id.JID.IsZero():
		return xmpp.JID{}, noUser(id.ID + " is a phone only")
	}
	if gr := u.Params.Value("gr"); gr != "" {
		if full, err := id.JID.WithResource(gr); err == nil {
			return full, nil
		}
	}
	return id.JID, nil
}

// CallerToSIP gives what an XMPP user is shown as on SIP, towards an address: the first
// SIP address of the identity, or its first number towards a number, with its name; by
// RFC 7247 §6.5 without an identity. It has no resource. Who does not want to be shown is
// anonymous, and so is a JID that has no SIP form (mapping.ErrAddressAmbiguous), because
// its form would be somebody else's.
func (a *Addresses) CallerToSIP(j xmpp.JID, to sip.URI) sip.NameAddr {
	id, known := a.table.ByJID(j)
	if !known {
		u, err := mapping.JIDToURI(j.Bare())
		if err != nil {
			return anonymousAddr
		}
		return sip.NameAddr{URI: u}
	}
	if !id.Policy.ShowCallerID {
		return anonymousAddr
	}
	switch {
	case len(id.Numbers) > 0 && (len(id.AORs) == 0 || toNumber(to)):
		return sip.NameAddr{Display: id.Name, URI: mapping.Number{Digits: id.Numbers[0]}.SIPURI(a.home)}
	case len(id.AORs) > 0:
		return sip.NameAddr{Display: id.Name, URI: id.AORs[0]}
	}
	u, err := mapping.JIDToURI(id.JID)
	if err != nil {
		return anonymousAddr
	}
	return sip.NameAddr{Display: id.Name, URI: u}
}

var anonymousAddr = sip.NameAddr{Display: "Anonymous", URI: mapping.AnonymousURI()}

func toNumber(u sip.URI) bool {
	_, err := mapping.NumberFromURI(u)
	return err == nil
}

// CallerToXMPP gives the JID that stands for a SIP caller, always inside the component's
// domain; the inverse of ToSIP. Numbers are brought into E.164 form. The port is dropped,
// gr becomes the resource. An identity that does not want to be shown is anonymous.
func (a *Addresses) CallerToXMPP(u sip.URI) (xmpp.JID, error) {
	if id, ok := a.table.ByAOR(u); ok && u.Scheme != "tel" {
		if !id.Policy.ShowCallerID {
			return a.local(anonymous)
		}
		return a.inside(u)
	}
	if n, err := mapping.NumberFromURI(u); err == nil {
		if n, err = a.numbers.Global(n); err == nil {
			if id, ok := a.table.ByNumber(n.Digits); ok && n.Ext == "" && !id.Policy.ShowCallerID {
				return a.local(anonymous)
			}
		}
		// A caller may well have a number that nobody here could dial.
		if !n.IsGlobal() && n.Context == "" {
			if n.Context = u.Host; u.Scheme == "tel" {
				n.Context = a.home
			}
		}
		return a.local(n.Localpart())
	} else if u.Scheme == "tel" {
		return xmpp.JID{}, asRefusal(err)
	}
	if a.isHome(u.Host) && isDialled(u.User) {
		if n, ok, err := a.dialled(u.User); ok && err == nil && n.IsGlobal() {
			return a.local(n.Localpart())
		}
	}
	return a.inside(u)
}

// inside writes a SIP address that is no number as a JID of the component.
func (a *Addresses) inside(u sip.URI) (xmpp.JID, error) {
	a.spellings.note(u)
	if a.isHome(u.Host) {
		v := sip.URI{Scheme: "sip", User: u.User, Host: a.home, Params: u.Params}
		j, err := mapping.URIToJID(v)
		if err != nil {
			return xmpp.JID{}, asRefusal(err)
		}
		// A user that reads back as something else is written with its host.
		short, err := xmpp.NewJID(j.Local(), a.component, j.Resource())
		if err != nil {
			return xmpp.JID{}, asRefusal(fmt.Errorf("%w: %w", mapping.ErrAddressMalformed, err))
		}
		if _, foreign, _ := mapping.ComponentToURI(short); !foreign && short.Local() != anonymous {
			return short, nil
		}
	}
	j, err := mapping.URIToComponent(u, a.component)
	if err != nil {
		return xmpp.JID{}, asRefusal(err)
	}
	return j, nil
}

// local makes a JID of the component from a localpart that needs no escaping.
func (a *Addresses) local(s string) (xmpp.JID, error) {
	j, err := xmpp.NewJID(s, a.component, "")
	if err != nil {
		return xmpp.JID{}, asRefusal(fmt.Errorf("%w: %w", mapping.ErrAddressMalformed, err))
	}
	return j, nil
}

// Canonical gives one SIP address for all that stand for the same JID: what ToSIP makes
// of CallerToXMPP. A carrier's sip:+49…@carrier is sip:+49…@home;user=phone, so that both
// directions of a conversation meet.
func (a *Addresses) Canonical(u sip.URI) (sip.URI, error) {
	j, err := a.CallerToXMPP(u)
	if err != nil {
		return sip.URI{}, err
	}
	return a.ToSIP(j)
}

// Prompt reads what a person types to find a contact (jabber:iq:gateway, XEP-0100 §6.3):
// a SIP or tel URI, user@host, a telephone number in any form, a user of the home domain,
// or a JID of the component. It returns the canonical JID.
func (a *Addresses) Prompt(input string) (xmpp.JID, error) {
	input = strings.TrimSpace(input)
	if input == "" || len(input) > 1024 {
		return xmpp.JID{}, noUser("nothing was typed")
	}
	scheme, rest, hasScheme := strings.Cut(input, ":")
	switch scheme = strings.ToLower(scheme); {
	case hasScheme && (scheme == "sip" || scheme == "sips" || scheme == "im" || scheme == "pres"):
		u, err := sip.ParseURI(input)
		if err != nil || u.User == "" {
			return xmpp.JID{}, asRefusal(fmt.Errorf("%w: %.80q", mapping.ErrAddressMalformed, input))
		}
		u.Scheme = "sip" // the answer is a JID, which promises nothing of the way
		return a.reachable(u)
	case hasScheme && scheme == "tel":
		n, err := mapping.ParseNumber(rest)
		if err != nil {
			return xmpp.JID{}, asRefusal(err)
		}
		return a.numberJID(n)
	case hasScheme && scheme == "xmpp":
		input = rest
	}
	if j, err := xmpp.ParseJID(input); err == nil && j.Domain() == a.component && j.Local() != "" {
		u, err := a.ToSIP(j)
		if err != nil {
			return xmpp.JID{}, err
		}
		u.Params.Del("gr")
		return a.CallerToXMPP(u)
	}
	if at := strings.LastIndexByte(input, '@'); at >= 0 {
		u, err := sip.ParseURI("sip:" + sip.EscapeUser(input[:at]) + "@" + input[at+1:])
		if err != nil {
			return xmpp.JID{}, asRefusal(fmt.Errorf("%w: %.80q", mapping.ErrAddressMalformed, input))
		}
		return a.reachable(u)
	}
	home := sip.URI{Scheme: "sip", User: sip.EscapeUser(input), Host: a.home}
	if _, ok := a.table.ByAOR(home); !ok {
		if n, err := mapping.ParseNumber(input); err == nil {
			return a.numberJID(n)
		}
	}
	return a.reachable(home)
}

func (a *Addresses) numberJID(n mapping.Number) (xmpp.JID, error) {
	n, err := a.numbers.Global(n)
	if err != nil {
		return xmpp.JID{}, asRefusal(err)
	}
	if !n.IsGlobal() && n.Context == "" {
		n.Context = a.home
	}
	return a.local(n.Localpart())
}

// reachable gives the JID of a SIP address after the way back has been tried.
func (a *Addresses) reachable(u sip.URI) (xmpp.JID, error) {
	j, err := a.CallerToXMPP(u)
	if err != nil {
		return xmpp.JID{}, err
	}
	j = j.Bare()
	if _, err := a.ToSIP(j); err != nil {
		return xmpp.JID{}, err
	}
	return j, nil
}

// spellings keeps how SIP users with capital letters write themselves: a localpart is
// lower case, but the user part of a SIP URI is compared with case, so the way back needs
// the first spelling that was seen (core.md §2.8). Few have capitals, and it is bounded;
// what it forgets is written in lower case, which most servers take.
type spellings struct {
	used atomic.Bool
	mu   sync.Mutex
	m    map[aorKey]string
}

const maxSpellings = 4096

func (s *spellings) note(u sip.URI) {
	if strings.ToLower(u.User) == u.User {
		return
	}
	k := keyOf(u)
	s.mu.Lock()
	defer s.mu.Unlock()
	if _, known := s.m[k]; known || len(s.m) >= maxSpellings {
		return
	}
	if s.m == nil {
		s.m = make(map[aorKey]string)
	}
	s.m[k] = u.AOR().User
	s.used.Store(true)
}

func (s *spellings) restore(u sip.URI) sip.URI {
	if !s.used.Load() {
		return u
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if user, ok := s.m[keyOf(u)]; ok {
		u.User = user
	}
	return u
}
