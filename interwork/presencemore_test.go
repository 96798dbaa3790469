package interwork_test

import (
	"fmt"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/stoxgate/stoxgate/interwork"
	"github.com/stoxgate/stoxgate/sip/rlmi"
	"github.com/stoxgate/stoxgate/sip/siptest"
	"github.com/stoxgate/stoxgate/sip/watcherinfo"
	"github.com/stoxgate/stoxgate/xmpp"
	"github.com/stoxgate/stoxgate/xmpp/xmpptest"
)

// subscribe sends a SUBSCRIBE of a phone and takes the answer.
func (r *rig) subscribe(p *siptest.UA, to, pkg, accept string, headers ...string) *siptest.Message {
	r.t.Helper()
	p.Answer(siptest.Is("NOTIFY"), siptest.Status(200))
	req := p.NewRequest("SUBSCRIBE", to, append([]string{
		"Event: " + pkg, "Expires: 600", "Accept: " + accept, "Contact: <" + p.ContactURI() + ">",
	}, headers...)...)
	res, err := p.Do(r.ctx(), req)
	require.NoError(r.t, err)
	return res
}

// told waits for a NOTIFY that has all the texts in its body.
func (r *rig) told(p *siptest.UA, texts ...string) *siptest.Incoming {
	r.t.Helper()
	for {
		n := p.Want(r.t, siptest.Is("NOTIFY"))
		ok := true
		for _, text := range texts {
			ok = ok && strings.Contains(string(n.Body), text)
		}
		if ok {
			return n
		}
	}
}

// A phone sees who watches it (RFC 3857); nobody else does.
func TestWatcherInformation(t *testing.T) {
	r := newRig(t, func(c *interwork.Config) { c.ConfirmWatchers = true })
	otto := r.phone("otto", nil)
	otto.Answer(siptest.Is("SUBSCRIBE"), siptest.Status(489))
	aor := "sip:otto@" + sipDomain
	require.Equal(t, 403, r.subscribe(otto, mira, "presence.winfo", watcherinfo.ContentType).Status)
	res := r.subscribe(otto, aor, "presence.winfo", watcherinfo.ContentType)
	require.Equal(t, 200, res.Status, res)
	n := r.told(otto, "<watcherinfo")
	d, err := watcherinfo.Parse(n.Body)
	require.NoError(t, err)
	require.False(t, d.Partial)
	require.Zero(t, d.Version)

	require.NoError(t, r.mira.Send(&xmpp.Presence{To: jid("otto"), Type: xmpp.PresenceSubscribe}))
	n = r.told(otto, mira, "pending")
	d, err = watcherinfo.Parse(n.Body)
	require.NoError(t, err)
	require.True(t, d.Partial)
	require.EqualValues(t, 1, d.Version)
	r.mira.Refute(t, xmpptest.Type("subscribed"))

	require.NoError(t, r.gateway.DecideWatcher(xmpp.MustJID("mira@"+chatDomain), uri(t, aor), true))
	r.mira.ExpectPresence(t, xmpptest.Type("subscribed"))
	r.told(otto, mira, "active", "approved")
	require.NoError(t, r.gateway.DecideWatcher(xmpp.MustJID("mira@"+chatDomain), uri(t, aor), false))
	r.mira.ExpectPresence(t, xmpptest.Type("unsubscribed"))
	r.told(otto, mira, "terminated", "rejected")
}

