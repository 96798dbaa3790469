package xmpp

import (
	"encoding/json"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"pgregory.net/rapid"
)

func TestParseJID(t *testing.T) {
	long := strings.Repeat("a", 63)
	for _, c := range []struct {
		in                      string
		local, domain, resource string
	}{
		{"chat.harbor.example", "", "chat.harbor.example", ""},
		{"mira@chat.harbor.example", "mira", "chat.harbor.example", ""},
		{"mira@chat.harbor.example/desk top", "mira", "chat.harbor.example", "desk top"},
		{"chat.harbor.example/Desk", "", "chat.harbor.example", "Desk"},
		{"Mira@Chat.Harbor.EXAMPLE/Desk", "mira", "chat.harbor.example", "Desk"},
		{"mira@chat.harbor.example/a/b@c", "mira", "chat.harbor.example", "a/b@c"},
		{"chat.harbor.example/a@b", "", "chat.harbor.example", "a@b"},
		{"mira@chat.harbor.example.", "mira", "chat.harbor.example", ""},
		{`o\27hara@voice.quay.example`, `o\27hara`, "voice.quay.example", ""},
		{"+4930123456@sip.harbor.example", "+4930123456", "sip.harbor.example", ""},
		{"112;phone-context=de.harbor.example@sip.harbor.example", "112;phone-context=de.harbor.example", "sip.harbor.example", ""},
		{"JÜRGEN@chat.harbor.example/Büro", "jürgen", "chat.harbor.example", "Büro"},
		{"ju\u0308rgen@chat.harbor.example", "jürgen", "chat.harbor.example", ""}, // NFC
		{"ｍｉｒａ@chat.harbor.example", "mira", "chat.harbor.example", ""},           // width mapping
		{"mira@chat.harbor.example/a\u00a0b", "mira", "chat.harbor.example", "a b"},
		{"mira@Bücher.example", "mira", "bücher.example", ""},
		{"mira@xn--bcher-kva.example", "mira", "bücher.example", ""},
		{"mira@XN--BCHER-KVA.example", "mira", "bücher.example", ""},
		{"mira@straße.example", "mira", "straße.example", ""},
		{"mira@bücher。example", "mira", "bücher.example", ""},
		{"mira@localhost", "mira", "localhost", ""},
		{"mira@my_container", "mira", "my_container", ""},
		{"mira@192.0.2.7/x", "mira", "192.0.2.7", "x"},
		{"mira@[2001:DB8::0:1]", "mira", "[2001:db8::1]", ""},
		{"mira@" + long + ".example", "mira", long + ".example", ""},
		{"mira@r3---sn-x.example", "mira", "r3---sn-x.example", ""},
		{strings.Repeat("a", 1023) + "@x.example/" + strings.Repeat("b", 1023), strings.Repeat("a", 1023), "x.example", strings.Repeat("b", 1023)},
	} {
		j, err := ParseJID(c.in)
		if assert.NoError(t, err, c.in) {
			assert.Equal(t, JID{c.local, c.domain, c.resource}, j, c.in)
			again, err := ParseJID(j.String())
			assert.NoError(t, err, c.in)
			assert.Equal(t, j, again, "prepared form is stable: %s", c.in)
		}
	}
}

func TestParseJIDMalformed(t *testing.T) {
	for _, in := range []string{
		"", "@", "/", "@x.example", "mira@", "mira@/desk", "x.example/", "mira@x.example/", "a@b@c.example",
		"a b@x.example", `a"b@x.example`, "a&b@x.example", "a'b@x.example", "a:b@x.example", "a<b@x.example",
		"a>b@x.example", "a\tb@x.example", "a\x7fb@x.example", "a\x00@x.example", "mira@x.example/a\nb",
		"mira@x.example/\x7f",
		"a\ufffeb@x.example", "a\xffb@x.example", "mira@x.example/\xff", "\u265a@x.example", "\ufb03@x.example",
		"a＠b@x.example", "a／b@x.example", "a\u00a0b@x.example", // mapped to what a localpart excludes
		"mira@x..example", "mira@.example", "mira@-x.example", "mira@x-.example", "mira@x y.example",
		"mira@" + strings.Repeat("a", 64) + ".example", "mira@" + strings.Repeat("a.", 140) + "example",
		"mira@℀.example", "mira@x℆y.example", "mira@xn--a.example", "mira@xn--.example", "mira@a:5222",
		"mira@[2001:db8::1", "mira@[192.0.2.1]", "mira@[fe80::1%eth0]", "mira@[]", "mira@[::1]x",
		"mira@x.example..", "mira@\xff.example", "mira@ab\u05d0.example",
		strings.Repeat("a", 1024) + "@x.example", "mira@x.example/" + strings.Repeat("b", 1024),
	} {
		j, err := ParseJID(in)
		assert.ErrorIs(t, err, ErrJIDMalformed, "%q gave %q", in, j)
		assert.True(t, j.IsZero(), "%q", in)
	}
}

