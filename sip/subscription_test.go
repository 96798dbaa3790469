package sip

import (
	"errors"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"
)

func TestSubscriptionState(t *testing.T) {
	tests := []struct {
		in   string
		want SubscriptionState
		out  string // "": as in
	}{
		{"active;expires=3310", SubscriptionState{State: SubscriptionActive, Expires: 3310 * time.Second}, ""},
		{"pending;expires=0", SubscriptionState{State: SubscriptionPending}, ""},
		{"active", SubscriptionState{State: SubscriptionActive, Expires: NoExpires}, ""},
		{"terminated;reason=timeout", SubscriptionState{State: SubscriptionTerminated, Reason: ReasonTimeout, Expires: NoExpires}, ""},
		{
			"terminated;reason=probation;retry-after=60",
			SubscriptionState{State: SubscriptionTerminated, Reason: ReasonProbation, Expires: NoExpires, RetryAfter: time.Minute},
			"",
		},
		{"terminated", SubscriptionState{State: SubscriptionTerminated, Expires: NoExpires}, ""},
		{" Active ; Expires = 60 ;", SubscriptionState{State: SubscriptionActive, Expires: time.Minute}, "active;expires=60"},
		{`TERMINATED;reason="Rejected";x=y`, SubscriptionState{State: SubscriptionTerminated, Reason: ReasonRejected, Expires: NoExpires}, "terminated;reason=rejected"},
		{"terminated;expires=0;reason=noresource", SubscriptionState{State: SubscriptionTerminated, Reason: ReasonNoResource}, "terminated;reason=noresource"},
		{"active;expires=soon", SubscriptionState{State: SubscriptionActive, Expires: NoExpires}, "active"},
		{"active;expires=99999999999999999999", SubscriptionState{State: SubscriptionActive, Expires: (1<<32 - 1) * time.Second}, "active;expires=4294967295"},
		{"paused;expires=5", SubscriptionState{State: "paused", Expires: 5 * time.Second}, ""},
	}
	for _, tt := range tests {
		got, err := ParseSubscriptionState(tt.in)
		if err != nil {
			t.Errorf("%q: %v", tt.in, err)
			continue
		}
		if d := cmp.Diff(tt.want, got); d != "" {
			t.Errorf("%q: %s", tt.in, d)
		}
		if tt.out == "" {
			tt.out = tt.in
		}
		if got.String() != tt.out {
			t.Errorf("%q written as %q", tt.in, got)
		}
	}
	for _, in := range []string{"", " ", ";expires=1", "active,pending", "active;=", `active;reason="`, "(active)"} {
		if s, err := ParseSubscriptionState(in); !errors.Is(err, ErrSubscriptionState) {
			t.Errorf("%q: %v, %v", in, s, err)
		}
	}
	if got := (SubscriptionState{State: SubscriptionActive, Expires: 1500 * time.Millisecond}).String(); got != "active;expires=2" {
		t.Error(got)
	}
}

func TestEvent(t *testing.T) {
	tests := []struct {
		in   string
		want Event
		out  string
	}{
		{"presence", Event{Package: "presence"}, ""},
		{"presence.winfo;id=7", Event{Package: "presence.winfo", ID: "7"}, ""},
		{"dialog; sla ; call-id=a@b;id=\"x\"", Event{Package: "dialog", ID: "x", Params: Params{{"sla", ""}, {"call-id", "a@b"}}}, `dialog;id=x;sla;call-id="a@b"`},
	}
	for _, tt := range tests {
		got, err := ParseEvent(tt.in)
		if err != nil {
			t.Errorf("%q: %v", tt.in, err)
			continue
		}
		if d := cmp.Diff(tt.want, got); d != "" {
			t.Errorf("%q: %s", tt.in, d)
		}
		if tt.out == "" {
			tt.out = tt.in
		}
		if got.String() != tt.out {
			t.Errorf("%q written as %q", tt.in, got)
		}
	}
	for _, in := range []string{"", "@", "presence,x", "presence;;=x"} {
		if e, err := ParseEvent(in); !errors.Is(err, ErrEvent) {
			t.Errorf("%q: %v, %v", in, e, err)
		}
	}
	a, b := Event{Package: "presence", ID: "1"}, Event{Package: "presence"}
	switch {
	case a.Match(b), b.Match(a), b.Match(Event{Package: "Presence"}):
		t.Error("different events match")
	case !a.Match(Event{Package: "presence", ID: "1", Params: Params{{"x", ""}}}):
		t.Error("the same event does not match")
	}
}

func TestSubscriptionStateRoundTrip(t *testing.T) {
	token := rapid.StringMatching(`[a-z][a-z0-9.-]{0,9}`)
	rapid.Check(t, func(t *rapid.T) {
		s := SubscriptionState{State: SubState(token.Draw(t, "state")), Expires: NoExpires}
		seconds := time.Duration(rapid.IntRange(1, 1<<31).Draw(t, "seconds")) * time.Second
		if rapid.Bool().Draw(t, "ended") {
			s.State, s.Reason, s.RetryAfter = SubscriptionTerminated, EventReason(token.Draw(t, "reason")), seconds
		} else if s.State != SubscriptionTerminated {
			s.Expires = seconds
		}
		if got, err := ParseSubscriptionState(s.String()); err != nil || got != s {
			t.Fatalf("%q: %+v, %v", s, got, err)
		}
		e := Event{Package: token.Draw(t, "package"), ID: rapid.OneOf(rapid.Just(""), token).Draw(t, "id")}
		if got, err := ParseEvent(e.String()); err != nil || !got.Match(e) {
			t.Fatalf("%q: %+v, %v", e, got, err)
		}
	})
}

func FuzzSubscriptionState(f *testing.F) {
	for _, s := range []string{"active;expires=60", "terminated;reason=rejected;retry-after=4", `presence;id="a\"b"`, "Active ;Expires= 7"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, v string) {
		if s, err := ParseSubscriptionState(v); err == nil {
			text := s.String()
			again, err := ParseSubscriptionState(text)
			if err != nil || again.String() != text {
				t.Fatalf("%q: %q, %v", v, text, err)
			}
			if _, err := NewHeader("Subscription-State", text); err != nil {
				t.Fatal(err)
			}
		}
		if e, err := ParseEvent(v); err == nil {
			text := e.String()
			again, err := ParseEvent(text)
			if err != nil || again.String() != text {
				t.Fatalf("%q: %q, %v", v, text, err)
			}
			if _, err := NewHeader("Event", text); err != nil {
				t.Fatal(err)
			}
		}
	})
}
