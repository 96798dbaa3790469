package identity

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"testing"

	"pgregory.net/rapid"

	"github.com/stoxgate/stoxgate/mapping"
	"github.com/stoxgate/stoxgate/sip"
	"github.com/stoxgate/stoxgate/xmpp"
)

const component = "sip.harbor.example"

// people are the identities of these tests:
//
//	mira   is on XMPP with an address in a foreign SIP domain and one in ours, and numbers
//	otto   is a phone only
//	eva    is on XMPP with a number and no SIP address
//	hidden does not show its caller id
//	closed may not be reached
func people(t testing.TB) *Table {
	tab := newTable(t, nil)
	add(t, tab, Identity{
		ID: "mira", JID: jid("mira@chat.harbor.example"), Name: "Mira", Policy: AllowAll,
		AORs: []sip.URI{aor(t, "Mira@"+component), aor(t, "m@voice.quay.example")}, Numbers: []string{"+4930123456", "+4930123457"},
	}, "")
	add(t, tab, Identity{ID: "otto", AORs: []sip.URI{aor(t, "otto@"+component), aor(t, "100@"+component)}, Policy: AllowAll}, "")
	add(t, tab, Identity{ID: "eva", JID: jid("eva@chat.harbor.example"), Numbers: []string{"+4930123458"}, Policy: AllowAll}, "")
	add(t, tab, Identity{
		ID: "hidden", JID: jid("hidden@chat.harbor.example"), AORs: []sip.URI{aor(t, "hidden@"+component)},
		Numbers: []string{"+4930123459"}, Policy: Policy{CallOut: true, CallIn: true},
	}, "")
	add(t, tab, Identity{
		ID: "closed", JID: jid("closed@chat.harbor.example"), AORs: []sip.URI{aor(t, "closed@"+component)},
		Numbers: []string{"+4930123460"}, Policy: Policy{CallOut: true, ShowCallerID: true},
	}, "")
	return tab
}

func addresses(t testing.TB, change func(*AddressConfig)) *Addresses {
	t.Helper()
	cfg := AddressConfig{Component: component, Table: people(t), Region: "DE"}
	if change != nil {
		change(&cfg)
	}
	a, err := NewAddresses(cfg)
	if err != nil {
		t.Fatal(err)
	}
	return a
}

// answers checks that an error knows what both sides are told.
func answers(t *testing.T, what string, err error, code int, c xmpp.Condition) {
	t.Helper()
	var status *sip.Status
	var stanza *xmpp.StanzaError
	if !errors.As(err, &status) || !errors.As(err, &stanza) {
		t.Errorf("%s: %v has no answers", what, err)
		return
	}
	if status.Code != code || stanza.Condition != c || stanza.Type == "" {
		t.Errorf("%s: %d and %s, want %d and %s (%v)", what, status.Code, stanza.Condition, code, c, err)
	}
}