func TestJIDParts(t *testing.T) {
	j := MustJID("Mira@chat.harbor.example/desk")
	assert.Equal(t, "mira", j.Local())
	assert.Equal(t, "chat.harbor.example", j.Domain())
	assert.Equal(t, "desk", j.Resource())
	assert.False(t, j.IsBare())
	assert.Equal(t, MustJID("mira@chat.harbor.example"), j.Bare())
	assert.True(t, j.Bare().IsBare())
	assert.Equal(t, map[JID]int{MustJID("mira@chat.harbor.example"): 1}[j.Bare()], 1)

	other, err := j.WithResource("a\u00a0b")
	require.NoError(t, err)
	assert.Equal(t, "mira@chat.harbor.example/a b", other.String())
	bare, err := j.WithResource("")
	require.NoError(t, err)
	assert.Equal(t, j.Bare(), bare)
	_, err = j.WithResource("\n")
	assert.ErrorIs(t, err, ErrJIDMalformed)

	assert.Equal(t, "", JID{}.String())
	assert.True(t, JID{}.IsZero())
	assert.Panics(t, func() { MustJID("@") })
	_, err = NewJID("a", "", "")
	assert.ErrorIs(t, err, ErrJIDMalformed)
}

func TestJIDText(t *testing.T) {
	type row struct{ A, B JID }
	data, err := json.Marshal(row{A: MustJID("mira@x.example/d")})
	require.NoError(t, err)
	assert.JSONEq(t, `{"A":"mira@x.example/d","B":""}`, string(data))
	var r row
	require.NoError(t, json.Unmarshal([]byte(`{"A":"Mira@x.example","B":""}`), &r))
	assert.Equal(t, row{A: MustJID("mira@x.example")}, r)
	assert.Error(t, json.Unmarshal([]byte(`{"A":"@"}`), &r))
	assert.Equal(t, MustJID("mira@x.example"), r.A, "unchanged after an error")
}

func TestParseJIDAllocations(t *testing.T) {
	n := testing.AllocsPerRun(100, func() {
		if _, err := ParseJID("mira@chat.harbor.example/desk"); err != nil {
			t.Fatal(err)
		}
	})
	assert.Zero(t, n)
}

// Whatever is accepted is stable, and its parts join to the same address.
func TestJIDStable(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		checkJID(t, rapid.String().Draw(t, "jid"))
		checkJID(t, rapid.StringMatching(`([^@/]{0,12}@)?[^@/]{1,12}(/.{0,12})?`).Draw(t, "likely jid"))
	})
}

type failer interface {
	Fatalf(format string, args ...any)
}

func checkJID(t failer, s string) {
	j, err := ParseJID(s)
	if err != nil {
		return
	}
	again, err := ParseJID(j.String())
	if err != nil || again != j {
		t.Fatalf("%q: %q parsed again: %q, %v", s, j, again, err)
	}
	again, err = NewJID(j.Local(), j.Domain(), j.Resource())
	if err != nil || again != j {
		t.Fatalf("%q: %q from parts: %q, %v", s, j, again, err)
	}
}

func FuzzParseJID(f *testing.F) {
	for _, s := range []string{
		"mira@chat.harbor.example/desk", "JÜRGEN@bücher.example/Büro", "a＠b@x.example", "mira@℀.example",
		"@", "a@[::1]/x", "xn--bcher-kva.example", "ſ@x.example", "x.example/\u1e9e\u0345", "א@א.example",
	} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, s string) { checkJID(t, s) })
}
