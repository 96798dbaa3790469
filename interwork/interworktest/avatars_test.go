package interworktest

import (
	"bytes"
	"crypto/sha1"
	"encoding/base64"
	"encoding/hex"
	"fmt"
	"image"
	"image/color"
	"image/png"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
)

// iconBase is where phones would find the console behind a web server.
const iconBase = "https://gw.harbor.example/avatars/"

// TestAvatars has a Jabber user publish a picture as clients do, and a phone name one in
// its presence: each is seen on the other side.
func TestAvatars(t *testing.T) {
	icon, iconHash := picture(t, 2)
	web := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { _, _ = w.Write(icon) }))
	defer web.Close()
	for _, software := range ServerSoftware {
		t.Run(software, func(t *testing.T) {
			o := RigOptions{Software: software, Phones: []string{"nora", "emil"}}
			if software == "ejabberd" { // Prosody does by itself what these do (XEP-0398)
				o.Server.Extra = "  mod_vcard_xupdate: {}\n  mod_avatar: {}\n"
			}
			o.Gateway.Set = map[string]any{"presence.avatars": map[string]any{
				"hosts": []string{strings.TrimPrefix(web.URL, "http://")}, "icon_base": iconBase,
			}}
			r := NewRig(t, o)
			desk := r.asked("mira", "desk")
			t.Run("a phone sees her", func(t *testing.T) { phoneSeesHer(t, r.With(t), desk) })
			t.Run("she sees a phone", func(t *testing.T) { sheSeesAPhone(t, r.With(t), desk, web.URL+"/emil.png", icon, iconHash) })
		})
	}
}

// picture makes a PNG and its name.
func picture(t *testing.T, shade uint8) (data []byte, hash string) {
	p := image.NewGray(image.Rect(0, 0, 64, 64))
	p.SetGray(1, 1, color.Gray{Y: shade})
	var b bytes.Buffer
	if err := png.Encode(&b, p); err != nil {
		t.Fatal(err)
	}
	sum := sha1.Sum(b.Bytes())
	return b.Bytes(), hex.EncodeToString(sum[:])
}

// phoneSeesHer shows a picture in PEP, as current clients do, which only contacts may see
// there, and then one in the vCard, as old ones do.
func phoneSeesHer(t *testing.T, r *Rig, desk *Slixmpp) {
	set := func(payload string) {
		t.Helper()
		if _, e := desk.Query(desk.BareJID(), "set", payload); e != nil {
			t.Fatalf("%v: %s", e, payload)
		}
	}
	get := func(method, name string) (*http.Response, []byte) {
		t.Helper()
		return getAvatar(t, r.Gateway.ConsoleAddress(), method, name)
	}
	data, hash := picture(t, 1)
	publish := func(node, content string) {
		t.Helper()
		set("<pubsub xmlns='http://jabber.org/protocol/pubsub'><publish node='" + node + "'><item id='" + hash + "'>" + content + "</item></publish></pubsub>")
	}
	publish("urn:xmpp:avatar:data", "<data xmlns='urn:xmpp:avatar:data'>"+base64.StdEncoding.EncodeToString(data)+"</data>")
	publish("urn:xmpp:avatar:metadata", fmt.Sprintf("<metadata xmlns='urn:xmpp:avatar:metadata'><info id='%s' type='image/png' bytes='%d' width='64' height='64'/></metadata>", hash, len(data)))
	desk.Presence("", "", "", "with a picture") // into which her server puts the hash
	nora := r.sippWatches("nora", r.URI("mira"), "presence", pidfType)
	desk.ExpectPresence(r.JID("nora"), "subscribe")
	desk.Presence(r.JID("nora"), "subscribed", "", "")
	notified(t, &nora.Wire, "active", "<basic>open</basic>", iconBase+hash)
	res, body := get(http.MethodGet, hash)
	if res.StatusCode != 200 || !bytes.Equal(body, data) || res.Header.Get("Content-Type") != "image/png" || res.Header.Get("X-Content-Type-Options") != "nosniff" {
		t.Errorf("the picture is %s, %v, %d bytes", res.Status, res.Header, len(body))
	}
	if res, body := get(http.MethodHead, hash); res.StatusCode != 200 || len(body) > 0 {
		t.Errorf("HEAD: %s", res.Status)
	}
	if res, _ := get(http.MethodGet, strings.Repeat("0", 40)); res.StatusCode != 404 {
		t.Errorf("nobody's picture: %s", res.Status)
	}

	data, hash = picture(t, 3)
	set("<vCard xmlns='vcard-temp'><FN>Mira</FN><PHOTO><TYPE>image/png</TYPE><BINVAL>" + base64.StdEncoding.EncodeToString(data) + "</BINVAL></PHOTO></vCard>")
	desk.Presence("", "", "", "with another picture")
	notified(t, &nora.Wire, "active", "<basic>open</basic>", iconBase+hash)
	if res, body := get(http.MethodGet, hash); res.StatusCode != 200 || !bytes.Equal(body, data) {
		t.Errorf("the picture of the vCard is %s, %v, %d bytes", res.Status, res.Header, len(body))
	}
	nora.Kill()
}