// One SUBSCRIBE gives a phone all its contacts (RFC 4662).
func TestContactList(t *testing.T) {
	r := newRig(t, func(c *interwork.Config) { c.ContactList = "contacts" })
	otto := r.phone("otto", nil)
	jonas := r.server.User("jonas@" + chatDomain + "/desk")
	list := "sip:contacts@" + sipDomain
	for _, u := range []*xmpptest.User{r.mira, jonas} {
		require.Equal(t, 200, r.subscribe(otto, "sip:"+u.JID().Bare().String(), "presence", "application/pidf+xml").Status)
		u.ExpectPresence(t, xmpptest.Type("subscribe"))
	}
	require.NoError(t, r.mira.Send(&xmpp.Presence{To: jid("otto"), Type: xmpp.PresenceSubscribed}))
	r.told(otto, mira, "open")

	const types = "application/pidf+xml, application/rlmi+xml, multipart/related"
	require.Equal(t, 421, r.subscribe(otto, list, "presence", types).Status)
	res := r.subscribe(otto, list, "presence", types, "Supported: eventlist")
	require.Equal(t, 200, res.Status, res)
	require.Equal(t, "eventlist", res.Get("Require"))
	n := r.told(otto, "rlmi")
	require.Equal(t, "eventlist", n.Get("Require"))
	body, err := rlmi.ParseBody(n.Get("Content-Type"), n.Body)
	require.NoError(t, err)
	require.True(t, body.List.Full)
	require.Equal(t, list, body.List.URI)
	require.Len(t, body.List.Resources, 2)
	states := map[string]string{}
	for _, x := range body.List.Resources {
		require.Len(t, x.Instances, 1, x.URI)
		states[x.URI] = string(x.Instances[0].State)
		if x.URI == mira {
			require.Contains(t, string(body.Part(x.Instances[0].CID).Data), "open")
		}
	}
	require.Equal(t, map[string]string{mira: "active", "sip:jonas@" + chatDomain: "pending"}, states)

	require.NoError(t, r.mira.Send(&xmpp.Presence{To: jid("otto"), Show: xmpp.ShowDND}))
	n = r.told(otto, "rlmi", "busy")
	body, err = rlmi.ParseBody(n.Get("Content-Type"), n.Body)
	require.NoError(t, err)
	require.False(t, body.List.Full)
	require.Len(t, body.List.Resources, 1, "what has not changed is not told again")
}

// The gateway's own presence is remembered, and asked about after a restart.
func TestGatewayIsAContact(t *testing.T) {
	r := newRig(t, func(c *interwork.Config) { c.SeedContacts = true })
	r.identity("otto", "")
	r.identity("mira", "mira@"+chatDomain)
	self := xmpp.MustJID(sipDomain)
	require.NoError(t, r.mira.Send(&xmpp.Presence{To: self, Type: xmpp.PresenceSubscribe}))
	r.mira.ExpectPresence(t, xmpptest.Type("subscribed"), xmpptest.From(sipDomain))
	r.mira.ExpectPresence(t, xmpptest.Type(""), xmpptest.From(sipDomain))
	r.mira.ExpectPresence(t, xmpptest.Type("subscribe"), xmpptest.From(sipDomain))
	offer := r.mira.ExpectMessage(t, xmpptest.Extension(xmpp.NSRosterX, "x"))
	require.Contains(t, offer.Element().String(), `jid='otto@`+sipDomain+`'`)
	require.NoError(t, r.mira.Send(&xmpp.Presence{To: self, Type: xmpp.PresenceSubscribed}))
	r.mira.Clear()
	r.restart()
	r.mira.ExpectPresence(t, xmpptest.Type("unavailable"), xmpptest.From(sipDomain))
	r.mira.ExpectPresence(t, xmpptest.Type(""), xmpptest.From(sipDomain))
	require.NoError(t, r.mira.Send(&xmpp.Presence{To: self, Type: xmpp.PresenceUnsubscribe}))
	r.mira.ExpectPresence(t, xmpptest.Type("unavailable"), xmpptest.From(sipDomain))
}

