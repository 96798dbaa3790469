package event

import (
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/stoxgate/stoxgate/sip"
)

// rawOf is the wire form of a request made of lines.
func rawOf(t testing.TB, method string, defaults []string, change ...string) []byte {
	b, err := sip.AppendMessage(nil, lines(t, method, defaults, change))
	require.NoError(t, err)
	return b
}

// FuzzRequests gives hostile requests to all three servers. Whatever comes, it gets a
// final status that can be sent, and what was accepted makes requests that can be sent
// and name the dialog as the peer did.
func FuzzRequests(f *testing.F) {
	for _, change := range [][]string{
		nil,
		{"Event: presence;id=7"},
		{"Expires: 0"},
		{"Expires: 59"},
		{"To: <sip:mira@chat.example>;tag=n1"},
		{"Accept: */*;q=0, text/*"},
		{"Record-Route: <sip:p.example;lr>, <sip:q.example>"},
		{"Contact: <sip:a@[::1]:9;x=%22?h=1>"},
		{"Content-Type: text/plain", "Body: x"},
		{"From: \"\\\"\" <sip:otto@voice.example>;tag=\"a b\""},
		{"Supported: eventlist"},
	} {
		f.Add(rawOf(f, "SUBSCRIBE", subscribeDefaults, change...))
	}
	notify := []string{
		"Via: SIP/2.0/UDP 192.0.2.9:5060;branch=z9hG4bK1", "Max-Forwards: 70", "From: <sip:otto@voice.example>;tag=p",
		"To: <sip:mira@chat.example>;tag=ours", "Call-ID: ours", "CSeq: 1 NOTIFY", "Contact: <sip:otto@192.0.2.9>", "Event: presence",
		"Subscription-State: active;expires=60",
	}
	for _, state := range []string{"active", "pending;expires=0", "terminated;reason=probation;retry-after=99999999999", "x;y=\"z\"", "terminated;reason=rejected"} {
		f.Add(rawOf(f, "NOTIFY", notify, "Subscription-State: "+state))
	}
	f.Add(rawOf(f, "PUBLISH", publishDefaults, document("x")...))
	f.Add(rawOf(f, "PUBLISH", publishDefaults, "SIP-If-Match: a"))
	f.Fuzz(func(t *testing.T, raw []byte) {
		msg, err := sip.ParseMessage(raw)
		req, ok := msg.(*sip.Request)
		if err != nil || !ok || sip.CheckRequest(req, "eventlist") != nil {
			return
		}
		if _, err := sip.AppendMessage(nil, sip.NewResponse(req, sip.Status{Code: 200}, "n2")); err != nil {
			return // what is copied from it cannot be sent, whatever we say
		}
		a := arrived(req, "n2")
		var st sip.Status
		switch req.Method {
		case sip.SUBSCRIBE:
			st = fuzzSubscribe(t, &a)
		case sip.NOTIFY:
			st = fuzzNotify(t, &a)
		case sip.PUBLISH:
			s, err := NewPublicationServer(PublicationConfig{Packages: []PublicationPackage{{Name: "presence", Accept: []string{pidfType}, Owner: &fakeComposer{}}}})
			require.NoError(t, err)
			var r *published
			if st, r = s.take(&a, sip.NameAddr{}); r != nil {
				r.deliver()
			}
		default:
			return
		}
		require.GreaterOrEqual(t, st.Code, 200)
		_, err = sip.AppendMessage(nil, sip.NewResponse(req, st, "n2"))
		require.NoError(t, err)
	})
}

