package interwork

import (
	"context"
	"errors"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/stoxgate/stoxgate/interwork/relay"
	"github.com/stoxgate/stoxgate/xmpp"
)

type answeringLink struct {
	asked  *xmpp.IQ
	answer string
	err    error
}

func (l *answeringLink) IQ(_ context.Context, iq *xmpp.IQ) (*xmpp.IQ, error) {
	l.asked = iq
	if l.err != nil {
		return nil, l.err
	}
	e, err := xmpp.ParseElement([]byte(l.answer))
	return iq.Result(e), err
}

func TestTURNServersOfTheXMPPServer(t *testing.T) {
	now := time.Date(2026, 11, 24, 12, 0, 0, 0, time.UTC)
	self, server := xmpp.MustJID("sip.harbor.example"), xmpp.MustJID("chat.harbor.example")
	link := &answeringLink{answer: `<services xmlns='urn:xmpp:extdisco:2'>
		<service type='stun' host='stun.harbor.example'/>
		<service type='turn' host='turn.harbor.example' port='3479' transport='tcp' username='u' password='p' expires='2026-11-24T12:30:00Z'/>
		<service type='turns' host='turn.harbor.example' username='u' password='p' expires='2026-11-24T13:00:00Z'/>
		<service type='turn' host='late.harbor.example' username='u' password='p' expires='2026-11-24T11:00:00Z'/>
		<service type='turn' host='locked.harbor.example' restricted='1'/>
		<service type='ftp' host='files.harbor.example'/>
	</services>`}
	list, lasts, err := askServices(t.Context(), link, "e-1", self, server, now)
	require.NoError(t, err)
	require.Equal(t, []relay.Server{
		{Host: "stun.harbor.example", Port: 3478},
		{Host: "turn.harbor.example", Port: 3479, Transport: "tcp", TURN: true, Username: "u", Password: "p"},
		{Host: "turn.harbor.example", Port: 5349, TURN: true, TLS: true, Username: "u", Password: "p"},
	}, list)
	require.Equal(t, 30*time.Minute, lasts)
	require.Equal(t, server, link.asked.To)
	require.Equal(t, `<services xmlns='urn:xmpp:extdisco:2'/>`, link.asked.Payload.String())

	link.answer = `<services xmlns='urn:xmpp:extdisco:2'/>`
	list, lasts, err = askServices(t.Context(), link, "e-2", self, server, now)
	require.NoError(t, err)
	require.Empty(t, list)
	require.Equal(t, servicesExpire, lasts)

	link.answer = `<query xmlns='jabber:iq:version'/>`
	_, _, err = askServices(t.Context(), link, "e-3", self, server, now)
	require.Error(t, err)
	link.err = errors.New("no link")
	_, _, err = askServices(t.Context(), link, "e-4", self, server, now)
	require.ErrorIs(t, err, link.err)
}
