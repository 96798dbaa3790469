package interwork_test

import (
	"bytes"
	"crypto/sha1"
	"encoding/base64"
	"encoding/hex"
	"errors"
	"image"
	"image/color"
	"image/png"
	"math/rand/v2"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync/atomic"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/stoxgate/stoxgate/interwork"
	"github.com/stoxgate/stoxgate/interwork/avatar"
	"github.com/stoxgate/stoxgate/sip/siptest"
	"github.com/stoxgate/stoxgate/xmpp"
	"github.com/stoxgate/stoxgate/xmpp/xmpptest"
)

// photo makes a picture and its name.
func photo(t *testing.T, shade uint8) (data []byte, hash string) {
	t.Helper()
	p := image.NewGray(image.Rect(0, 0, 64, 64))
	p.SetGray(1, 1, color.Gray{Y: shade})
	var b bytes.Buffer
	require.NoError(t, png.Encode(&b, p))
	sum := sha1.Sum(b.Bytes())
	return b.Bytes(), hex.EncodeToString(sum[:])
}

// withIcon is a PIDF document of somebody with a picture.
func withIcon(aor, note, icon string) string {
	d := document(aor, "bridge", "open", note)
	if icon == "" {
		return d
	}
	return strings.Replace(d, "</presence>", `<dm:person xmlns:dm="urn:ietf:params:xml:ns:pidf:data-model" id="p">`+
		`<c:icon xmlns:c="urn:ietf:params:xml:ns:pidf:cipid">`+icon+`</c:icon></dm:person></presence>`, 1)
}

// update reads the update element of a presence (XEP-0153): whether there is one, whether
// it has a photo, and of which hash.
func update(p *xmpp.Presence) (there, known bool, hash string) {
	x := p.Extension(xmpp.NSVCardUpdate, "x")
	e := x.Child(xmpp.NSVCardUpdate, "photo")
	return x != nil, e != nil, e.Text()
}

func (r *rig) vcard(u *xmpptest.User, to xmpp.JID) *xmpp.Element {
	r.t.Helper()
	res, err := u.IQ(r.ctx(), &xmpp.IQ{To: to, Type: xmpp.IQGet, Payload: xmpp.NewElement(xmpp.NSVCard, "vCard")})
	require.NoError(r.t, err)
	return res.Payload
}

// items asks for an avatar node (XEP-0084).
func (r *rig) items(u *xmpptest.User, to xmpp.JID, node string) (*xmpp.Element, error) {
	res, err := u.IQ(r.ctx(), &xmpp.IQ{To: to, Type: xmpp.IQGet, Payload: xmpp.NewElement(xmpp.NSPubSub, "pubsub").Add(
		xmpp.NewElement(xmpp.NSPubSub, "items").Set("node", node))})
	if err != nil {
		return nil, err
	}
	return res.Payload.Child(xmpp.NSPubSub, "items").Child(xmpp.NSPubSub, "item"), nil
}

