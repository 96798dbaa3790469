package mapping

import (
	"errors"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

func TestENUMName(t *testing.T) {
	for in, want := range map[string]string{"+442079460148": "8.4.1.0.6.4.9.7.0.2.4.4.e164.arpa"} {
		n, err := ParseNumber(in)
		if err != nil {
			t.Fatal(err)
		}
		if got, err := ENUMName(n, ""); err != nil || got != want {
			t.Errorf("%s, %v", got, err)
		}
		if got, err := ENUMName(n, "enum.example."); err != nil || got != strings.Replace(want, "e164.arpa", "enum.example", 1) {
			t.Errorf("%s, %v", got, err)
		}
	}
	for _, in := range []string{"112;phone-context=x.example", "+4930;ext=1", "+1", "+12345678901234567"} {
		n, err := ParseNumber(in)
		if err != nil {
			t.Fatal(err)
		}
		if name, err := ENUMName(n, ""); !errors.Is(err, ErrENUM) {
			t.Errorf("%s: %s, %v", in, name, err)
		}
	}
}

func TestENUMTargets(t *testing.T) {
	n := Number{Digits: "+442079460148"}
	sipRule := `!^(.*)$!sip:\1@voice.quay.example!`
	xmppRule := `!^.*$!xmpp:mira@chat.harbor.example!`
	tests := []struct {
		name    string
		records []NAPTR
		want    []ENUMTarget
	}{
		{
			"by preference",
			[]NAPTR{{100, 20, "u", "E2U+sip", sipRule, ""}, {100, 10, "U", "E2U+xmpp", xmppRule, ""}},
			[]ENUMTarget{{URI: "xmpp:mira@chat.harbor.example", Service: "xmpp"}, {URI: "sip:+442079460148@voice.quay.example", Service: "sip"}},
		},
		{
			"lowest order only",
			[]NAPTR{{200, 1, "u", "E2U+sip", sipRule, ""}, {100, 10, "u", "E2U+xmpp", xmppRule, ""}},
			[]ENUMTarget{{URI: "xmpp:mira@chat.harbor.example", Service: "xmpp"}},
		},
		{
			"order with nothing of use",
			[]NAPTR{{100, 1, "u", "E2U+h323", sipRule, ""}, {200, 1, "u", "E2U+sip", sipRule, ""}},
			[]ENUMTarget{{URI: "sip:+442079460148@voice.quay.example", Service: "sip"}},
		},
		{"joined services", []NAPTR{{1, 1, "u", "E2U+voice:tel+sip", sipRule, ""}}, []ENUMTarget{{URI: "sip:+442079460148@voice.quay.example", Service: "sip"}}},
		{"RFC 2916 form", []NAPTR{{1, 1, "u", "sip+E2U", sipRule, ""}}, []ENUMTarget{{URI: "sip:+442079460148@voice.quay.example", Service: "sip"}}},
		{"groups", []NAPTR{{1, 1, "u", "E2U+sip", `#^\+44(20)(.*)$#sip:\2.\1@h#`, ""}}, []ENUMTarget{{URI: "sip:79460148.20@h", Service: "sip"}}},
		{"flag i", []NAPTR{{1, 1, "u", "E2U+sip", `!^\+44(.*)$!sip:\1@h!i`, ""}}, []ENUMTarget{{URI: "sip:2079460148@h", Service: "sip"}}},
		{"escaped delimiter", []NAPTR{{1, 1, "u", "E2U+sip", `!^.*$!sip:a\!b@h!`, ""}}, []ENUMTarget{{URI: "sip:a!b@h", Service: "sip"}}},
		{"non-terminal", []NAPTR{{1, 1, "", "E2U+sip", "", "1.4.example."}}, []ENUMTarget{{Next: "1.4.example"}}},
		{"unusable", []NAPTR{
			{1, 1, "s", "E2U+sip", sipRule, ""},
			{1, 1, "u", "sip", sipRule, ""},
			{1, 1, "u", "E2U+sip", "", ""},
			{1, 1, "u", "E2U+sip", "!(!x!", ""},
			{1, 1, "u", "E2U+sip", "!^$!x!", ""},
			{1, 1, "u", "E2U+sip", `!.*!\5!`, ""},
			{1, 1, "u", "E2U+sip", "1.*1x1", ""},
			{1, 1, "u", "E2U+sip", "!.*!x!z", ""},
			{1, 1, "u", "E2U+sip", "!.*!x", ""},
			{1, 1, "u", "E2U+sip", "!.*!" + strings.Repeat("x", 300) + "!", ""},
			{1, 1, "", "", "", ""},
		}, nil},
		{"hostile pattern", []NAPTR{{1, 1, "u", "E2U+sip", "!^(((((.*)*)*)*)*)*$!sip:x@h!", ""}}, []ENUMTarget{{URI: "sip:x@h", Service: "sip"}}},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			if d := cmp.Diff(tt.want, ENUMTargets(tt.records, n, "sip", "xmpp")); d != "" {
				t.Fatal(d)
			}
		})
	}
}

func FuzzENUM(f *testing.F) {
	f.Add("E2U+sip", `!^(.*)$!sip:\1@h!`)
	f.Fuzz(func(t *testing.T, services, rule string) {
		for _, target := range ENUMTargets([]NAPTR{{1, 1, "u", services, rule, ""}}, Number{Digits: "+4930"}, "sip") {
			if strings.ContainsAny(target.URI, "\r\n\x00") {
				t.Fatalf("%q", target.URI)
			}
		}
	})
}
