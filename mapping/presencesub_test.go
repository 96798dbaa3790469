package mapping

import (
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/stoxgate/stoxgate/sip"
	"github.com/stoxgate/stoxgate/sip/watcherinfo"
	"github.com/stoxgate/stoxgate/xmpp"
)

// verdict is a WatchVerdict in short.
func verdict(v WatchVerdict) string {
	s := v.Retry.String()
	if v.Wait > 0 {
		s += " " + v.Wait.String()
	}
	if v.Tell != "" {
		s += ", " + string(v.Tell)
	}
	if v.Error != nil {
		s += " " + string(v.Error.Condition)
	}
	return s
}

// spec/presence.md §3.1, rows 6 to 9 and 18.
func TestSubscribeStatusToVerdict(t *testing.T) {
	minExpires := []sip.Header{sip.MustHeader("Min-Expires", "7200")}
	tests := []struct {
		status  sip.Status
		asked   string // nobody has agreed yet
		granted string
	}{
		{sip.Status{Code: 200}, "unknown", "unknown"},
		{sip.Status{Code: 403}, "never, unsubscribed", "never, unsubscribed"},
		{sip.Status{Code: 489}, "never, unsubscribed", "never, unsubscribed"},
		{sip.Status{Code: 603}, "never, unsubscribed", "never, unsubscribed"},
		{sip.Status{Code: 607}, "never, unsubscribed", "never, unsubscribed"},
		{sip.Status{Code: 404}, "never, error item-not-found", "login 24h0m0s, unavailable"},
		{sip.Status{Code: 604}, "never, error item-not-found", "login 24h0m0s, unavailable"},
		{sip.Status{Code: 410}, "never, error gone", "login 24h0m0s, unavailable"},
		{sip.Status{Code: 405}, "never, error feature-not-implemented", "login 24h0m0s, unavailable"},
		{sip.Status{Code: 501}, "never, error feature-not-implemented", "login 24h0m0s, unavailable"},
		{sip.Status{Code: 401}, "never, error not-authorized", "login 24h0m0s, unavailable"},
		{sip.Status{Code: 407}, "never, error registration-required", "login 24h0m0s, unavailable"},
		{sip.Status{Code: 302}, "never, error redirect", "login 24h0m0s, unavailable"},
		{sip.Status{Code: 416}, "never, error not-acceptable", "login 24h0m0s, unavailable"},
		{sip.Status{Code: 423, Headers: minExpires}, "longer 2h0m0s", "longer 2h0m0s"},
		{sip.Status{Code: 423}, "after 1m0s", "after 1m0s"},
		{sip.Status{Code: 423, Headers: []sip.Header{sip.MustHeader("Min-Expires", "soon")}}, "after 1m0s", "after 1m0s"},
		{sip.Status{Code: 481}, "after", "after"},
		{sip.Status{Code: 408}, "after 1m0s", "after 1m0s"},
		{sip.Status{Code: 480}, "after 1m0s", "after 1m0s"},
		{sip.Status{Code: 500}, "after 1m0s", "after 1m0s"},
		{sip.Status{Code: 503, RetryAfter: 10 * time.Second}, "after 10s", "after 10s"},
		{sip.Status{Code: 503, RetryAfter: 1000 * time.Hour}, "after 24h0m0s", "after 24h0m0s"},
		{sip.Status{Code: 513}, "never, error policy-violation", "login 24h0m0s, unavailable"},
	}
	for _, tt := range tests {
		if got := verdict(SubscribeStatusToVerdict(tt.status, Watch{})); got != tt.asked {
			t.Errorf("%d asked: %s", tt.status.Code, got)
		}
		if got := verdict(SubscribeStatusToVerdict(tt.status, Watch{Granted: true})); got != tt.granted {
			t.Errorf("%d granted: %s", tt.status.Code, got)
		}
	}
	for code := 300; code < 700; code++ {
		for _, w := range []Watch{{}, {Granted: true}, {Granted: true, Attempt: 9}} {
			if v := SubscribeStatusToVerdict(sip.Status{Code: code}, w); v.Retry == RetryUnknown || (v.Error != nil) != (v.Tell == xmpp.PresenceError) {
				t.Errorf("%d: %s", code, verdict(v))
			}
		}
	}
}

