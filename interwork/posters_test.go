package interwork_test

import (
	"strconv"
	"sync/atomic"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/stoxgate/stoxgate/interwork"
	"github.com/stoxgate/stoxgate/interwork/identity"
	"github.com/stoxgate/stoxgate/sip"
	"github.com/stoxgate/stoxgate/sip/siptest"
	"github.com/stoxgate/stoxgate/xmpp"
	"github.com/stoxgate/stoxgate/xmpp/xmpptest"
)

// publishing is a rig with a presence server, at which mira is published while the gateway
// sees her.
func publishing(t *testing.T) (r *rig, server *siptest.UA) {
	server = siptest.Start(t, siptest.Config{AOR: "sip:server@quay.example", Auto: true})
	var tags atomic.Int64
	server.Answer(siptest.Is("PUBLISH"), siptest.Reply(func(in *siptest.Incoming) *siptest.Message {
		return in.Response(200, "Expires: 3600", "SIP-ETag: tag"+strconv.FormatInt(tags.Add(1), 10))
	}))
	r = newRig(t, func(c *interwork.Config) {
		c.Trunks = []interwork.Trunk{{Name: "quay", URI: uri(t, server.ContactURI()), Domains: []string{"quay.example"}, Publish: true}}
	})
	_, err := r.table.Add(t.Context(), identity.Identity{
		ID: "mira", JID: xmpp.MustJID("mira@" + chatDomain), AORs: []sip.URI{uri(t, "sip:mira@quay.example")}, Policy: identity.AllowAll,
	}, password)
	require.NoError(t, err)
	self := xmpp.MustJID(sipDomain)
	require.NoError(t, r.mira.Send(&xmpp.Presence{To: self, Type: xmpp.PresenceSubscribe}))
	r.mira.ExpectPresence(t, xmpptest.Type("subscribe"), xmpptest.From(sipDomain))
	require.NoError(t, r.mira.Send(&xmpp.Presence{To: self, Type: xmpp.PresenceSubscribed}))
	require.NoError(t, r.mira.Send(&xmpp.Presence{To: self}))
	first := server.Want(t, siptest.Is("PUBLISH"))
	require.Empty(t, first.Get("SIP-If-Match"))
	require.Contains(t, string(first.Body), "open")
	r.eventually("the publication is stored", func() bool { return r.gateway.PublicationTag("mira@"+chatDomain) == "tag1" })
	return r, server
}

// A publication of before a restart is modified, not doubled.
func TestPublicationOverARestart(t *testing.T) {
	r, server := publishing(t)
	r.restart()
	again := server.Want(t, siptest.Is("PUBLISH")) // she was asked for when the link was up
	require.Equal(t, "tag1", again.Get("SIP-If-Match"))
	require.Contains(t, string(again.Body), "open")
}

// A server that has forgotten the tag gets the publication anew (RFC 3903 §4.1).
func TestPublicationForgottenByItsServer(t *testing.T) {
	r, server := publishing(t)
	server.Forget()
	server.Answer(siptest.Is("PUBLISH"), siptest.Reply(func(in *siptest.Incoming) *siptest.Message {
		if in.Get("SIP-If-Match") != "" {
			return in.Response(412)
		}
		return in.Response(200, "Expires: 3600", "SIP-ETag: fresh")
	}))
	r.restart()
	require.Equal(t, "tag1", server.Want(t, siptest.Is("PUBLISH")).Get("SIP-If-Match"))
	anew := server.Want(t, siptest.Is("PUBLISH"))
	require.Empty(t, anew.Get("SIP-If-Match"))
	require.Contains(t, string(anew.Body), "open")
	r.eventually("the new tag is stored", func() bool { return r.gateway.PublicationTag("mira@"+chatDomain) == "fresh" })
}

// Who has gone while the gateway was down is not shown as present for another hour.
func TestPublicationOfSomebodyWhoHasGone(t *testing.T) {
	for name, gone := range map[string]func(*rig){
		"she is offline": func(r *rig) { r.mira.Leave() },
		"she is not seen anymore": func(r *rig) {
			_ = r.mira.Send(&xmpp.Presence{To: xmpp.MustJID(sipDomain), Type: xmpp.PresenceUnsubscribed})
		},
	} {
		t.Run(name, func(t *testing.T) {
			r, server := publishing(t)
			r.stop()
			gone(r)
			r.start()
			r.gateway.Unconfirmed()
			last := server.Want(t, siptest.Is("PUBLISH"))
			require.Equal(t, "tag1", last.Get("SIP-If-Match"))
			require.Equal(t, "0", last.Get("Expires"))
			require.Empty(t, last.Body)
			r.eventually("the publication is forgotten", func() bool { return r.gateway.PublicationTag("mira@"+chatDomain) == "" })
		})
	}
}
