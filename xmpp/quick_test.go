package xmpp

import (
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/stretchr/testify/require"
)

// bothWays parses a document with the fast way and with encoding/xml.
func bothWays(data []byte) (quick, full *Element, ok bool, quickErr, fullErr error) {
	cut := func() *Decoder {
		return &Decoder{f: framer{buf: data, end: len(data), limits: Limits{}.withDefaults()}}
	}
	d := cut()
	frame, err := d.f.next()
	if err != nil || frame[1] == '/' {
		return nil, nil, false, nil, nil
	}
	quick, ok, quickErr = d.p.quickElement(frame, d.f.elements)
	d = cut()
	frame, _ = d.f.next()
	d.p.reset(frame)
	full, fullErr = d.p.element()
	return quick, full, ok, quickErr, fullErr
}

func TestQuickTakesWhatClientsSend(t *testing.T) {
	for _, text := range []string{
		sample,
		`<presence from='mira@chat.harbor.example/desk'><show>away</show><status xml:lang="de">Möwen &amp; Meer</status><priority>-1</priority></presence>`,
		`<iq type="get" id='a&apos;b'><query xmlns='jabber:iq:version'/></iq>`,
		"<message>\n  <body>one\ntwo\tthree</body>\n</message>",
		`<message><x:data xmlns:x='urn:x' x:attr='1'><y xmlns=''/></x:data></message>`,
		`<message to='😀@example'><body>a]] b &lt;]&gt;</body></message >`,
	} {
		quick, full, ok, quickErr, fullErr := bothWays([]byte(text))
		require.NoError(t, fullErr, text)
		require.NoError(t, quickErr, text)
		require.True(t, ok, text)
		require.Empty(t, cmp.Diff(full, quick), text)
	}
}

func TestQuickLeavesTheRest(t *testing.T) {
	for _, text := range []string{
		`<message><body><![CDATA[x]]></body></message>`,
		`<message><body>&#65;</body></message>`,
		`<message><body>]]></body></message>`,
		"<message><body>a\rb</body></message>",
		"<message><body>a\x01b</body></message>",
		"<message><body>\xff</body></message>",
		"<message><body>\uFFFF</body></message>",
		"<message a='\n'/>",
		`<message a='1'b='2'/>`,
		`<möwe/>`,
		`<message><a></b></message>`,
		`<a:b:c/>`,
		`<message a=1/>`,
	} {
		_, _, ok, _, _ := bothWays([]byte(text))
		require.False(t, ok, text)
	}
}

func TestQuickLargeElementsShareNothing(t *testing.T) {
	long := `<message><body>` + strings.Repeat("x", shareBytes) + `</body></message>`
	quick, full, ok, err, _ := bothWays([]byte(long))
	require.True(t, ok)
	require.NoError(t, err)
	require.Empty(t, cmp.Diff(full, quick))
}

// What the fast way accepts or refuses, the full way accepts or refuses alike.
func FuzzQuick(f *testing.F) {
	f.Add([]byte(sample))
	f.Add([]byte(`<a:b xmlns:a='u' c="d&quot;"> x &lt; y <e/></a:b>`))
	f.Add([]byte(`<a b='1' b='2'/>`))
	f.Add([]byte(`<a xmlns:xml='x'/>`))
	f.Add([]byte(`<a:b/>`))
	f.Add([]byte("<presence><status>ß ]] > ]]&gt;</status></presence>"))
	f.Fuzz(func(t *testing.T, data []byte) {
		quick, full, ok, quickErr, fullErr := bothWays(data)
		switch {
		case !ok:
		case (quickErr == nil) != (fullErr == nil):
			t.Fatalf("%q: %v, but %v", data, quickErr, fullErr)
		case quickErr != nil:
			if quickErr.Error() != fullErr.Error() {
				t.Fatalf("%q: %v, but %v", data, quickErr, fullErr)
			}
		default:
			if d := cmp.Diff(full, quick); d != "" {
				t.Fatalf("%q: %s", data, d)
			}
		}
	})
}
