package mapping

import (
	"errors"
	"strings"
	"testing"

	"pgregory.net/rapid"

	"github.com/stoxgate/stoxgate/sip"
	"github.com/stoxgate/stoxgate/xmpp"
)

func mustURI(t testing.TB, s string) sip.URI {
	t.Helper()
	u, err := sip.ParseURI(s)
	if err != nil {
		t.Fatal(err)
	}
	return u
}

// The vectors of the specification digest, and those of XEP-0106 §5.
func TestURIToJID(t *testing.T) {
	for uri, want := range map[string]string{
		"sip:mira@chat.harbor.example":                          "mira@chat.harbor.example",
		"SIPS:mira@chat.harbor.example":                         "mira@chat.harbor.example",
		"im:mira@chat.harbor.example":                           "mira@chat.harbor.example",
		"pres:mira@chat.harbor.example":                         "mira@chat.harbor.example",
		"sip:o%27hara@voice.quay.example":                       `o\27hara@voice.quay.example`,
		"sip:o'hara@voice.quay.example":                         `o\27hara@voice.quay.example`,
		"sip:rock%26roll%2flive@voice.quay.example":             `rock\26roll\2flive@voice.quay.example`,
		"sip:rock&roll/live@voice.quay.example":                 `rock\26roll\2flive@voice.quay.example`,
		"sip:caf%C3%A9@voice.quay.example":                      "café@voice.quay.example",
		"sip:a%40b.example@gw.harbor.example":                   `a\40b.example@gw.harbor.example`,
		"sip:dom%5cuser@h.example":                              `dom\user@h.example`,
		"sip:dom%5c20x@h.example":                               `dom\5c20x@h.example`,
		"sip:a%20b@h.example":                                   `a\20b@h.example`,
		"sip:%22%3A%3C%3E@h.example":                            `\22\3a\3c\3e@h.example`,
		"sip:c%3a%5ccool@h.example":                             `c\3a\cool@h.example`,
		"sip:c%3a%5c5commas@h.example":                          `c\3a\5c5commas@h.example`,
		"sip:mira@chat.harbor.example;gr=desk%20top":            "mira@chat.harbor.example/desk top",
		"sip:mira@chat.harbor.example;gr":                       "mira@chat.harbor.example",
		"sip:mira@chat.harbor.example;gr=%00":                   "mira@chat.harbor.example",
		"sip:mira:secret@chat.harbor.example:5070?subject=x":    "mira@chat.harbor.example",
		"sip:mira@chat.harbor.example;transport=tcp;user=phone": "mira@chat.harbor.example",
		"sip:chat.harbor.example":                               "chat.harbor.example",
		"sip:Otto@Voice.Quay.Example":                           "otto@voice.quay.example",
		"sip:x@xn--hrbor-gra.example":                           "x@härbor.example",
		"sip:x@[2001:db8::1]:5080":                              "x@[2001:db8::1]",
		"sip:%5C41%5C2p@h.example":                              `\41\2p@h.example`,
	} {
		got, err := URIToJID(mustURI(t, uri))
		if err != nil || got.String() != want {
			t.Errorf("URIToJID(%s) = %s, %v; want %s", uri, got, err, want)
		}
	}
	for uri, want := range map[string]struct {
		err  error
		code int
	}{
		"sip:%FF@h.example":       {ErrAddressMalformed, 400},
		"sip:%20a@h.example":      {ErrAddressSpace, 404},
		"sip:a%20@h.example":      {ErrAddressSpace, 404},
		"sip:%01@h.example":       {ErrAddressMalformed, 400},
		"tel:+49301":              {ErrAddressMalformed, 400},
		"mailto:a@b":              {ErrAddressMalformed, 400},
		"sip:%E2%84%80@h.example": {nil, 0},
	} {
		j, err := URIToJID(mustURI(t, uri))
		if want.err == nil {
			continue // whatever PRECIS says, without a panic
		}
		if !errors.Is(err, want.err) {
			t.Errorf("URIToJID(%s) = %s, %v; want %v", uri, j, err, want.err)
			continue
		}
		if s := AddressStatus(err); s.Code != want.code {
			t.Errorf("status for %v: %d", err, s.Code)
		}
	}
}