// Hostile documents cost nobody a subscription.
func TestHostileDocuments(t *testing.T) {
	r := newRig(t, nil)
	otto := r.phone("otto", nil)
	stream := r.unregistered("otto", func(c *siptest.Config) { c.Transport = "tcp" }) // for what no datagram takes
	otto.Answer(siptest.Is("SUBSCRIBE"), siptest.Status(200, "Expires: 3600", "Contact: <"+otto.ContactURI()+">"))
	require.NoError(t, r.mira.Send(&xmpp.Presence{To: jid("otto"), Type: xmpp.PresenceSubscribe}))
	sub := otto.Want(t, siptest.Is("SUBSCRIBE"))
	seq := 0
	notify := func(contentType, body string) int {
		seq++
		from := otto
		if len(body) > 1000 {
			from = stream
		}
		req := from.NewRequest("NOTIFY", sub.URI("Contact"),
			"From: "+strings.Replace(sub.Get("To"), ";tag=", ";x=", 1)+";tag=ph1", "To: "+sub.Get("From"), "Call-ID: "+sub.Get("Call-ID"),
			fmt.Sprintf("CSeq: %d NOTIFY", seq), "Event: presence", "Subscription-State: active;expires=3600", "Contact: <"+otto.ContactURI()+">", "Content-Type: "+contentType)
		req.Body = []byte(body)
		res, err := from.Do(r.ctx(), req)
		require.NoError(t, err)
		return res.Status
	}
	const pidf = "application/pidf+xml"
	aor := "sip:otto@" + sipDomain
	require.Equal(t, 200, notify(pidf, document(aor, "t1", "open", "first")))
	r.mira.ExpectPresence(t, xmpptest.Type("subscribed"))
	require.Equal(t, "first", r.mira.ExpectPresence(t, xmpptest.Type("")).Status())

	var tuples strings.Builder
	for i := range 10_000 {
		fmt.Fprintf(&tuples, `<tuple id="x%d"><status><basic>open</basic></status></tuple>`, i)
	}
	for name, c := range map[string]struct{ contentType, body string }{
		"entities":      {pidf, `<!DOCTYPE p [<!ENTITY a "aaaa"><!ENTITY b "&a;&a;&a;">]><presence xmlns="urn:ietf:params:xml:ns:pidf">&b;</presence>`},
		"10,000 tuples": {pidf, `<presence xmlns="urn:ietf:params:xml:ns:pidf" entity="` + aor + `">` + tuples.String() + `</presence>`},
		"namespace":     {pidf, `<presence xmlns="urn:x"/>`},
		"no XML":        {pidf, "\x00\x01"},
		"another type":  {"text/plain", "hello"},
	} {
		status := notify(c.contentType, c.body)
		require.Contains(t, []int{200, 400, 413, 415, 513}, status, name)
		t.Logf("%s: %d", name, status)
	}
	// One megabyte: refused, or the connection is closed; nothing else happens.
	big := stream.NewRequest("NOTIFY", sub.URI("Contact"), "From: "+sub.Get("To")+";tag=ph1", "To: "+sub.Get("From"), "Call-ID: "+sub.Get("Call-ID"),
		"CSeq: 900 NOTIFY", "Event: presence", "Subscription-State: active;expires=3600", "Contact: <"+otto.ContactURI()+">", "Content-Type: "+pidf)
	big.Body = []byte(document(aor, "t1", "open", strings.Repeat("x", 1<<20)))
	if res, err := stream.Do(r.ctx(), big); err == nil {
		t.Logf("1 MB: %d", res.Status)
		require.Contains(t, []int{200, 400, 413, 513}, res.Status)
	} else {
		t.Logf("1 MB: %v", err)
	}
	r.mira.Refute(t, xmpptest.Type("unsubscribed"))
	seq = 1000
	require.Equal(t, 200, notify(pidf, document(aor, "t1", "open", "still here")))
	for {
		if r.mira.ExpectPresence(t, xmpptest.Type("")).Status() == "still here" {
			break
		}
	}
	// A dialog that nobody knows.
	stray := otto.NewRequest("NOTIFY", sub.URI("Contact"), "Event: presence", "Subscription-State: active;expires=60", "Contact: <"+otto.ContactURI()+">")
	res, err := otto.Do(r.ctx(), stray)
	require.NoError(t, err)
	require.Equal(t, 481, res.Status)
}