// A Jabber user sees the picture that a phone's document names, and nobody else does.
func TestJabberUserSeesAPicture(t *testing.T) {
	data, hash := photo(t, 1)
	second, secondHash := photo(t, 2)
	var hits atomic.Int32
	web := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		hits.Add(1)
		switch r.URL.Path {
		case "/otto.png":
			_, _ = w.Write(data)
		case "/second.png":
			_, _ = w.Write(second)
		default:
			http.NotFound(w, r)
		}
	}))
	defer web.Close()
	r := newRig(t, func(c *interwork.Config) {
		c.Avatars = interwork.AvatarConfig{Fetch: true, Hosts: []string{strings.TrimPrefix(web.URL, "http://")}}
	})
	jonas := r.server.User("jonas@" + chatDomain + "/desk")
	otto := r.phone("otto", nil)
	otto.Answer(siptest.Is("SUBSCRIBE"), siptest.Status(489))
	aor := "sip:otto@" + sipDomain
	res := r.publish(otto, aor, "", "600", withIcon(aor, "first", web.URL+"/otto.png?token=1"))
	require.Equal(t, 200, res.Status, res)
	tag := res.Get("SIP-ETag")
	require.Zero(t, hits.Load(), "nobody sees him yet")

	shown := func(note, want string) {
		t.Helper()
		for {
			p := r.mira.ExpectPresence(t, xmpptest.Type(""), xmpptest.From("otto@"+sipDomain))
			there, known, got := update(p)
			require.True(t, there, p)
			if p.Status() == note && known && got == want {
				return
			}
			require.False(t, known && p.Status() == note, "another picture: %s", p.Element())
		}
	}
	require.NoError(t, r.mira.Send(&xmpp.Presence{To: jid("otto"), Type: xmpp.PresenceSubscribe}))
	r.mira.ExpectPresence(t, xmpptest.Type("subscribed"))
	shown("first", hash)
	v := r.vcard(r.mira, jid("otto"))
	require.Equal(t, base64.StdEncoding.EncodeToString(data), v.Child(xmpp.NSVCard, "PHOTO").Child(xmpp.NSVCard, "BINVAL").Text())
	require.Equal(t, "image/png", v.Child(xmpp.NSVCard, "PHOTO").Child(xmpp.NSVCard, "TYPE").Text())
	item, err := r.items(r.mira, jid("otto"), xmpp.NSAvatarMetadata)
	require.NoError(t, err)
	require.Equal(t, hash, item.Child(xmpp.NSAvatarMetadata, "metadata").Child(xmpp.NSAvatarMetadata, "info").Attribute("id"))
	item, err = r.items(r.mira, jid("otto"), xmpp.NSAvatarData)
	require.NoError(t, err)
	require.Equal(t, base64.StdEncoding.EncodeToString(data), item.Child(xmpp.NSAvatarData, "data").Text())

	// Strangers learn nothing.
	require.Nil(t, r.vcard(jonas, jid("otto")).Child(xmpp.NSVCard, "PHOTO"))
	_, err = r.items(jonas, jid("otto"), xmpp.NSAvatarData)
	var e *xmpp.StanzaError
	require.ErrorAs(t, err, &e)
	require.Equal(t, xmpp.ConditionItemNotFound, e.Condition)

	// Another picture, one that is not there, one that may not be fetched, and none.
	change := func(note, icon string) {
		t.Helper()
		res := r.publish(otto, aor, tag, "600", withIcon(aor, note, icon))
		require.Equal(t, 200, res.Status, res)
		tag = res.Get("SIP-ETag")
	}
	change("second", web.URL+"/second.png")
	shown("second", secondHash)
	require.Equal(t, int32(2), hits.Load())
	change("missing", web.URL+"/missing.png")
	shown("missing", "")
	require.Nil(t, r.vcard(r.mira, jid("otto")).Child(xmpp.NSVCard, "PHOTO"))
	before := hits.Load()
	change("inside", "http://localhost:"+strings.Split(web.URL, ":")[2]+"/otto.png")
	shown("inside", "")
	require.Equal(t, before, hits.Load())
	change("again", web.URL+"/second.png")
	shown("again", secondHash)
	change("none", "")
	shown("none", "")
	require.Equal(t, before, hits.Load(), "what is known is not fetched again")

	// She does not see him any more.
	change("last", web.URL+"/second.png")
	shown("last", secondHash)
	require.NoError(t, r.mira.Send(&xmpp.Presence{To: jid("otto"), Type: xmpp.PresenceUnsubscribe}))
	r.mira.ExpectPresence(t, xmpptest.Type("unavailable"))
	r.eventually("her vCard of him has no picture", func() bool {
		return r.vcard(r.mira, jid("otto")).Child(xmpp.NSVCard, "PHOTO") == nil
	})
}

// Many small requests for a large picture are all answered, and leave room for messages.
func TestPictureFlood(t *testing.T) {
	noise := image.NewGray(image.Rect(0, 0, 300, 300))
	rand.NewChaCha8([32]byte{}).Read(noise.Pix)
	var large bytes.Buffer
	require.NoError(t, png.Encode(&large, noise))
	web := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { _, _ = w.Write(large.Bytes()) }))
	defer web.Close()
	r := newRig(t, func(c *interwork.Config) {
		c.Avatars = interwork.AvatarConfig{Fetch: true, Hosts: []string{"127.0.0.1"}}
	})
	otto := r.phone("otto", nil)
	otto.Answer(siptest.Is("SUBSCRIBE"), siptest.Status(489))
	aor := "sip:otto@" + sipDomain
	require.Equal(t, 200, r.publish(otto, aor, "", "600", withIcon(aor, "x", web.URL)).Status)
	require.NoError(t, r.mira.Send(&xmpp.Presence{To: jid("otto"), Type: xmpp.PresenceSubscribe}))
	for known, hash := false, ""; !known || hash == ""; {
		_, known, hash = update(r.mira.ExpectPresence(t, xmpptest.Type(""), xmpptest.From("otto@"+sipDomain)))
	}
	r.server.StopReading()
	const requests = 300
	answers := make(chan error, requests)
	for range requests {
		go func() {
			_, err := r.mira.IQ(r.t.Context(), &xmpp.IQ{To: jid("otto"), Type: xmpp.IQGet, Payload: xmpp.NewElement(xmpp.NSVCard, "vCard")})
			answers <- err
		}()
	}
	require.Equal(t, 202, r.say(otto, mira, "ahoy"), "the link takes nothing, and there is room for her message")
	r.server.ResumeReading()
	served, refused := 0, 0
	for range requests {
		var e *xmpp.StanzaError
		if err := <-answers; err == nil {
			served++
		} else if errors.As(err, &e) && e.Condition == xmpp.ConditionResourceConstraint {
			refused++
		} else {
			require.NoError(t, err)
		}
	}
	require.Positive(t, served)
	t.Logf("%d served, %d refused", served, refused)
	r.mira.ExpectMessage(t, xmpptest.Body("ahoy"))
}