func TestSubscribeAgain(t *testing.T) {
	for attempt, want := range []string{"after 1m0s", "after 2m0s", "after 4m0s, unavailable", "after 8m0s, unavailable"} {
		if got := verdict(SubscribeStatusToVerdict(sip.Status{Code: 500}, Watch{Granted: true, Attempt: attempt})); got != want {
			t.Errorf("%d: %s", attempt, got)
		}
	}
	if got := verdict(SubscribeStatusToVerdict(sip.Status{Code: 481}, Watch{Granted: true, Attempt: 1})); got != "after 2m0s" {
		t.Error(got)
	}
	if got := verdict(SubscribeStatusToVerdict(sip.Status{Code: 500}, Watch{Attempt: 1 << 40})); got != "after 1h0m0s" {
		t.Error(got)
	}
	for f, want := range map[Failure][2]string{
		FailureTimeout:   {"after 1m0s", "after 1m0s"},
		FailureTransport: {"after 1m0s", "after 1m0s"},
		FailureResolve:   {"never, error remote-server-not-found", "after 1m0s"},
	} {
		got := [2]string{verdict(SubscribeFailureToVerdict(f, Watch{})), verdict(SubscribeFailureToVerdict(f, Watch{Granted: true}))}
		if got != want {
			t.Errorf("%d: %v", f, got)
		}
	}
}

// spec/presence.md §3.1, rows 6 and 10 to 13; RFC 6665 §4.1.3.
func TestTerminationToVerdict(t *testing.T) {
	tests := []struct{ state, asked, granted, again string }{
		{"active;expires=60", "unknown", "unknown", "unknown"},
		{"pending", "unknown", "unknown", "unknown"},
		{"terminated;reason=deactivated;retry-after=9", "after", "after", "after 2m0s"},
		{"terminated;reason=timeout", "after", "after", "after 2m0s"},
		{"terminated;reason=probation", "after 1m0s", "after 1m0s", "after 2m0s"},
		{"terminated;reason=probation;retry-after=300", "after 5m0s", "after 5m0s", "after 5m0s"},
		{"terminated;reason=giveup", "after 1m0s", "after 1m0s", "after 2m0s"},
		{"terminated;reason=rejected;retry-after=9", "never, unsubscribed", "never, unsubscribed", "never, unsubscribed"},
		{"terminated;reason=noresource", "never, error item-not-found", "login 24h0m0s, unavailable", "login 24h0m0s, unavailable"},
		{"terminated;reason=invariant", "login", "login", "login"},
		{"terminated", "after 1m0s", "after 1m0s", "after 2m0s"},
		{"terminated;reason=weather;retry-after=10", "after 10s", "after 10s", "after 10s"},
	}
	for _, tt := range tests {
		s, err := sip.ParseSubscriptionState(tt.state)
		if err != nil {
			t.Fatal(err)
		}
		for w, want := range map[Watch]string{{}: tt.asked, {Granted: true}: tt.granted, {Granted: true, Attempt: 1}: tt.again} {
			if got := verdict(TerminationToVerdict(s, w)); got != want {
				t.Errorf("%s, %+v: %s", tt.state, w, got)
			}
		}
	}
	if Retry(99).String() != "unknown" {
		t.Error("name of no retry")
	}
}

// spec/presence.md §4.1, row 14.
func TestPresenceErrorToState(t *testing.T) {
	want := map[xmpp.Condition]string{
		xmpp.ConditionItemNotFound: "noresource", xmpp.ConditionGone: "noresource", xmpp.ConditionJIDMalformed: "noresource",
		xmpp.ConditionRemoteServerNotFound: "probation;retry-after=300", xmpp.ConditionRemoteServerTimeout: "probation;retry-after=300",
		xmpp.ConditionResourceConstraint: "probation;retry-after=300",
	}
	for _, c := range append(xmpp.AllConditions[:len(xmpp.AllConditions):len(xmpp.AllConditions)], "new-condition") {
		reason := want[c]
		if reason == "" {
			reason = "rejected"
		}
		if got := PresenceErrorToState(xmpp.StanzaError{Condition: c, Type: xmpp.ErrorCancel}).String(); got != "terminated;reason="+reason {
			t.Errorf("%s: %s", c, got)
		}
	}
	if got := PresenceErrorToState(xmpp.StanzaError{Condition: xmpp.ConditionInternalServerError, Type: xmpp.ErrorWait}).String(); got != "terminated;reason=probation;retry-after=300" {
		t.Error(got)
	}
}