// Who has a call through the gateway is on the phone, for both sides.
func TestOnThePhone(t *testing.T) {
	r := newRig(t, nil)
	otto := r.phone("otto", nil)
	otto.Answer(siptest.Is("SUBSCRIBE"), siptest.Status(489))
	require.NoError(t, r.mira.Send(&xmpp.Presence{To: jid("otto"), Type: xmpp.PresenceSubscribe}))
	r.mira.ExpectPresence(t, xmpptest.Type("subscribed"))
	r.mira.ExpectPresence(t, xmpptest.Type(""), xmpptest.From("otto@"+sipDomain))
	require.Equal(t, 200, r.subscribe(otto, mira, "presence", "application/pidf+xml").Status)
	r.mira.ExpectPresence(t, xmpptest.Type("subscribe"))
	require.NoError(t, r.mira.Send(&xmpp.Presence{To: jid("otto"), Type: xmpp.PresenceSubscribed}))
	r.told(otto, "open")

	user, aor := r.mira.JID(), uri(t, "sip:otto@"+sipDomain)
	r.mira.Clear()
	r.gateway.CallState(user, aor, true)
	r.gateway.CallState(user, aor, true) // a second call
	p := r.mira.ExpectPresence(t, xmpptest.Type(""), xmpptest.From("otto@"+sipDomain), xmpptest.Extension(xmpp.NSCaps, "c"))
	for p.Show != xmpp.ShowDND {
		p = r.mira.ExpectPresence(t, xmpptest.Type(""), xmpptest.From("otto@"+sipDomain))
	}
	require.Equal(t, "On the phone", p.Status())
	r.told(otto, "on-the-phone")
	r.gateway.CallState(user, aor, false)
	r.mira.Refute(t, xmpptest.Type(""))
	r.gateway.CallState(user, aor, false)
	require.Empty(t, r.mira.ExpectPresence(t, xmpptest.Type(""), xmpptest.From("otto@"+sipDomain)).Show)
	n := r.told(otto, "open")
	require.NotContains(t, string(n.Body), "on-the-phone")
}

// A request that runs in circles through gateways ends (RFC 7247 §8): the hop count crosses
// both ways.
func TestHopsCross(t *testing.T) {
	r := newRig(t, nil)
	otto := r.phone("otto", nil)
	otto.Answer(siptest.Is("SUBSCRIBE"), siptest.Status(489))
	require.Equal(t, 200, r.subscribe(otto, mira, "presence", "application/pidf+xml", "Max-Forwards: 7").Status)
	ask := r.mira.ExpectPresence(t, xmpptest.Type("subscribe"))
	headers := ask.Extension(xmpp.NSSHIM, "headers")
	require.NotNil(t, headers)
	require.Equal(t, "6", headers.Child(xmpp.NSSHIM, "header").Text())
	require.NoError(t, r.mira.Send(&xmpp.Presence{To: jid("otto"), Type: xmpp.PresenceSubscribe, Extensions: []*xmpp.Element{headers}}))
	require.Equal(t, "6", otto.Want(t, siptest.Is("SUBSCRIBE")).Get("Max-Forwards"))
}

// Lists and watcher information go on after a restart.
func TestWatchersOfManySurviveARestart(t *testing.T) {
	r := newRig(t, func(c *interwork.Config) { c.ContactList = "contacts" })
	otto := r.phone("otto", nil)
	require.Equal(t, 200, r.subscribe(otto, mira, "presence", "application/pidf+xml").Status)
	r.mira.ExpectPresence(t, xmpptest.Type("subscribe"))
	require.NoError(t, r.mira.Send(&xmpp.Presence{To: jid("otto"), Type: xmpp.PresenceSubscribed}))
	r.told(otto, mira, "open")
	const types = "application/pidf+xml, application/rlmi+xml, multipart/related"
	require.Equal(t, 200, r.subscribe(otto, "sip:contacts@"+sipDomain, "presence", types, "Supported: eventlist").Status)
	r.told(otto, "rlmi", "open")
	require.Equal(t, 200, r.subscribe(otto, "sip:otto@"+sipDomain, "presence.winfo", watcherinfo.ContentType).Status)
	r.told(otto, "<watcherinfo")

	r.restart()
	require.NoError(t, r.mira.Send(&xmpp.Presence{To: jid("otto"), Show: xmpp.ShowDND}))
	n := r.told(otto, "rlmi", "busy")
	body, err := rlmi.ParseBody(n.Get("Content-Type"), n.Body)
	require.NoError(t, err)
	require.True(t, body.List.Full)
	require.NoError(t, r.mira.Send(&xmpp.Presence{To: jid("otto"), Type: xmpp.PresenceSubscribe}))
	r.told(otto, "<watcherinfo", mira)
}