// getAvatar asks the console as a web server in front of it does.
func getAvatar(t *testing.T, address, method, name string) (*http.Response, []byte) {
	t.Helper()
	q, err := http.NewRequest(method, "http://"+address+"/avatars/"+name, http.NoBody)
	if err != nil {
		t.Fatal(err)
	}
	q.Host = "gw.harbor.example"
	client := http.Client{Timeout: Patience, Transport: &http.Transport{DisableKeepAlives: true}}
	res, err := client.Do(q)
	if err != nil {
		t.Fatal(err)
	}
	defer res.Body.Close()
	body, err := io.ReadAll(res.Body)
	if err != nil {
		t.Fatal(err)
	}
	return res, body
}

func sheSeesAPhone(t *testing.T, r *Rig, desk *Slixmpp, uri string, icon []byte, hash string) {
	emil := StartSIPp(t, SIPpOptions{
		Scenario: Publish, Remote: r.Gateway.SIPAddress(), User: "emil", Calls: 1, Stay: stay,
		Keys: map[string]string{
			"aor": r.URI("emil"), "to": r.URI("emil"), "expires": "600", "type": pidfType,
			"text": `<presence xmlns="urn:ietf:params:xml:ns:pidf" xmlns:dm="urn:ietf:params:xml:ns:pidf:data-model" xmlns:c="urn:ietf:params:xml:ns:pidf:cipid" entity="` + r.URI("emil") +
				`"><tuple id="mast"><status><basic>open</basic></status></tuple><dm:person id="p"><c:icon>` + uri + `</c:icon></dm:person></presence>`,
		},
	})
	if m := emil.Final("PUBLISH"); m.Status() != 200 {
		t.Fatalf("PUBLISH: %v", m)
	}
	desk.Presence(r.JID("emil"), "subscribe", "", "")
	desk.ExpectPresence(r.JID("emil"), "subscribed")
	desk.Expect("the picture of emil", func(s Stanza) bool {
		return s.Kind == "presence" && strings.HasPrefix(s.From, r.JID("emil")) && strings.Contains(s.XML, "vcard-temp:x:update") && strings.Contains(s.XML, hash)
	})
	text := base64.StdEncoding.EncodeToString(icon)
	for _, payload := range []string{
		"<vCard xmlns='vcard-temp'/>",
		"<pubsub xmlns='http://jabber.org/protocol/pubsub'><items node='urn:xmpp:avatar:data'><item id='" + hash + "'/></items></pubsub>",
	} {
		if xml, e := desk.Query(r.JID("emil"), "get", payload); e != nil || !strings.Contains(xml, text) {
			t.Errorf("%s: %v %s", payload, e, xml)
		}
	}
	emil.Kill()
}