func TestToSIP(t *testing.T) {
	a := addresses(t, nil)
	for _, c := range []struct{ jid, want string }{
		{"otto@sip.harbor.example", "sip:otto@sip.harbor.example"},
		{"anna@sip.harbor.example", "sip:anna@sip.harbor.example"},
		{"MIRA@sip.harbor.example/desk top", "sip:Mira@sip.harbor.example;gr=desk%20top"},
		{`m\40voice.quay.example@sip.harbor.example`, "sip:m@voice.quay.example"},
		{`otto\40voice.quay.example@sip.harbor.example/x`, "sip:otto@voice.quay.example;gr=x"},
		{`o\27hara@sip.harbor.example`, "sip:o'hara@sip.harbor.example"},
		{`rock\26roll\2flive\40voice.quay.example@sip.harbor.example`, "sip:rock&roll/live@voice.quay.example"},
		{`jürgen\40voice.quay.example@sip.harbor.example`, "sip:j%C3%BCrgen@voice.quay.example"},
		{`a\40b.example\40gw.harbor.example@sip.harbor.example`, "sip:a%40b.example@gw.harbor.example"},
		{"50%25@sip.harbor.example", "sip:50%2525@sip.harbor.example"},
		// Numbers.
		{"+49(30)1234567@sip.harbor.example", "sip:+49301234567@sip.harbor.example;user=phone"},
		{"+442079460148;ext=12@sip.harbor.example", "sip:+442079460148;ext=12@sip.harbor.example;user=phone"},
		{"0301234567@sip.harbor.example", "sip:+49301234567@sip.harbor.example;user=phone"},
		{"00442079460148@sip.harbor.example", "sip:+442079460148@sip.harbor.example;user=phone"},
		// A number of an identity: its phones. A user of digits that somebody has, an extension, a word.
		{"+4930123457@sip.harbor.example", "sip:Mira@sip.harbor.example"},
		{"100@sip.harbor.example", "sip:100@sip.harbor.example"},
		{"4711@sip.harbor.example", "sip:4711@sip.harbor.example"},
	} {
		got, err := a.ToSIP(jid(c.jid))
		if err != nil || got.String() != c.want {
			t.Errorf("%s\n got %s %v\nwant %s", c.jid, got, err, c.want)
		}
	}
	for _, c := range []struct {
		jid       string
		reason    error
		code      int
		condition xmpp.Condition
	}{
		{"mira@chat.harbor.example", ErrNoUser, 404, xmpp.ConditionItemNotFound},
		{"sip.harbor.example", ErrNoUser, 404, xmpp.ConditionItemNotFound},
		{"anonymous@sip.harbor.example", ErrNoUser, 404, xmpp.ConditionItemNotFound},
		{`x\40anonymous.invalid@sip.harbor.example`, ErrNoUser, 404, xmpp.ConditionItemNotFound},
		{"112@sip.harbor.example", ErrEmergency, 404, xmpp.ConditionNotAllowed},
		{"110@sip.harbor.example", ErrEmergency, 404, xmpp.ConditionNotAllowed},
		{"112;phone-context=sip.harbor.example@sip.harbor.example", ErrEmergency, 404, xmpp.ConditionNotAllowed},
		{"115;phone-context=sip.harbor.example@sip.harbor.example", ErrShort, 404, xmpp.ConditionItemNotFound},
		{"+112@sip.harbor.example", ErrNumber, 484, xmpp.ConditionItemNotFound},
		{"+49112@sip.harbor.example", ErrNumber, 484, xmpp.ConditionItemNotFound},
		{`m\40not a host@sip.harbor.example`, nil, 0, ""},
		{`m\40a_b=c@sip.harbor.example`, mapping.ErrAddressMalformed, 400, xmpp.ConditionJIDMalformed},
		{"closed@sip.harbor.example", ErrRefused, 403, xmpp.ConditionForbidden},
		{"+4930123460@sip.harbor.example", ErrRefused, 403, xmpp.ConditionForbidden},
		{"+4930123458@sip.harbor.example", ErrOnXMPP, 302, xmpp.ConditionRedirect},
	} {
		j, err := xmpp.ParseJID(c.jid)
		if err != nil {
			if c.reason != nil {
				t.Error(err)
			}
			continue
		}
		u, err := a.ToSIP(j)
		if !errors.Is(err, c.reason) {
			t.Errorf("%s: %s, %v", c.jid, u, err)
			continue
		}
		answers(t, c.jid, err, c.code, c.condition)
	}
	_, err := a.ToSIP(jid("+4930123458@sip.harbor.example"))
	var stanza *xmpp.StanzaError
	if !errors.As(err, &stanza) || stanza.Address != "xmpp:eva@chat.harbor.example" {
		t.Errorf("no redirect: %v", err)
	}
}