func TestJIDToURI(t *testing.T) {
	for jid, want := range map[string]string{
		"mira@chat.harbor.example":              "sip:mira@chat.harbor.example",
		"jürgen@chat.harbor.example/Büro":       "sip:j%C3%BCrgen@chat.harbor.example;gr=B%C3%BCro",
		`d\27art#1@chat.harbor.example`:         "sip:d'art%231@chat.harbor.example",
		"50%25@chat.harbor.example":             "sip:50%2525@chat.harbor.example",
		"chat.harbor.example":                   "sip:chat.harbor.example",
		"chat.harbor.example/x":                 "sip:chat.harbor.example;gr=x",
		`a\40b@h.example`:                       "sip:a%40b@h.example",
		`a[b]c^d{e|f}g@h.example`:               "sip:a%5Bb%5Dc%5Ed%7Be%7Cf%7Dg@h.example",
		"x@härbor.example":                      "sip:x@xn--hrbor-gra.example",
		"x@h.example/a;b=c d/é":                 "sip:x@h.example;gr=a%3Bb%3Dc%20d/%C3%A9",
		"x@[2001:db8::1]":                       "sip:x@[2001:db8::1]",
		`\41\2p@h.example`:                      "sip:%5C41%5C2p@h.example",
		"+4930123456;ext=12@sip.harbor.example": "sip:+4930123456;ext=12@sip.harbor.example",
	} {
		got, err := JIDToURI(xmpp.MustJID(jid))
		if err != nil || got.String() != want {
			t.Errorf("JIDToURI(%s) = %s, %v; want %s", jid, got, err, want)
		}
	}
	// Two JIDs for one URI: one of them could speak as the other.
	for _, jid := range []string{`a\5cb@h.example`, `a\5c@h.example`, `\20a@h.example`, `a\20@h.example`} {
		if u, err := JIDToURI(xmpp.MustJID(jid)); !errors.Is(err, ErrAddressAmbiguous) {
			t.Errorf("JIDToURI(%s) = %s, %v", jid, u, err)
		}
	}
	if _, err := JIDToURI(xmpp.JID{}); !errors.Is(err, ErrAddressMalformed) {
		t.Error(err)
	}
	for err, want := range map[error]xmpp.Condition{
		ErrAddressSpace: xmpp.ConditionItemNotFound, ErrAddressAmbiguous: xmpp.ConditionJIDMalformed,
	} {
		if e := AddressError(err); e.Condition != want || e.Type != want.DefaultType() {
			t.Errorf("%v: %+v", err, e)
		}
	}
}

