package interwork_test

import (
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/stoxgate/stoxgate/interwork"
	"github.com/stoxgate/stoxgate/sip/siptest"
	"github.com/stoxgate/stoxgate/xmpp"
	"github.com/stoxgate/stoxgate/xmpp/xmpptest"
)

// A desk phone takes no SUBSCRIBE: it is seen as online while it is registered.
func TestJabberUserSeesARegisteredPhone(t *testing.T) {
	r := newRig(t, nil)
	otto := r.phone("otto", nil)
	otto.Answer(siptest.Is("SUBSCRIBE"), siptest.Status(489, "Allow-Events: dialog"))

	require.NoError(t, r.mira.Send(&xmpp.Presence{To: jid("otto"), Type: xmpp.PresenceSubscribe, ID: "s-1"}))
	r.mira.ExpectPresence(t, xmpptest.Type("subscribed"), xmpptest.From("otto@"+sipDomain))
	p := r.mira.ExpectPresence(t, xmpptest.Type(""), xmpptest.From("otto@"+sipDomain))
	require.NotEmpty(t, p.From.Resource(), "a call needs a full JID")
	require.NotNil(t, p.Extension(xmpp.NSCaps, "c"))

	_, err := otto.Unregister(r.ctx())
	require.NoError(t, err)
	gone := r.mira.ExpectPresence(t, xmpptest.Type("unavailable"), xmpptest.From("otto@"+sipDomain))
	require.Equal(t, p.From, gone.From)
	r.mira.Refute(t, xmpptest.Type("unsubscribed"))
}

// A phone that serves presence answers for itself.
func TestJabberUserSeesAPhoneThatNotifies(t *testing.T) {
	r := newRig(t, nil)
	otto := r.phone("otto", nil)
	otto.Answer(siptest.Is("SUBSCRIBE"), siptest.Status(200, "Expires: 3600", "Contact: <"+otto.ContactURI()+">"))
	require.NoError(t, r.mira.Send(&xmpp.Presence{To: jid("otto"), Type: xmpp.PresenceSubscribe}))
	sub := otto.Want(t, siptest.Is("SUBSCRIBE"))
	require.Equal(t, "presence", sub.Get("Event"))

	notify := func(n, state, body string) int {
		req := otto.NewRequest("NOTIFY", sub.URI("Contact"),
			"From: "+strings.Replace(sub.Get("To"), ";tag=", ";x=", 1)+";tag=ph1", "To: "+sub.Get("From"), "Call-ID: "+sub.Get("Call-ID"),
			"CSeq: "+n+" NOTIFY", "Event: presence", "Subscription-State: "+state, "Contact: <"+otto.ContactURI()+">", "Content-Type: application/pidf+xml")
		req.Body = []byte(body)
		res, err := otto.Do(r.ctx(), req)
		require.NoError(t, err)
		return res.Status
	}
	require.Equal(t, 200, notify("1", "pending;expires=3600", ""))
	require.Equal(t, 200, notify("2", "active;expires=3600",
		`<presence xmlns="urn:ietf:params:xml:ns:pidf" entity="sip:otto@`+sipDomain+`"><tuple id="t1"><status><basic>open</basic></status><note>at the quay</note></tuple></presence>`))
	r.mira.ExpectPresence(t, xmpptest.Type("subscribed"))
	p := r.mira.ExpectPresence(t, xmpptest.Type(""))
	require.Equal(t, "at the quay", p.Status())
}

// A phone puts mira on a key and sees the lamp.
func TestPhoneSeesAJabberUser(t *testing.T) {
	r := newRig(t, nil)
	otto := r.phone("otto", nil)
	otto.Answer(siptest.Is("NOTIFY"), siptest.Status(200))
	req := otto.NewRequest("SUBSCRIBE", mira, "Event: presence", "Expires: 600", "Accept: application/pidf+xml", "Contact: <"+otto.ContactURI()+">")
	res, err := otto.Do(r.ctx(), req)
	require.NoError(t, err)
	require.Equal(t, 200, res.Status, res)

	n := otto.Want(t, siptest.Is("NOTIFY"))
	require.Contains(t, n.Get("Subscription-State"), "pending")
	require.Empty(t, n.Body, "nothing leaks before mira agrees")
	r.mira.ExpectPresence(t, xmpptest.Type("subscribe"), xmpptest.From("otto@"+sipDomain))
	require.NoError(t, r.mira.Send(&xmpp.Presence{To: jid("otto"), Type: xmpp.PresenceSubscribed}))
	n = otto.Want(t, siptest.Is("NOTIFY"))
	for !strings.Contains(string(n.Body), "open") {
		n = otto.Want(t, siptest.Is("NOTIFY"))
	}
	require.Contains(t, n.Get("Subscription-State"), "active")
}

func TestGatewayShowsItself(t *testing.T) {
	r := newRig(t, nil)
	require.NoError(t, r.mira.Send(&xmpp.Presence{To: xmpp.MustJID(sipDomain), Type: xmpp.PresenceSubscribe}))
	r.mira.ExpectPresence(t, xmpptest.Type("subscribed"), xmpptest.From(sipDomain))
	r.mira.ExpectPresence(t, xmpptest.Type(""), xmpptest.From(sipDomain))
}

// Both sides go on after a restart, and nobody sees a flap.
func TestPresenceSurvivesARestart(t *testing.T) {
	r := newRig(t, nil)
	otto := r.phone("otto", nil)
	otto.Answer(siptest.Is("SUBSCRIBE"), siptest.Status(489))
	require.NoError(t, r.mira.Send(&xmpp.Presence{To: jid("otto"), Type: xmpp.PresenceSubscribe}))
	r.mira.ExpectPresence(t, xmpptest.Type("subscribed"))
	r.mira.ExpectPresence(t, xmpptest.Type(""), xmpptest.From("otto@"+sipDomain))
	r.mira.Clear()
	r.restart()
	require.Contains(t, []int{200, 202}, r.say(r.again("otto"), mira, "still here"))
	r.mira.ExpectMessage(t, xmpptest.Body("still here"))
	r.mira.Refute(t, xmpptest.Type("unsubscribed"))
	r.mira.Refute(t, xmpptest.Type("subscribed"))
	r.mira.Refute(t, xmpptest.Type("unavailable"))
}

// Messages of strangers may be let in; watchers whom nobody vouches for never are.
func TestPublicMessagesOpenNothingElse(t *testing.T) {
	r := newRig(t, func(c *interwork.Config) { c.PublicMessages = true })
	stranger := r.unregistered("x", func(c *siptest.Config) { c.AOR = "sip:otto@elsewhere.example" })
	require.Equal(t, 200, r.say(stranger, mira, "hello"))
	res, err := stranger.Do(r.ctx(), stranger.NewRequest("SUBSCRIBE", mira,
		"Event: presence", "Expires: 600", "Accept: application/pidf+xml", "Contact: <"+stranger.ContactURI()+">"))
	require.NoError(t, err)
	require.Contains(t, []int{401, 403}, res.Status)
	r.mira.Refute(t, xmpptest.Type("subscribe"))
}