func TestToXMPP(t *testing.T) {
	a := addresses(t, nil)
	for _, c := range []struct{ uri, want string }{
		// RFC 7247 §6.4, the vectors of core.md §2.7.
		{"sip:mira@chat.harbor.example", "mira@chat.harbor.example"},
		{"sip:o%27hara@voice.quay.example", `o\27hara@voice.quay.example`},
		{"sip:rock%26roll%2flive@voice.quay.example", `rock\26roll\2flive@voice.quay.example`},
		{"sip:caf%C3%A9@voice.quay.example", "café@voice.quay.example"},
		{"sip:a%40b.example@gw.harbor.example", `a\40b.example@gw.harbor.example`},
		{"sip:dom%5cuser@h.example", `dom\user@h.example`},
		{"sip:dom%5c20x@h.example", `dom\5c20x@h.example`},
		{"sip:mira@chat.harbor.example;gr=desk%20top", "mira@chat.harbor.example/desk top"},
		{"sip:mira@chat.harbor.example;gr", "mira@chat.harbor.example"},
		{"im:mira@chat.harbor.example", "mira@chat.harbor.example"},
		{"SIP:chat.harbor.example", "chat.harbor.example"},
		{"sip:x@xn--bcher-kva.example", "x@bücher.example"},
		// Identities, by every address.
		{"sip:mira@sip.harbor.example", "mira@chat.harbor.example"},
		{"sip:MIRA@sip.harbor.example;gr=phone", "mira@chat.harbor.example/phone"},
		{"sip:m@voice.quay.example:5060;transport=tcp", "mira@chat.harbor.example"},
		{"tel:+49-30-123456", "mira@chat.harbor.example"},
		{"sip:+4930123457@sip.harbor.example;user=phone", "mira@chat.harbor.example"},
		{"sip:+4930123457@203.0.113.7:5060", "mira@chat.harbor.example"},
		{"sip:+4930123457@carrier.example", "mira@chat.harbor.example"},
		{"sip:030123458@sip.harbor.example", "eva@chat.harbor.example"},
		{"sip:030123458@carrier.example;user=phone", "eva@chat.harbor.example"},
		{"sip:mira@203.0.113.7", "mira@chat.harbor.example"},
		{"sip:hidden@sip.harbor.example", "hidden@chat.harbor.example"},
		// An XMPP address as the user.
		{"sip:anna%40chat.harbor.example@sip.harbor.example;gr=x", "anna@chat.harbor.example/x"},
		{"sip:anna%40chat.harbor.example@[2001:db8::7]", "anna@chat.harbor.example"},
		{"sip:m%40voice.quay.example@sip.harbor.example", "mira@chat.harbor.example"},
	} {
		u, err := sip.ParseURI(c.uri)
		if err != nil {
			t.Error(err)
			continue
		}
		got, err := a.ToXMPP(u)
		if err != nil || got.String() != c.want {
			t.Errorf("%s\n got %s %v\nwant %s", c.uri, got, err, c.want)
		}
	}
	for _, c := range []struct {
		uri    string
		reason error
		code   int
	}{
		{"sip:otto@sip.harbor.example", ErrNoUser, 404},   // a phone only
		{"sip:nobody@sip.harbor.example", ErrNoUser, 404}, // the self-loop rule
		{"sip:sip.harbor.example", ErrNoUser, 404},
		{"sip:x%40sip.harbor.example@sip.harbor.example", ErrNoUser, 404},
		{"sip:x%40SIP.harbor.example@203.0.113.7", ErrNoUser, 404},
		{"sip:nobody@203.0.113.7", ErrNoUser, 404},
		{"sip:+4930999999@sip.harbor.example", ErrNoUser, 404},
		{"tel:+4930999999", ErrNoUser, 404},
		{"tel:112", ErrEmergency, 404},
		{"sip:112@sip.harbor.example", ErrEmergency, 404},
		{"tel:115;phone-context=+49", ErrShort, 404},
		{"tel:+4930123456;m-x=1", mapping.ErrNumberParameter, 484},
		{"sips:mira@chat.harbor.example", ErrScheme, 416},
		{"https://chat.harbor.example", ErrScheme, 416},
		{"sip:anonymous@anonymous.invalid", ErrNoUser, 404},
		{"sip:%20a@chat.harbor.example", mapping.ErrAddressSpace, 404},
		{"sip:%ff@chat.harbor.example", mapping.ErrAddressMalformed, 400},
		{"sip:%ff@sip.harbor.example", mapping.ErrAddressMalformed, 400},
		{"sip:closed@sip.harbor.example", ErrRefused, 403},
		{"sip:closed@chat.harbor.example", ErrRefused, 403},
		{"tel:+4930123460", ErrRefused, 403},
	} {
		u, err := sip.ParseURI(c.uri)
		if err != nil {
			t.Error(err)
			continue
		}
		got, err := a.ToXMPP(u)
		if !errors.Is(err, c.reason) {
			t.Errorf("%s: %s, %v", c.uri, got, err)
			continue
		}
		var status *sip.Status
		if !errors.As(err, &status) || status.Code != c.code {
			t.Errorf("%s: %+v, want %d", c.uri, status, c.code)
		}
	}
}