func TestComponentAddresses(t *testing.T) {
	const component = "sip.harbor.example"
	for uri, want := range map[string]string{
		"sip:otto@voice.quay.example":             `otto\40voice.quay.example@sip.harbor.example`,
		"sip:otto@voice.quay.example:5080":        `otto\40voice.quay.example@sip.harbor.example`,
		"sip:otto@voice.quay.example;gr=x%20y":    `otto\40voice.quay.example@sip.harbor.example/x y`,
		"sip:o%27hara%40home@voice.quay.example":  `o\27hara\40home\40voice.quay.example@sip.harbor.example`,
		"sip:otto@[2001:db8::1]":                  `otto\40[2001\3adb8\3a\3a1]@sip.harbor.example`,
		"sip:voice.quay.example":                  `voice.quay.example@sip.harbor.example`,
		"tel:+49-30-123456":                       "+4930123456@sip.harbor.example",
		"tel:+4930123456;ext=12;x=y":              "+4930123456;ext=12@sip.harbor.example",
		"tel:112;phone-context=de.harbor.example": "112;phone-context=de.harbor.example@sip.harbor.example",
		"sip:anonymous@anonymous.invalid":         "anonymous@sip.harbor.example",
		"sip:x@abc.anonymous.invalid;gr=1":        "anonymous@sip.harbor.example",
		"sip:x@xn--hrbor-gra.example":             `x\40xn--hrbor-gra.example@sip.harbor.example`,
	} {
		got, err := URIToComponent(mustURI(t, uri), component)
		if err != nil || got.String() != want {
			t.Errorf("URIToComponent(%s) = %s, %v; want %s", uri, got, err, want)
		}
	}
	for jid, want := range map[string]string{
		`otto\40voice.quay.example@sip.harbor.example`:            "sip:otto@voice.quay.example",
		`otto\40voice.quay.example@sip.harbor.example/x y`:        "sip:otto@voice.quay.example;gr=x%20y",
		`otto\40voice.quay.example\3a5070@sip.harbor.example`:     "sip:otto@voice.quay.example:5070",
		`o\27hara\40home\40voice.quay.example@sip.harbor.example`: "sip:o'hara%40home@voice.quay.example",
		`otto\40[2001\3adb8\3a\3a1]@sip.harbor.example`:           "sip:otto@[2001:db8::1]",
	} {
		got, ok, err := ComponentToURI(xmpp.MustJID(jid))
		if err != nil || !ok || got.String() != want {
			t.Errorf("ComponentToURI(%s) = %s, %v, %v; want %s", jid, got, ok, err, want)
		}
	}
	for jid, want := range map[string]error{
		`a\40@sip.harbor.example`:        ErrAddressMalformed,
		`\40b@sip.harbor.example`:        ErrAddressMalformed,
		`a\40b;x=y@sip.harbor.example`:   ErrAddressMalformed,
		`a\40b?x=y@sip.harbor.example`:   ErrAddressMalformed,
		`a\5cb\40c@sip.harbor.example`:   ErrAddressAmbiguous,
		`a\40ho\20st@sip.harbor.example`: ErrAddressMalformed,
	} {
		if u, ok, err := ComponentToURI(xmpp.MustJID(jid)); !errors.Is(err, want) || !ok {
			t.Errorf("ComponentToURI(%s) = %s, %v, %v; want %v", jid, u, ok, err, want)
		}
	}
	for _, jid := range []string{"otto@sip.harbor.example", "+4930@sip.harbor.example", "sip.harbor.example"} {
		if _, ok, err := ComponentToURI(xmpp.MustJID(jid)); ok || err != nil {
			t.Errorf("%s: %v, %v", jid, ok, err)
		}
	}
	for uri, want := range map[string]error{"sip:%20a@h.example": ErrAddressSpace, "tel:+49;m-x=1": ErrNumberParameter, "urn:x": ErrAddressMalformed} {
		if j, err := URIToComponent(mustURI(t, uri), component); !errors.Is(err, want) {
			t.Errorf("URIToComponent(%s) = %s, %v", uri, j, err)
		}
	}
	if !IsAnonymous(AnonymousURI()) {
		t.Error("anonymous is not")
	}
}

// text is what may stand in a user part, with everything that needs escaping on one side or the other.
func userText(t *rapid.T) string {
	return rapid.StringOfN(rapid.RuneFrom([]rune("abcz019 \"&'/:<>@\\#%[]^`{|}-_.!~*()=+$,;?éßж漢25cef0")), 1, 20, -1).Draw(t, "user")
}