func fuzzSubscribe(t *testing.T, a *arrival) sip.Status {
	n, err := NewNotifier(NotifierConfig{Sender: &fakeSender{}, Packages: []Package{{Name: "presence", Accept: []string{pidfType}, Owner: &quietOwner{}}}})
	require.NoError(t, err)
	first := arrived(lines(t, "SUBSCRIBE", subscribeDefaults, nil), "n1")
	st, s := n.take(&first, sip.NameAddr{})
	require.Equal(t, 200, st.Code)
	s.answered()
	st, s = n.take(a, sip.NameAddr{})
	if s == nil {
		require.NotEqual(t, 2, st.Code/100)
		return st
	}
	s.answered()
	require.Equal(t, 200, st.Code)
	s.mu.Lock()
	out, _, err := s.request(&Notification{State: sip.SubscriptionActive}, pidfType, []byte("x"))
	s.mu.Unlock()
	require.NoError(t, err)
	checkDialog(t, out, s.ID(), sip.FromTag(a.req), sip.CallID(a.req))
	again, err := newFuzzNotifier(t).Restore(s.Record())
	if s.Record().Granted > 0 { // not a poll
		require.NoError(t, err)
		require.Equal(t, s.Record().Target, again.Record().Target)
	}
	return st
}

func newFuzzNotifier(t *testing.T) *Notifier {
	n, err := NewNotifier(NotifierConfig{Sender: &fakeSender{}, Packages: []Package{{Name: "presence", Accept: []string{pidfType}, Owner: &quietOwner{}}}})
	require.NoError(t, err)
	return n
}

func fuzzNotify(t *testing.T, a *arrival) sip.Status {
	s, err := NewSubscriber(SubscriberConfig{Sender: &fakeSender{}})
	require.NoError(t, err)
	w, err := s.Subscribe(WatchOptions{
		From: sip.NameAddr{URI: sip.URI{Scheme: "sip", User: "mira", Host: "chat.example"}},
		To:   sip.URI{Scheme: "sip", User: "otto", Host: "voice.example"}, Package: "presence", Accept: []string{pidfType}, Owner: &fakeWatcher{},
	})
	require.NoError(t, err)
	w.mu.Lock()
	old := w.callID
	w.callID, w.tag, w.contact = "ours", "ours", "sip:mira@192.0.2.1"
	s.register(w, old)
	w.mu.Unlock()
	st, _ := s.take(a)
	w.settle()
	w.mu.Lock()
	defer w.mu.Unlock()
	for _, d := range w.dialogs {
		p, err := d.peer()
		require.NoError(t, err)
		out, err := w.request(p.target, d, 2, time.Minute)
		require.NoError(t, err)
		checkDialog(t, out, "ours", sip.FromTag(a.req), "ours")
	}
	return st
}

// checkDialog reads a request of ours as its receiver does.
func checkDialog(t *testing.T, req *sip.Request, from, to, callID string) {
	raw, err := sip.AppendMessage(nil, req)
	require.NoError(t, err)
	via := "SIP/2.0\r\nVia: SIP/2.0/UDP 192.0.2.1;branch=z9hG4bKx\r\nMax-Forwards: 70\r\n"
	msg, err := sip.ParseMessage([]byte(strings.Replace(string(raw), "SIP/2.0\r\n", via, 1)))
	require.NoError(t, err)
	back := msg.(*sip.Request)
	require.Nil(t, sip.CheckRequest(back), "%s", raw)
	require.Equal(t, from, sip.FromTag(back))
	require.Equal(t, callID, sip.CallID(back))
	if isToken(to) {
		require.Equal(t, to, sip.ToTag(back))
	}
}

// FuzzHeaders: the small readers never panic, and what they take they understand.
func FuzzHeaders(f *testing.F) {
	for _, s := range []string{"3600", "", "-1", "99999999999999999999", "application/pidf+xml;q=0", "a;q=0.0;q=1", "*/*", "x/*", ";;=;"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, s string) {
		if d, ok := parseSeconds(s); ok {
			require.GreaterOrEqual(t, d, time.Duration(0))
			require.LessOrEqual(t, d, maxSeconds*time.Second)
		}
		accepts([]string{s}, pidfType)
		accepts([]string{pidfType}, s)
		if isToken(s) {
			require.NotContains(t, s, ";")
		}
	})
}