func TestCallerToSIP(t *testing.T) {
	a := addresses(t, nil)
	for _, c := range []struct{ from, to, want string }{
		{"mira@chat.harbor.example/desk", "sip:otto@sip.harbor.example", `"Mira" <sip:Mira@sip.harbor.example>`},
		{"mira@chat.harbor.example", "sip:+442079460148@sip.harbor.example;user=phone", `"Mira" <sip:+4930123456@sip.harbor.example;user=phone>`},
		{"mira@chat.harbor.example", "tel:+442079460148", `"Mira" <sip:+4930123456@sip.harbor.example;user=phone>`},
		{"eva@chat.harbor.example", "sip:otto@sip.harbor.example", "<sip:+4930123458@sip.harbor.example;user=phone>"},
		{"hidden@chat.harbor.example", "sip:otto@sip.harbor.example", `"Anonymous" <sip:anonymous@anonymous.invalid>`},
		{"jürgen@chat.harbor.example/Büro", "sip:otto@sip.harbor.example", "<sip:j%C3%BCrgen@chat.harbor.example>"},
		{`d\27art#1@chat.harbor.example`, "sip:otto@sip.harbor.example", "<sip:d'art%231@chat.harbor.example>"},
		{"50%25@chat.harbor.example", "sip:otto@sip.harbor.example", "<sip:50%2525@chat.harbor.example>"},
		{"chat.harbor.example", "sip:otto@sip.harbor.example", "<sip:chat.harbor.example>"},
		{`a\5c41@chat.harbor.example`, "sip:otto@sip.harbor.example", `"Anonymous" <sip:anonymous@anonymous.invalid>`},
	} {
		to, err := sip.ParseURI(c.to)
		if err != nil {
			t.Fatal(err)
		}
		got := a.CallerToSIP(jid(c.from), to)
		if got.String() != c.want {
			t.Errorf("%s to %s\n got %s\nwant %s", c.from, c.to, got.String(), c.want)
		}
	}
}

func TestCallerToXMPP(t *testing.T) {
	a := addresses(t, nil)
	for _, c := range []struct{ uri, want string }{
		{"sip:otto@sip.harbor.example", "otto@sip.harbor.example"},
		{"sip:otto@sip.harbor.example:5060;transport=tcp;gr=urn:uuid:1", "otto@sip.harbor.example/urn:uuid:1"},
		{"sip:100@sip.harbor.example", "100@sip.harbor.example"},
		{"sip:Mira@sip.harbor.example", "mira@sip.harbor.example"},
		{"sip:m@voice.quay.example", `m\40voice.quay.example@sip.harbor.example`},
		{"sip:otto@voice.quay.example:5080", `otto\40voice.quay.example@sip.harbor.example`},
		{"sip:caf%C3%A9@voice.quay.example", `café\40voice.quay.example@sip.harbor.example`},
		{"sip:a%40b@sip.harbor.example", `a\40b\40sip.harbor.example@sip.harbor.example`},
		{"sip:anonymous@sip.harbor.example", `anonymous\40sip.harbor.example@sip.harbor.example`},
		{"sip:anonymous@anonymous.invalid", "anonymous@sip.harbor.example"},
		{"sip:hidden@sip.harbor.example", "anonymous@sip.harbor.example"},
		{"tel:+4930123459", "anonymous@sip.harbor.example"},
		{"sip:voice.quay.example", "voice.quay.example@sip.harbor.example"},
		// Numbers.
		{"sip:+442079460148@carrier.example;user=phone", "+442079460148@sip.harbor.example"},
		{"sip:+44-20-7946-0148@carrier.example", "+442079460148@sip.harbor.example"},
		{"sip:030123456@carrier.example;user=phone", "+4930123456@sip.harbor.example"},
		{"sip:030123456@sip.harbor.example", "+4930123456@sip.harbor.example"},
		{"sip:030123456@carrier.example", `030123456\40carrier.example@sip.harbor.example`},
		{"tel:0044-20-7946-0148", "+442079460148@sip.harbor.example"},
		{"tel:112", "112;phone-context=sip.harbor.example@sip.harbor.example"},
		{"sip:115@pbx.example;user=phone", "115;phone-context=pbx.example@sip.harbor.example"},
		{"tel:+442079460148;ext=12", "+442079460148;ext=12@sip.harbor.example"},
	} {
		u, err := sip.ParseURI(c.uri)
		if err != nil {
			t.Fatal(err)
		}
		got, err := a.CallerToXMPP(u)
		if err != nil || got.String() != c.want {
			t.Errorf("%s\n got %s %v\nwant %s", c.uri, got, err, c.want)
		}
	}
	for _, bad := range []string{"sip:%ff@h.example", "sip:%20@sip.harbor.example", "tel:+4930;m-x=1", "urn:service:sos"} {
		u, err := sip.ParseURI(bad)
		if err != nil {
			t.Fatal(err)
		}
		if got, err := a.CallerToXMPP(u); err == nil {
			t.Errorf("%s: %s", bad, got)
		}
	}
}

