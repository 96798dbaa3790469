package interwork_test

import (
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/stoxgate/stoxgate/sip/siptest"
	"github.com/stoxgate/stoxgate/xmpp"
	"github.com/stoxgate/stoxgate/xmpp/xmpptest"
)

// notifyRequest is a NOTIFY of a phone in the dialog that a SUBSCRIBE of ours asks for.
func notifyRequest(p *siptest.UA, sub *siptest.Incoming, cseq, state, body string, headers ...string) *siptest.Message {
	to, _, _ := strings.Cut(sub.Get("To"), ";tag=")
	req := p.NewRequest("NOTIFY", sub.URI("Contact"), append([]string{
		"From: " + to + ";tag=ph1", "To: " + sub.Get("From"), "Call-ID: " + sub.Get("Call-ID"), "CSeq: " + cseq + " NOTIFY",
		"Event: presence", "Subscription-State: " + state, "Contact: <" + p.ContactURI() + ">",
	}, headers...)...)
	if body != "" {
		req.Add("Content-Type", "application/pidf+xml")
		req.Body = []byte(body)
	}
	return req
}

func openDocument(note string) string {
	return `<presence xmlns="urn:ietf:params:xml:ns:pidf" entity="sip:otto@` + sipDomain + `"><tuple id="t1"><status><basic>open</basic></status><note>` +
		note + `</note></tuple></presence>`
}

// A NOTIFY is faster than the 200 to the SUBSCRIBE (RFC 6665 §4.1.2.4), and than the
// gateway's own notes about the subscription. It is answered and shown all the same.
func TestNotifyFasterThanItsSubscription(t *testing.T) {
	r := newRig(t, nil)
	otto := r.phone("otto", nil)
	release, seen := make(chan struct{}), make(chan struct{})
	free := sync.OnceFunc(func() { close(release) })
	t.Cleanup(free)
	otto.Answer(siptest.Is("SUBSCRIBE"), siptest.Released(release, siptest.Status(200, "Expires: 3600", "Contact: <"+otto.ContactURI()+">")))
	r.gateway.AfterSubscribe(func() {
		select {
		case <-seen:
		case <-time.After(20 * time.Second):
		}
	})
	require.NoError(t, r.mira.Send(&xmpp.Presence{To: jid("otto"), Type: xmpp.PresenceSubscribe}))
	sub := otto.Want(t, siptest.Is("SUBSCRIBE"))
	res, err := otto.Do(r.ctx(), notifyRequest(otto, sub, "1", "active;expires=3600", openDocument("first")))
	require.NoError(t, err)
	require.Equal(t, 200, res.Status, res)
	close(seen)
	r.mira.ExpectPresence(t, xmpptest.Type("subscribed"))
	require.Equal(t, "first", r.mira.ExpectPresence(t, xmpptest.Type("")).Status())
	free()
	res, err = otto.Do(r.ctx(), notifyRequest(otto, sub, "2", "active;expires=3600", openDocument("second")))
	require.NoError(t, err)
	require.Equal(t, 200, res.Status, res)
	require.Equal(t, "second", r.mira.ExpectPresence(t, xmpptest.Type("")).Status())
}

// A subscription that is refused before the gateway has noted it is not waited for.
func TestRefusalFasterThanItsSubscription(t *testing.T) {
	r := newRig(t, nil)
	otto := r.phone("otto", nil)
	otto.Answer(siptest.Is("SUBSCRIBE"), siptest.Status(603))
	over := make(chan struct{})
	r.gateway.AfterSubscribe(func() {
		select {
		case <-over:
		case <-time.After(20 * time.Second):
		}
	})
	require.NoError(t, r.mira.Send(&xmpp.Presence{To: jid("otto"), Type: xmpp.PresenceSubscribe}))
	otto.Want(t, siptest.Is("SUBSCRIBE"))
	r.eventually("the refusal is taken", func() bool { return r.gateway.Watches() == 0 })
	close(over)
	r.mira.ExpectPresence(t, xmpptest.Type("unsubscribed"))
}

// What overtakes on the way does not bring an older state back.
func TestNotifyOvertaken(t *testing.T) {
	r := newRig(t, nil)
	otto := r.phone("otto", nil)
	otto.Answer(siptest.Is("SUBSCRIBE"), siptest.Status(200, "Expires: 3600", "Contact: <"+otto.ContactURI()+">"))
	require.NoError(t, r.mira.Send(&xmpp.Presence{To: jid("otto"), Type: xmpp.PresenceSubscribe}))
	sub := otto.Want(t, siptest.Is("SUBSCRIBE"))
	for _, step := range []struct {
		cseq, note string
		status     int
	}{{"2", "newer", 200}, {"1", "older", 500}, {"3", "newest", 200}} {
		res, err := otto.Do(r.ctx(), notifyRequest(otto, sub, step.cseq, "active;expires=3600", openDocument(step.note)))
		require.NoError(t, err)
		require.Equal(t, step.status, res.Status, res)
	}
	r.mira.ExpectPresence(t, xmpptest.Type("subscribed"))
	require.Equal(t, "newer", r.mira.ExpectPresence(t, xmpptest.Type("")).Status())
	require.Equal(t, "newest", r.mira.ExpectPresence(t, xmpptest.Type("")).Status())
}
