package jingle_test

import (
	"errors"
	"testing"
	"time"

	"github.com/stoxgate/stoxgate/jingle"
	"github.com/stoxgate/stoxgate/xmpp"
)

func TestInfo(t *testing.T) {
	mira, boss := xmpp.MustJID("mira@x.example/phone"), xmpp.MustJID("boss@x.example")
	for _, tc := range []struct {
		info jingle.Info
		xml  string
	}{
		{jingle.Active{}, `<active xmlns='urn:xmpp:jingle:apps:rtp:info:1'/>`},
		{jingle.Ringing{}, `<ringing xmlns='urn:xmpp:jingle:apps:rtp:info:1'/>`},
		{jingle.Hold{}, `<hold xmlns='urn:xmpp:jingle:apps:rtp:info:1'/>`},
		{jingle.Unhold{}, `<unhold xmlns='urn:xmpp:jingle:apps:rtp:info:1'/>`},
		{jingle.Mute{}, `<mute xmlns='urn:xmpp:jingle:apps:rtp:info:1'/>`},
		{jingle.Mute{Creator: jingle.RoleResponder, Name: "voice"}, `<mute xmlns='urn:xmpp:jingle:apps:rtp:info:1' creator='responder' name='voice'/>`},
		{jingle.Unmute{Creator: jingle.RoleInitiator, Name: "voice"}, `<unmute xmlns='urn:xmpp:jingle:apps:rtp:info:1' creator='initiator' name='voice'/>`},
		{jingle.DTMF{Code: '#', Duration: 250 * time.Millisecond, Volume: 40}, `<dtmf xmlns='urn:xmpp:jingle:dtmf:0' code='#' duration='250' volume='40'/>`},
		{jingle.DTMF{Code: 'D'}, `<dtmf xmlns='urn:xmpp:jingle:dtmf:0' code='D' duration='0'/>`},
		{jingle.Transfer{To: boss}, `<transfer xmlns='urn:xmpp:jingle:transfer:0' to='boss@x.example'/>`},
		{jingle.Transfer{From: mira, To: boss, SID: "s"}, `<transfer xmlns='urn:xmpp:jingle:transfer:0' from='mira@x.example/phone' to='boss@x.example' sid='s'/>`},
	} {
		if got := tc.info.Element().String(); got != tc.xml {
			t.Errorf("got  %s\nwant %s", got, tc.xml)
		}
		if got, err := jingle.ParseInfo(read(t, tc.xml)); err != nil || got != tc.info {
			t.Errorf("%s: %#v, %v", tc.xml, got, err)
		}
	}
}

func TestInfoTolerated(t *testing.T) {
	for _, tc := range []struct {
		xml  string
		want jingle.Info
	}{
		{`<ringing xmlns='urn:xmpp:jingle:apps:rtp:1:info'/>`, jingle.Ringing{}},
		{`<dtmf xmlns='urn:xmpp:jingle:dtmf:0' code='7'/>`, jingle.DTMF{Code: '7', Duration: 100 * time.Millisecond}},
		{`<dtmf xmlns='urn:xmpp:jingle:dtmf:0' code='a' duration='99999999' volume='99'/>`, jingle.DTMF{Code: 'A', Duration: 10 * time.Second, Volume: 63}},
		{`<dtmf xmlns='urn:xmpp:jingle:dtmf:0' code='*' volume='-3'/>`, jingle.DTMF{Code: '*', Duration: 100 * time.Millisecond}},
	} {
		if got, err := jingle.ParseInfo(read(t, tc.xml)); err != nil || got != tc.want {
			t.Errorf("%s: %#v, %v", tc.xml, got, err)
		}
	}
}

func TestInfoRefused(t *testing.T) {
	for _, tc := range []struct {
		xml  string
		want xmpp.Condition
		app  string
	}{
		{`<trying xmlns='urn:xmpp:jingle:apps:rtp:info:1'/>`, xmpp.ConditionFeatureNotImplemented, "unsupported-info"},
		{`<conference-info xmlns='urn:xmpp:coin:1' isfocus='true'/>`, xmpp.ConditionFeatureNotImplemented, "unsupported-info"},
		{`<dtmf xmlns='urn:xmpp:jingle:dtmf:0' code='E'/>`, xmpp.ConditionFeatureNotImplemented, ""},
		{`<dtmf xmlns='urn:xmpp:jingle:dtmf:0' code='12'/>`, xmpp.ConditionFeatureNotImplemented, ""},
		{`<dtmf xmlns='urn:xmpp:jingle:dtmf:0'/>`, xmpp.ConditionFeatureNotImplemented, ""},
		{`<dtmf xmlns='urn:xmpp:jingle:dtmf:0' code='1' duration='long'/>`, xmpp.ConditionBadRequest, ""},
		{`<transfer xmlns='urn:xmpp:jingle:transfer:0'/>`, xmpp.ConditionBadRequest, ""},
		{`<transfer xmlns='urn:xmpp:jingle:transfer:0' to='@'/>`, xmpp.ConditionJIDMalformed, ""},
	} {
		_, err := jingle.ParseInfo(read(t, tc.xml))
		var se *xmpp.StanzaError
		if !errors.As(err, &se) || se.Condition != tc.want || (tc.app != "") != (se.App != nil) {
			t.Errorf("%s: %v", tc.xml, err)
		}
	}
	if _, err := jingle.ParseInfo(nil); err == nil {
		t.Error("nothing was read")
	}
}