func TestPrompt(t *testing.T) {
	a := addresses(t, nil)
	for _, c := range []struct{ in, want string }{
		{" otto ", "otto@sip.harbor.example"},
		{"otto@sip.harbor.example", "otto@sip.harbor.example"},
		{"otto@voice.quay.example", `otto\40voice.quay.example@sip.harbor.example`},
		{"sip:Otto@voice.quay.example;transport=tcp", `otto\40voice.quay.example@sip.harbor.example`},
		{"sips:otto@voice.quay.example", `otto\40voice.quay.example@sip.harbor.example`},
		{`otto\40voice.quay.example@sip.harbor.example/x`, `otto\40voice.quay.example@sip.harbor.example`},
		{"xmpp:otto@sip.harbor.example", "otto@sip.harbor.example"},
		{"o'hara@voice.quay.example", `o\27hara\40voice.quay.example@sip.harbor.example`},
		{"030 / 1234567", "+49301234567@sip.harbor.example"},
		{"+49 (30) 1234567", "+49301234567@sip.harbor.example"},
		{"0044 20 7946 0148", "+442079460148@sip.harbor.example"},
		{"tel:+49-30-1234567", "+49301234567@sip.harbor.example"},
		{"100", "100@sip.harbor.example"},
		{"0301234567@sip.harbor.example", "+49301234567@sip.harbor.example"},
	} {
		got, err := a.Prompt(c.in)
		if err != nil || got.String() != c.want {
			t.Errorf("%q\n got %s %v\nwant %s", c.in, got, err, c.want)
		}
	}
	for _, bad := range []string{"", "112", "tel:112", "sip:", "sip:h.example", "a@b c", "@", "x@", "tel:x", "115", "closed", "anonymous@anonymous.invalid", strings.Repeat("x", 2000)} {
		got, err := a.Prompt(bad)
		var stanza *xmpp.StanzaError
		if err == nil || !errors.As(err, &stanza) {
			t.Errorf("%q: %s, %v", bad, got, err)
		}
	}
}

// A component whose SIP users live in another domain, which is an XMPP domain too.
func TestHomeElsewhere(t *testing.T) {
	a := addresses(t, func(c *AddressConfig) { c.SIPDomains = []string{"Harbor.example", "second.example"} })
	u, err := a.ToSIP(jid("anna@sip.harbor.example"))
	if err != nil || u.String() != "sip:anna@harbor.example" {
		t.Error(u, err)
	}
	for uri, want := range map[string]string{
		"sip:anna@harbor.example": "anna@sip.harbor.example", "sip:anna@second.example": `anna\40second.example@sip.harbor.example`,
		"sip:anna@sip.harbor.example": `anna\40sip.harbor.example@sip.harbor.example`,
	} {
		if j, err := a.CallerToXMPP(aor(t, uri)); err != nil || j.String() != want {
			t.Errorf("%s: %s %v", uri, j, err)
		}
	}
	if j, err := a.ToXMPP(aor(t, "sip:anna@second.example")); err != nil || j.String() != "anna@second.example" {
		t.Error(j, err)
	}
	for _, uri := range []string{"sip:anna@harbor.example", "sip:anna@sip.harbor.example", "sip:a%40second.example@harbor.example"} {
		if j, err := a.ToXMPP(aor(t, uri)); !errors.Is(err, ErrNoUser) {
			t.Error(uri, j, err)
		}
	}
}

