package avatar

import (
	"crypto/sha1"
	"encoding/hex"
	"strconv"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/stoxgate/stoxgate/xmpp"
)

func sha1Of(b []byte) string {
	sum := sha1.Sum(b)
	return hex.EncodeToString(sum[:])
}

func parse(t *testing.T, s string) *xmpp.Element {
	t.Helper()
	e, err := xmpp.ParseElement([]byte(s))
	require.NoError(t, err)
	return e
}

func TestItemsQuery(t *testing.T) {
	p := pictureOf(t, 1)
	pubsub := func(s string) *xmpp.Element {
		return parse(t, "<pubsub xmlns='http://jabber.org/protocol/pubsub'>"+s+"</pubsub>")
	}
	for _, tt := range []struct{ name, query, want string }{
		{
			"metadata", "<items node='urn:xmpp:avatar:metadata' max_items='1'/>",
			"<pubsub xmlns='http://jabber.org/protocol/pubsub'><items node='urn:xmpp:avatar:metadata'><item id='" + p.Hash + "'>" +
				"<metadata xmlns='urn:xmpp:avatar:metadata'><info id='" + p.Hash + "' type='image/png' bytes='LEN' width='8' height='8'/></metadata></item></items></pubsub>",
		},
		{
			"data", "<items node='urn:xmpp:avatar:data'><item id='" + strings.ToUpper(p.Hash) + "'/></items>",
			"<pubsub xmlns='http://jabber.org/protocol/pubsub'><items node='urn:xmpp:avatar:data'><item id='" + p.Hash + "'>" +
				"<data xmlns='urn:xmpp:avatar:data'>" + b64(p.Data) + "</data></item></items></pubsub>",
		},
		{"another picture", "<items node='urn:xmpp:avatar:data'><item id='" + sha1Of(nil) + "'/></items>", ""},
	} {
		t.Run(tt.name, func(t *testing.T) {
			q, ok := ReadItemsQuery(pubsub(tt.query))
			require.True(t, ok)
			got := q.Answer(p)
			if tt.want == "" {
				require.Nil(t, got)
				return
			}
			require.Equal(t, strings.ReplaceAll(tt.want, "LEN", strconv.Itoa(len(p.Data))), got.String())
			require.Nil(t, q.Answer(nil))
		})
	}
	for _, s := range []string{"", "<items/>", "<items node='urn:xmpp:omemo:2:devices'/>", "<publish node='urn:xmpp:avatar:data'/>"} {
		_, ok := ReadItemsQuery(pubsub(s))
		require.False(t, ok, s)
	}
	_, ok := ReadItemsQuery(parse(t, "<vCard xmlns='vcard-temp'/>"))
	require.False(t, ok)
	_, ok = ReadItemsQuery(nil)
	require.False(t, ok)
}

func TestPictureBytes(t *testing.T) {
	p := pictureOf(t, 1)
	text := b64(p.Data)
	vcard := func(s string) *xmpp.Element {
		return parse(t, "<vCard xmlns='vcard-temp'><FN>Mira</FN><PHOTO><TYPE>image/svg+xml</TYPE>"+s+"</PHOTO></vCard>")
	}
	for name, e := range map[string]*xmpp.Element{
		"vcard":      vcard("<BINVAL>" + text + "</BINVAL>"),
		"lines":      vcard("<BINVAL>\n\t" + text[:20] + "\r\n " + text[20:] + "\n</BINVAL>"),
		"no padding": vcard("<BINVAL>" + strings.TrimRight(text, "=") + "</BINVAL>"),
		"pep":        ItemsQuery{Node: xmpp.NSAvatarData}.Answer(p),
	} {
		got, err := pictureBytes(e, 1000)
		require.NoError(t, err, name)
		require.Equal(t, p.Data, got, name)
	}
	for name, e := range map[string]*xmpp.Element{
		"nothing": nil, "no photo": parse(t, "<vCard xmlns='vcard-temp'/>"), "empty": vcard("<BINVAL/>"), "a link": vcard("<EXTVAL>http://127.0.0.1/</EXTVAL>"),
		"no base64": vcard("<BINVAL>ahoy!</BINVAL>"), "another payload": parse(t, "<query xmlns='jabber:iq:version'/>"),
	} {
		_, err := pictureBytes(e, 1000)
		require.ErrorIs(t, err, errNoPicture, name)
	}
	_, err := pictureBytes(vcard("<BINVAL>"+strings.Repeat("A", 2000)+"</BINVAL>"), 1000)
	require.ErrorIs(t, err, errTooLarge)
}

func FuzzElements(f *testing.F) {
	for _, s := range []string{
		"<vCard xmlns='vcard-temp'><PHOTO><BINVAL>AAAA\n=</BINVAL></PHOTO></vCard>", "<pubsub xmlns='http://jabber.org/protocol/pubsub'><items/></pubsub>",
		"<pubsub xmlns='http://jabber.org/protocol/pubsub'><items node='urn:xmpp:avatar:data'><item id='x'><data xmlns='urn:xmpp:avatar:data'>AA</data></item></items></pubsub>",
	} {
		f.Add([]byte(s))
	}
	p := &Picture{Data: []byte("x"), Hash: "x"}
	f.Fuzz(func(t *testing.T, b []byte) {
		e, err := xmpp.ParseElement(b)
		if err != nil {
			return
		}
		if data, err := pictureBytes(e, 100); err == nil && len(data) > 100 {
			t.Fatalf("%d bytes", len(data))
		}
		if q, ok := ReadItemsQuery(e); ok {
			q.Answer(p)
		}
	})
}
