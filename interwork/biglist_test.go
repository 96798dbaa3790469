package interwork_test

import (
	"context"
	"fmt"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/stoxgate/stoxgate/interwork"
	"github.com/stoxgate/stoxgate/interwork/store"
	"github.com/stoxgate/stoxgate/sip"
	"github.com/stoxgate/stoxgate/sip/rlmi"
	"github.com/stoxgate/stoxgate/sip/siptest"
)

// A list of a thousand contacts is more than one message may hold: its beginning comes in
// a full document, the rest in partial ones right behind it (RFC 4662 §5.5).
func TestContactListOfAThousand(t *testing.T) {
	const contacts = 1000
	r := newRig(t, func(c *interwork.Config) { c.ContactList = "contacts" })
	r.identity("otto", "")
	r.stop()
	st, err := store.Open(context.Background(), store.Config{Dir: r.dir})
	require.NoError(t, err)
	for i := range contacts {
		require.NoError(t, st.PutAuthorisation(store.AuthorisationRow{
			JID: fmt.Sprintf("harbour-pilot-%04d@%s", i, chatDomain), AOR: uri(t, "sip:otto@"+sipDomain).Key(),
			Watch: "none", Share: "asked", ShareSince: time.Now(), ShareAsked: time.Now(),
		}, nil))
	}
	require.NoError(t, st.Close())
	r.start()
	otto := r.unregistered("otto", func(c *siptest.Config) { c.Transport = "tcp" })
	res, err := otto.Register(r.ctx(), 600)
	require.NoError(t, err)
	require.Equal(t, 200, res.Status, res)

	const types = "application/pidf+xml, application/rlmi+xml, multipart/related"
	res = r.subscribe(otto, "sip:contacts@"+sipDomain, "presence", types, "Supported: eventlist")
	require.Equal(t, 200, res.Status, res)
	pending := map[string]bool{}
	for version := uint32(0); len(pending) < contacts; version++ {
		n := otto.Want(t, siptest.Is("NOTIFY"))
		require.Less(t, len(n.Body), sip.MaxMessage)
		body, err := rlmi.ParseBody(n.Get("Content-Type"), n.Body)
		require.NoError(t, err)
		require.Equal(t, version, body.List.Version, "none is lost")
		require.Equal(t, version == 0, body.List.Full)
		for _, x := range body.List.Resources {
			if len(x.Instances) == 1 && x.Instances[0].State == rlmi.Pending {
				pending[x.URI] = true
			}
		}
	}
}