func TestEmergencyEnabled(t *testing.T) {
	a := addresses(t, func(c *AddressConfig) { c.Emergency = true })
	for local, want := range map[string]string{
		"112":                                  "sip:112;phone-context=sip.harbor.example@sip.harbor.example;user=phone",
		"115;phone-context=sip.harbor.example": "sip:115;phone-context=sip.harbor.example@sip.harbor.example;user=phone",
	} {
		u, err := a.ToSIP(jid(local + "@sip.harbor.example"))
		if err != nil || u.String() != want {
			t.Errorf("%s: %s %v", local, u, err)
		}
	}
	if j, err := a.Prompt("112"); err != nil || j.String() != "112;phone-context=sip.harbor.example@sip.harbor.example" {
		t.Error(j, err)
	}
}

func TestNoRegion(t *testing.T) {
	a := addresses(t, func(c *AddressConfig) { c.Region = "" })
	if u, err := a.ToSIP(jid("0301234567@sip.harbor.example")); err != nil || u.String() != "sip:0301234567@sip.harbor.example" {
		t.Error(u, err)
	}
	if _, err := a.Prompt("030 1234567"); !errors.Is(err, ErrNumber) || !strings.Contains(err.Error(), "no default region") {
		t.Error(err)
	}
	if _, err := a.ToSIP(jid("112@sip.harbor.example")); !errors.Is(err, ErrEmergency) {
		t.Error(err)
	}
}

func TestNewAddressesErrors(t *testing.T) {
	for _, cfg := range []AddressConfig{
		{Table: people(t)},
		{Component: component},
		{Component: component, Table: people(t), Region: "ZZ"},
		{Component: component, Table: people(t), SIPDomains: []string{"a b"}},
		{Component: component, Table: people(t), SIPDomains: []string{"a.example:5060"}},
	} {
		if _, err := NewAddresses(cfg); !errors.Is(err, ErrInvalid) {
			t.Errorf("%+v: %v", cfg, err)
		}
	}
}

// A SIP user with capitals gets its spelling back.
func TestSpelling(t *testing.T) {
	a := addresses(t, nil)
	j := jid(`o.hara\40voice.quay.example@sip.harbor.example`)
	if u, err := a.ToSIP(j); err != nil || u.User != "o.hara" {
		t.Error(u, err)
	}
	for _, text := range []string{"sip:O.Hara@voice.quay.example", "sip:O.HARA@voice.quay.example"} {
		if got, err := a.CallerToXMPP(aor(t, text)); err != nil || got != j {
			t.Error(got, err)
		}
	}
	if u, err := a.ToSIP(j); err != nil || u.User != "O.Hara" {
		t.Error("not the first spelling:", u, err)
	}
	for i := range 2 * maxSpellings {
		a.spellings.note(sip.URI{Scheme: "sip", User: fmt.Sprint("X", i), Host: "h"})
	}
	if n := len(a.spellings.m); n != maxSpellings {
		t.Errorf("%d spellings", n)
	}
}

func TestCanonical(t *testing.T) {
	a := addresses(t, nil)
	for _, c := range [][2]string{
		{"sip:+44-20-79460148@carrier.example", "sip:+442079460148@sip.harbor.example;user=phone"},
		{"sip:MIRA@sip.harbor.example;x=y", "sip:Mira@sip.harbor.example"},
		{"sip:otto@voice.quay.example:5080", "sip:otto@voice.quay.example"},
	} {
		if got, err := a.Canonical(aor(t, c[0])); err != nil || got.String() != c[1] {
			t.Errorf("%s: %s %v", c[0], got, err)
		}
	}
}