// Without Avatars.Fetch nothing is said about pictures.
func TestNoPictures(t *testing.T) {
	r := newRig(t, nil)
	otto := r.phone("otto", nil)
	otto.Answer(siptest.Is("SUBSCRIBE"), siptest.Status(489))
	aor := "sip:otto@" + sipDomain
	require.Equal(t, 200, r.publish(otto, aor, "", "600", withIcon(aor, "x", "https://quay.example/x.png")).Status)
	require.NoError(t, r.mira.Send(&xmpp.Presence{To: jid("otto"), Type: xmpp.PresenceSubscribe}))
	p := r.mira.ExpectPresence(t, xmpptest.Type(""), xmpptest.From("otto@"+sipDomain))
	there, _, _ := update(p)
	require.False(t, there)
	_, err := r.items(r.mira, jid("otto"), xmpp.NSAvatarData)
	require.Error(t, err)
}

// A phone is told where a Jabber user's picture is, as long as it may see her.
func TestPhoneSeesAPicture(t *testing.T) {
	const base = "https://gw.example/avatars/"
	data, hash := photo(t, 1)
	_, otherHash := photo(t, 2)
	r := newRig(t, func(c *interwork.Config) {
		c.Avatars = interwork.AvatarConfig{IconBase: base}
		c.ContactList = "contacts"
	})
	r.server.SetVCard("mira@"+chatDomain, xmpp.NewElement(xmpp.NSVCard, "vCard").Add(xmpp.NewElement(xmpp.NSVCard, "PHOTO").Add(
		xmpp.NewElement(xmpp.NSVCard, "BINVAL").AddText(base64.StdEncoding.EncodeToString(data)))))
	update := func(hash string) []*xmpp.Element {
		return []*xmpp.Element{xmpp.NewElement(xmpp.NSVCardUpdate, "x").Add(xmpp.NewElement(xmpp.NSVCardUpdate, "photo").AddText(hash))}
	}
	otto := r.phone("otto", nil)
	_, err := r.gateway.Avatar(r.ctx(), hash)
	require.ErrorIs(t, err, avatar.ErrUnknown)
	jonas := r.server.User("jonas@" + chatDomain + "/desk")
	for u, hash := range map[*xmpptest.User]string{r.mira: hash, jonas: otherHash} {
		require.NoError(t, u.Send(&xmpp.Presence{Extensions: update(hash)}))
		require.Equal(t, 200, r.subscribe(otto, "sip:"+u.JID().Bare().String(), "presence", "application/pidf+xml").Status)
		u.ExpectPresence(t, xmpptest.Type("subscribe"))
		require.NoError(t, u.Send(&xmpp.Presence{To: jid("otto"), Type: xmpp.PresenceSubscribed}))
	}
	for icons := map[string]bool{base + hash: true, base + otherHash: true}; len(icons) > 0; {
		n := r.told(otto, base)
		for icon := range icons {
			if strings.Contains(string(n.Body), icon) {
				delete(icons, icon)
			}
		}
	}
	p, err := r.gateway.Avatar(r.ctx(), hash)
	require.NoError(t, err)
	require.Equal(t, data, p.Data)
	require.Equal(t, "image/png", p.Type)

	// The list tells it too.
	const types = "application/pidf+xml, application/rlmi+xml, multipart/related"
	require.Equal(t, 200, r.subscribe(otto, "sip:contacts@"+sipDomain, "presence", types, "Supported: eventlist").Status)
	r.told(otto, "rlmi", base+hash)

	// The hash that jonas shows is a lie, and found to be one.
	_, err = r.gateway.Avatar(r.ctx(), otherHash)
	require.ErrorIs(t, err, avatar.ErrUnknown)

	// She takes it back.
	require.NoError(t, r.mira.Send(&xmpp.Presence{To: jid("otto"), Type: xmpp.PresenceUnsubscribed}))
	r.eventually("the picture is gone", func() bool {
		_, err := r.gateway.Avatar(r.ctx(), hash)
		return errors.Is(err, avatar.ErrUnknown)
	})
}
