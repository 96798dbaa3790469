package mapping

import (
	"errors"
	"testing"

	"pgregory.net/rapid"

	"github.com/stoxgate/stoxgate/sip"
)

func TestParseNumber(t *testing.T) {
	for in, want := range map[string]string{
		"+49 (30) 12-34.56":                "+4930123456",
		"tel:+358-555-1234567;postd=pp22":  "+3585551234567;postd=pp22",
		"TEL:112;phone-context=DE.example": "112;phone-context=de.example",
		"112;phone-context=+49":            "112;phone-context=+49",
		"+4930;EXT=1-2":                    "+4930;ext=12",
		"+4930;b=2;a=1;isub=9":             "+4930;isub=9;a=1;b=2",
		"*31#":                             "*31#",
		"030/1234 5678":                    "03012345678",
		"+4930;phone-context=x.example":    "+4930",
		"+49 30 1234":                      "+49301234",
		"1234A":                            "1234a",
	} {
		n, err := ParseNumber(in)
		if err != nil || n.subscriber(n.params()) != want {
			t.Errorf("ParseNumber(%q) = %q, %v; want %q", in, n.subscriber(n.params()), err, want)
		}
	}
	for in, want := range map[string]error{
		"":                 ErrNumberMalformed,
		"otto":             ErrNumberMalformed,
		"+":                ErrNumberMalformed,
		"++49":             ErrNumberMalformed,
		"4+9":              ErrNumberMalformed,
		"-.()":             ErrNumberMalformed,
		"+49*":             ErrNumberMalformed,
		"abc":              ErrNumberMalformed,
		"+49;ext=x":        ErrNumberMalformed,
		"+49;ext=1;isub=2": ErrNumberMalformed,
		"+49;m-toll=x":     ErrNumberParameter,
		"+49\r\nX: 1":      ErrNumberMalformed,
	} {
		if n, err := ParseNumber(in); !errors.Is(err, want) || !errors.Is(err, ErrAddressMalformed) {
			t.Errorf("ParseNumber(%q) = %+v, %v", in, n, err)
		}
	}
}

func TestNumberURIs(t *testing.T) {
	// RFC 3261 §19.1.6
	n, err := NumberFromURI(mustURI(t, "tel:+358-555-1234567;postd=pp22"))
	if err != nil || n.SIPURI("foo.com").String() != "sip:+3585551234567;postd=pp22@foo.com;user=phone" {
		t.Fatal(n.SIPURI("foo.com"), err)
	}
	n, err = NumberFromURI(mustURI(t, "tel:+1-12;isub=1411;b=X;a=y"))
	if err != nil || n.SIPURI("h").String() != "sip:+112;isub=1411;a=y;b=x@h;user=phone" || n.TelURI().String() != "tel:+112;isub=1411;a=y;b=x" {
		t.Fatal(n.SIPURI("h"), n.TelURI(), err)
	}
	for uri, want := range map[string]string{
		"sip:+4930123456@trunk.example":              "+4930123456",
		"sip:+49-30-123456@trunk.example;user=phone": "+4930123456",
		"sip:112@trunk.example;user=phone":           "112",
		"sips:+4930;ext=7@trunk.example;user=phone":  "+4930;ext=7",
		"sip:%2b4930@trunk.example;user=phone":       "+4930",
	} {
		n, err := NumberFromURI(mustURI(t, uri))
		if err != nil || n.subscriber(n.params()) != want {
			t.Errorf("NumberFromURI(%s) = %+v, %v", uri, n, err)
		}
	}
	for _, uri := range []string{"sip:otto@h.example", "sip:112@h.example", "sip:h.example;user=phone", "sip:otto@h;user=phone", "urn:x"} {
		if n, err := NumberFromURI(mustURI(t, uri)); !errors.Is(err, ErrNumberMalformed) {
			t.Errorf("NumberFromURI(%s) = %+v, %v", uri, n, err)
		}
	}
}

func TestNumberLocalparts(t *testing.T) {
	for in, want := range map[string]string{
		"tel:+49-30-123456;ext=12;x=y":            "+4930123456;ext=12",
		"tel:112;phone-context=de.harbor.example": "112;phone-context=de.harbor.example",
		"tel:+4930123456":                         "+4930123456",
	} {
		n, err := NumberFromURI(mustURI(t, in))
		if err != nil || n.Localpart() != want {
			t.Errorf("%s -> %s, %v", in, n.Localpart(), err)
		}
		back, ok := NumberFromLocalpart(want)
		if !ok || back.Localpart() != want {
			t.Errorf("%s -> %+v, %v", want, back, ok)
		}
	}
	for _, local := range []string{"", "otto", "4930", "+otto", "otto;phone-context=x", "+49;x=y"} {
		if n, ok := NumberFromLocalpart(local); ok {
			t.Errorf("%s is a number: %+v", local, n)
		}
	}
}

func TestNumberEqual(t *testing.T) {
	parse := func(s string) Number {
		n, err := ParseNumber(s)
		if err != nil {
			t.Fatal(err)
		}
		return n
	}
	if !parse("+49-30;a=1;B=2").Equal(parse("+4930;b=2;A=1")) {
		t.Error("order and case matter")
	}
	for _, other := range []string{"+4931", "+4930;a=1", "4930;phone-context=x", "+4930;ext=1"} {
		if parse("+4930").Equal(parse(other)) {
			t.Errorf("equal to %s", other)
		}
	}
	// A prefix as context does not make a global number (RFC 3966 §5.1.5).
	if n := parse("911;phone-context=+1"); n.IsGlobal() || n.TelURI().String() != "tel:911;phone-context=+1" {
		t.Error(n.TelURI())
	}
}

func TestNumberRoundTrip(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		n, err := ParseNumber(rapid.StringMatching(`(\+[0-9]{2,15}|[0-9*#]{1,8};phone-context=[a-z]{1,8}\.example)(;ext=[0-9]{1,4})?(;[a-l]{1,4}=[a-z0-9]{1,4}){0,2}`).Draw(t, "number"))
		if err != nil {
			t.Fatal(err)
		}
		for _, text := range []string{n.TelURI().String(), n.SIPURI("h.example").String()} {
			u, err := sip.ParseURI(text)
			if err != nil {
				t.Fatalf("%s: %v", text, err)
			}
			if back, err := NumberFromURI(u); err != nil || !back.Equal(n) {
				t.Fatalf("%+v -> %s -> %+v, %v", n, text, back, err)
			}
		}
	})
}

func FuzzParseNumber(f *testing.F) {
	f.Add("+49 (30) 1234;ext=1")
	f.Add("112;phone-context=+49")
	f.Add("0;=0")
	f.Fuzz(func(t *testing.T, s string) {
		n, err := ParseNumber(s)
		if err != nil {
			return
		}
		if _, err := sip.ParseURI(n.TelURI().String()); err != nil {
			t.Fatalf("%q -> %q: %v", s, n.TelURI(), err)
		}
	})
}