func TestAddressRoundTrip(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		text := userText(t)
		local, err := xmpp.EscapeLocal(text)
		if err != nil {
			t.Skip(err)
		}
		j, err := xmpp.NewJID(local, rapid.SampledFrom([]string{"h.example", "härbor.example", "[2001:db8::1]"}).Draw(t, "domain"),
			rapid.SampledFrom([]string{"", "desk", "a b;c=d/e@f", "Büro", "urn:uuid:1"}).Draw(t, "resource"))
		if err != nil {
			t.Skip(err)
		}
		u, err := JIDToURI(j)
		if err != nil {
			t.Fatalf("%s: %v", j, err)
		}
		parsed, err := sip.ParseURI(u.String())
		if err != nil {
			t.Fatalf("%s -> %s: %v", j, u, err)
		}
		back, err := URIToJID(parsed)
		if err != nil || back != j {
			t.Fatalf("%s -> %s -> %s, %v", j, u, back, err)
		}
		// The same through the gateway's own domain.
		c, err := URIToComponent(parsed, "sip.harbor.example")
		if err != nil {
			t.Skip(err) // the Bidi rule lets no localpart with "é" end in "]"
		}
		again, ok, err := ComponentToURI(c)
		if err != nil || !ok || again.String() != u.String() {
			t.Fatalf("%s -> %s -> %s, %v, %v", u, c, again, ok, err)
		}
	})
}

func FuzzURIToJID(f *testing.F) {
	f.Add("sip:mira@chat.harbor.example;gr=desk%20top")
	f.Add("sip:dom%5c20x@h.example")
	f.Add("tel:+49-30-1;ext=2")
	f.Fuzz(func(t *testing.T, s string) {
		u, err := sip.ParseURI(s)
		if err != nil {
			return
		}
		if j, err := URIToJID(u); err == nil {
			if _, err := xmpp.ParseJID(j.String()); err != nil {
				t.Fatalf("%s -> %q: %v", s, j, err)
			}
		}
		if j, err := URIToComponent(u, "c.example"); err == nil && j.Domain() != "c.example" {
			t.Fatalf("%s -> %q", s, j)
		}
	})
}

func FuzzJIDToURI(f *testing.F) {
	f.Add(`d\27art#1@chat.harbor.example/x`)
	f.Add(`otto\40voice.quay.example\3a5070@sip.harbor.example`)
	f.Fuzz(func(t *testing.T, s string) {
		j, err := xmpp.ParseJID(s)
		if err != nil {
			return
		}
		if u, err := JIDToURI(j); err == nil {
			back, err := sip.ParseURI(u.String())
			if err != nil {
				t.Fatalf("%s -> %s: %v", s, u, err)
			}
			if again, err := URIToJID(back); err != nil || again != j {
				t.Fatalf("%s -> %s -> %s, %v", j, u, again, err)
			}
		}
		_, _, _ = ComponentToURI(j)
	})
}

func TestDeviceResource(t *testing.T) {
	resource := func(s string) string {
		n, err := sip.ParseNameAddr(s)
		if err != nil {
			t.Fatal(err)
		}
		return DeviceResource(n)
	}
	instance := resource(`<sip:otto@198.51.100.4:5062>;+sip.instance="<urn:uuid:00000000-0000-1000-8000-AABBCCDDEEFF>"`)
	if !strings.HasPrefix(instance, "sip-") || len(instance) != 20 {
		t.Error(instance)
	}
	if resource(`<sip:other@192.0.2.1>;+sip.instance="<urn:uuid:00000000-0000-1000-8000-aabbccddeeff>"`) != instance {
		t.Error("the instance does not name the device")
	}
	contact := resource("<sip:otto@198.51.100.4:5062;transport=tcp>")
	if contact == instance || resource("<sip:x7f3@198.51.100.4:5062>") != contact || resource("<sip:otto@198.51.100.4:5063>") == contact {
		t.Error("contact")
	}
	if got := resource("<sip:otto@voice.quay.example;gr=urn:uuid:1>"); got != "urn:uuid:1" {
		t.Error(got)
	}
	if got := DeviceResource(sip.NameAddr{}); got != "" {
		t.Error(got)
	}
}