// Whatever a caller is called, the way back leads to the same address, and twice around
// changes nothing.
func TestRoundTrip(t *testing.T) {
	a := addresses(t, nil)
	rapid.Check(t, func(rt *rapid.T) {
		u := sip.URI{
			Scheme: "sip",
			User:   sip.EscapeUser(rapid.StringMatching(`[a-z0-9+"'&%:;=@\\/<> #.-]{1,12}|[a-zß-öа-я]{1,8}|\+[1-9][0-9]{6,14}|0[0-9]{3,9}`).Draw(rt, "user")),
			Host:   rapid.SampledFrom([]string{component, "voice.quay.example", "xn--bcher-kva.example", "192.0.2.1", "[2001:db8::1]"}).Draw(rt, "host"),
		}
		if rapid.Bool().Draw(rt, "gr") {
			u.Params.Set("gr", rapid.StringMatching(`[a-z0-9 @/;=ü]{1,10}`).Draw(rt, "gr value"))
		}
		j, err := a.CallerToXMPP(u)
		if err != nil {
			var status *sip.Status
			if !errors.As(err, &status) {
				rt.Fatalf("%s: %v", u, err)
			}
			return
		}
		if j.Domain() != component || j.Local() == "" {
			rt.Fatalf("%s is outside the component: %s", u, j)
		}
		back, err := a.ToSIP(j)
		if err != nil {
			for _, known := range []error{ErrNumber, ErrShort, ErrEmergency} {
				if errors.Is(err, known) {
					return
				}
			}
			rt.Fatalf("%s became %s: %v", u, j, err)
		}
		again, err := a.CallerToXMPP(back)
		if err != nil || again != j {
			rt.Fatalf("%s became %s became %s became %s (%v)", u, j, back, again, err)
		}
		if n, err := mapping.NumberFromURI(back); err == nil && n.IsGlobal() {
			return // +49…@carrier is +49…@home
		}
		if back.Key() != u.Key() {
			rt.Fatalf("%s became %s became %s", u, j, back)
		}
	})
}

// A stanza and the answer to it meet the same two people.
func TestBothDirections(t *testing.T) {
	a := addresses(t, nil)
	rapid.Check(t, func(rt *rapid.T) {
		local, err := xmpp.EscapeLocal(rapid.StringMatching(`[a-z0-9"'&%:;=@\\/<> #.-]{1,12}|[a-zß-öа-я]{1,8}`).Draw(rt, "user"))
		if err != nil {
			return
		}
		j, err := xmpp.NewJID(local, rapid.SampledFrom([]string{"chat.harbor.example", "bücher.example"}).Draw(rt, "domain"), "")
		if err != nil {
			return
		}
		shown := a.CallerToSIP(j, aor(t, "otto@"+component))
		if mapping.IsAnonymous(shown.URI) {
			return
		}
		back, err := a.ToXMPP(shown.URI)
		if err != nil || back != j {
			if id, ok := a.table.ByJID(j); ok && id.ID == "closed" {
				return
			}
			rt.Fatalf("%s is shown as %s, which reaches %s (%v)", j, shown.URI, back, err)
		}
	})
}

func FuzzPrompt(f *testing.F) {
	for _, s := range []string{"otto", "sip:a%40b@h", "tel:112", "xmpp:", "+", "@@", `\40@sip.harbor.example`, "0" + strings.Repeat("1", 40)} {
		f.Add(s)
	}
	a := addresses(f, nil)
	f.Fuzz(func(t *testing.T, in string) {
		j, err := a.Prompt(in)
		if err != nil {
			return
		}
		if _, err := a.ToSIP(j); err != nil {
			t.Fatalf("%q gives %s, which leads nowhere: %v", in, j, err)
		}
		if again, err := a.Prompt(j.String()); err != nil || again != j {
			t.Fatalf("%q gives %s gives %s (%v)", in, j, again, err)
		}
	})
}

type zone map[string][]mapping.NAPTR

func (z zone) NAPTR(_ context.Context, name string) ([]mapping.NAPTR, error) {
	if name == "error.example" {
		return nil, errors.New("server failure")
	}
	return z[name], nil
}

