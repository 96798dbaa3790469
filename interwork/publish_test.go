package interwork_test

import (
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/stoxgate/stoxgate/sip/siptest"
	"github.com/stoxgate/stoxgate/xmpp"
	"github.com/stoxgate/stoxgate/xmpp/xmpptest"
)

// publish sends a PUBLISH of a phone; tag is that of a publication to change.
func (r *rig) publish(p *siptest.UA, aor, tag, expires, body string) *siptest.Message {
	r.t.Helper()
	headers := []string{"Event: presence", "Expires: " + expires}
	if tag != "" {
		headers = append(headers, "SIP-If-Match: "+tag)
	}
	if body != "" {
		headers = append(headers, "Content-Type: application/pidf+xml")
	}
	req := p.NewRequest("PUBLISH", aor, headers...)
	req.Body = []byte(body)
	res, err := p.Do(r.ctx(), req)
	require.NoError(r.t, err)
	return res
}

// document is a PIDF document with one tuple.
func document(entity, id, basic, note string) string {
	return `<presence xmlns="urn:ietf:params:xml:ns:pidf" entity="` + entity + `"><tuple id="` + id + `"><status><basic>` + basic +
		`</basic></status><note>` + note + `</note></tuple></presence>`
}

// What a phone publishes counts for more than its registration, and a restart does not
// lose it.
func TestPhonePublishes(t *testing.T) {
	r := newRig(t, nil)
	otto := r.phone("otto", nil)
	otto.Answer(siptest.Is("SUBSCRIBE"), siptest.Status(489))
	aor := "sip:otto@" + sipDomain
	require.NoError(t, r.mira.Send(&xmpp.Presence{To: jid("otto"), Type: xmpp.PresenceSubscribe}))
	r.mira.ExpectPresence(t, xmpptest.Type("subscribed"))
	r.mira.ExpectPresence(t, xmpptest.Type(""), xmpptest.From("otto@"+sipDomain))

	res := r.publish(otto, aor, "", "600", document(aor, "bridge", "open", "on the bridge"))
	require.Equal(t, 200, res.Status, res)
	tag := res.Get("SIP-ETag")
	require.NotEmpty(t, tag)
	p := r.mira.ExpectPresence(t, xmpptest.Type(""))
	require.Equal(t, "on the bridge", p.Status())

	res = r.publish(otto, aor, tag, "600", document(aor, "bridge", "open", "below deck"))
	require.Equal(t, 200, res.Status, res)
	require.NotEqual(t, tag, res.Get("SIP-ETag"))
	require.Equal(t, 412, r.publish(otto, aor, tag, "600", "").Status, "the tag is used up")
	require.Equal(t, "below deck", r.mira.ExpectPresence(t, xmpptest.Type("")).Status())
	tag = res.Get("SIP-ETag")

	r.mira.Clear()
	r.restart()
	again := r.again("otto")
	res = r.publish(again, aor, tag, "600", "")
	require.Equal(t, 200, res.Status, res)
	res = r.publish(again, aor, res.Get("SIP-ETag"), "0", "")
	require.Equal(t, 200, res.Status, res)
	r.mira.Refute(t, xmpptest.Type("unsubscribed"))
}

// Nobody publishes for others, and what cannot be read is refused.
func TestPublicationsRefused(t *testing.T) {
	r := newRig(t, nil)
	otto := r.phone("otto", nil)
	r.identity("nora", "")
	aor := "sip:otto@" + sipDomain
	for _, c := range []struct {
		name, aor, body string
		want            int
	}{
		{"somebody else's", "sip:nora@" + sipDomain, document("sip:nora@"+sipDomain, "t", "open", ""), 403},
		{"nobody's", "sip:nobody@" + sipDomain, document(aor, "t", "open", ""), 404},
		{"no XML", aor, "hello", 400},
		{"another namespace", aor, `<presence xmlns="urn:x"/>`, 415},
		{"entities", aor, `<!DOCTYPE p [<!ENTITY a "aaaa"><!ENTITY b "&a;&a;">]><presence xmlns="urn:ietf:params:xml:ns:pidf">&b;</presence>`, 400},
		{"too large", aor, document(aor, "t", "open", strings.Repeat("x", 40<<10)), 413},
	} {
		t.Run(c.name, func(t *testing.T) {
			require.Equal(t, c.want, r.publish(otto, c.aor, "", "600", c.body).Status)
		})
	}
	req := otto.NewRequest("PUBLISH", aor, "Event: dialog", "Expires: 600", "Content-Type: application/dialog-info+xml")
	req.Body = []byte("<dialog-info/>")
	res, err := otto.Do(r.ctx(), req)
	require.NoError(t, err)
	require.Equal(t, 489, res.Status)
	require.Contains(t, res.Get("Allow-Events"), "presence")
}