func TestWatchersToInfo(t *testing.T) {
	u := func(s string) sip.URI {
		u, err := sip.ParseURI(s)
		if err != nil {
			t.Fatal(err)
		}
		return u
	}
	mira := Watcher{URI: u("sip:mira@chat.harbor.example;gr=desk"), Name: "Mira\r\n", Status: watcherinfo.Pending, Event: watcherinfo.Subscribe, Since: goldenNow.Add(-90 * time.Second)}
	anna := Watcher{URI: u("sip:anna@chat.harbor.example"), Status: watcherinfo.Active, Event: watcherinfo.Approved, Expires: goldenNow.Add(time.Hour)}
	approved := mira
	approved.Status, approved.Event = watcherinfo.Active, watcherinfo.Approved
	rejected := mira
	rejected.Status, rejected.Event, rejected.Expires = watcherinfo.Terminated, watcherinfo.Rejected, goldenNow.Add(time.Hour)
	c := WatchersContext{Resource: u("sip:otto@voice.quay.example;transport=tcp"), Version: 3, Now: goldenNow}
	full := c
	full.Full = true

	tests := []struct {
		name       string
		prev, next []Watcher
		c          WatchersContext
		want       string // what stands between the tags of the list; "-": nothing changed
	}{
		{
			"full", nil,
			[]Watcher{mira, anna, rejected},
			full,
			`<watcher display-name="Mira" status="pending" event="subscribe" id="wlprgrguot9uuc" duration-subscribed="90">sip:mira@chat.harbor.example</watcher>` +
				`<watcher status="active" event="approved" expiration="3600" id="w27389a41b0d1c">sip:anna@chat.harbor.example</watcher>`,
		},
		{"full of nobody", []Watcher{anna}, nil, full, ""},
		{"twice", []Watcher{mira, mira}, []Watcher{mira, approved}, c, "-"},
		{"nothing", []Watcher{mira, anna}, []Watcher{anna, mira}, c, "-"},
		{
			"approved",
			[]Watcher{mira, anna},
			[]Watcher{approved, anna},
			c,
			`<watcher display-name="Mira" status="active" event="approved" id="wlprgrguot9uuc" duration-subscribed="90">sip:mira@chat.harbor.example</watcher>`,
		},
		{
			"rejected",
			[]Watcher{mira},
			[]Watcher{rejected},
			c,
			`<watcher display-name="Mira" status="terminated" event="rejected" id="wlprgrguot9uuc" duration-subscribed="90">sip:mira@chat.harbor.example</watcher>`,
		},
		{"rejected stays so", []Watcher{rejected}, nil, c, "-"},
		{"rejected before it was told", nil, []Watcher{rejected}, c, "-"},
		{"gone", []Watcher{anna}, nil, c, `<watcher status="terminated" event="timeout" id="w27389a41b0d1c">sip:anna@chat.harbor.example</watcher>`},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			d, changed := WatchersToInfo(tt.prev, tt.next, tt.c)
			if changed != (tt.want != "-") {
				t.Fatalf("changed %v: %s", changed, d)
			}
			if !changed {
				return
			}
			state := "partial"
			if tt.c.Full {
				state = "full"
			}
			want := `<?xml version="1.0" encoding="UTF-8"?>` + "\n" + `<watcherinfo xmlns="urn:ietf:params:xml:ns:watcherinfo" version="3" state="` + state +
				`"><watcher-list resource="sip:otto@voice.quay.example" package="presence">` + tt.want + `</watcher-list></watcherinfo>`
			if diff := cmp.Diff(want, d.String()); diff != "" {
				t.Fatal(diff)
			}
		})
	}
}