func TestENUM(t *testing.T) {
	const name = "8.4.1.0.6.4.9.7.0.2.4.4.e164.arpa"
	u := func(order uint16, service, uri string) mapping.NAPTR {
		return mapping.NAPTR{Order: order, Preference: 10, Flags: "u", Services: service, Regexp: "!^.*$!" + uri + "!"}
	}
	next := func(name string) mapping.NAPTR { return mapping.NAPTR{Order: 10, Replacement: name + "."} }
	for _, c := range []struct {
		why  string
		zone zone
		uri  string
		want string
	}{
		{"xmpp", zone{name: {u(10, "E2U+xmpp", "xmpp:anna@chat.harbor.example")}}, "tel:+442079460148", "xmpp anna@chat.harbor.example"},
		{"order", zone{name: {u(20, "E2U+xmpp", "xmpp:anna@chat.harbor.example"), u(10, "E2U+sip", "sip:anna@voice.quay.example")}}, "sip:+442079460148@x", "sip sip:anna@voice.quay.example"},
		{"chain", zone{name: {next("a.example")}, "a.example": {next("b.example")}, "b.example": {u(1, "E2U+sip", "sip:anna@voice.quay.example")}}, "tel:+442079460148", "sip sip:anna@voice.quay.example"},
		{"endless chain", zone{name: {next(name)}}, "tel:+442079460148", ""},
		{"ourselves", zone{name: {u(10, "E2U+sip", "sip:anna@"+component), u(10, "E2U+xmpp", "xmpp:anna@"+component)}}, "tel:+442079460148", ""},
		{"tel again", zone{name: {u(10, "E2U+sip", "tel:+442079460149")}}, "tel:+442079460148", ""},
		{"asked before", zone{name: {u(10, "E2U+sip", "sip:anna@voice.quay.example")}}, "tel:+442079460148;enumdi", ""},
		{"no number", zone{}, "sip:anna@x", ""},
		{"garbage", zone{name: {u(10, "E2U+sip", "sip:"), u(10, "E2U+xmpp", "xmpp:@@")}}, "tel:+442079460148", ""},
		{"not found", zone{}, "tel:+442079460148", ""},
		{"failure behind", zone{name: {next("error.example"), next("b.example")}, "b.example": {u(1, "E2U+sip", "sip:anna@voice.quay.example")}}, "tel:+442079460148", "sip sip:anna@voice.quay.example"},
		{"failure", zone{name: {next("error.example")}}, "tel:+442079460148", "error"},
	} {
		a := addresses(t, func(cfg *AddressConfig) { cfg.ENUM = c.zone })
		uri, err := sip.ParseURI(c.uri)
		if err != nil {
			t.Fatal(err)
		}
		target, ok, err := a.LookupNumber(t.Context(), uri)
		got := ""
		switch {
		case err != nil:
			got = "error"
		case ok && !target.JID.IsZero():
			got = "xmpp " + target.JID.String()
		case ok:
			got = "sip " + target.URI.String()
		}
		if got != c.want {
			t.Errorf("%s: got %q, want %q (%v)", c.why, got, c.want, err)
		}
	}
	if _, ok, err := addresses(t, nil).LookupNumber(t.Context(), sip.URI{Scheme: "tel", User: "+442079460148"}); ok || err != nil {
		t.Error("ENUM is off")
	}
}

func TestE164(t *testing.T) {
	for _, c := range []struct {
		region, in, want string
		err              error
	}{
		{"DE", "030 123456", "+4930123456", nil},
		{"DE", "+49 (0)30 123456", "+4930123456", nil},
		{"DE", "+49030123456", "+4930123456", nil},
		{"US", "(212) 555-1234", "+12125551234", nil},
		{"US", "011 44 20 7946 0148", "+442079460148", nil},
		{"GB", "020 7946 0148", "+442079460148", nil},
		{"", "+1 555 123 4567", "+15551234567", nil},
		{"", "+999 1234567", "+9991234567", nil},
		{"", "030 123456", "", ErrNumber},
		{"DE", "112", "", ErrEmergency},
		{"US", "911", "", ErrEmergency},
		{"GB", "999", "", ErrEmergency},
		{"DE", "116117", "", ErrShort},
		{"DE", "+0123456789", "", ErrNumber},
		{"DE", "+1234567890123456", "", ErrNumber},
		{"DE", "", "", ErrNumber},
		{"DE", "*21#", "", ErrNumber},
	} {
		got, err := Numbers{Region: c.region}.E164(c.in)
		if got != c.want || !errors.Is(err, c.err) {
			t.Errorf("%s %q: %q, %v", c.region, c.in, got, err)
		}
	}
	if de := (Numbers{Region: "DE"}); !de.IsEmergency("112") || !de.IsEmergency("1122") || de.IsEmergency("030123456") {
		t.Error("what begins like an emergency number reaches one")
	}
}
