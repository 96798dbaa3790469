package relay

import (
	"testing"

	"github.com/stretchr/testify/require"
)

// TestProtectionLater: a new description protects what was plain.
func TestProtectionLater(t *testing.T) {
	r := newTestRelay(t, nil)
	s, h, a, b := plainCall(t, r, codecs(pcmu), codecs(pcmu))
	exchange(t, a, b, 0, 0)
	k := newKey(suites[0])
	d := b.remote()
	d.Cryptos = []Crypto{{Tag: 3, Suite: k.suite.name, KeyParams: k.inline()}}
	require.NoError(t, s.Connect(SIP, 0, d), "nothing is prepared for it: the keys are ignored")
	exchange(t, a, b, 0, 0)
	_, err := s.Prepare(SIP, 0, Setup{Protection: SDES})
	require.NoError(t, err)
	exchange(t, a, b, 0, 0)
	require.NoError(t, s.Connect(SIP, 0, d))
	l, err := s.Prepare(SIP, 0, Setup{Protection: SDES})
	require.NoError(t, err)
	require.Equal(t, 3, l.Cryptos[0].Tag)
	b.keys(k, l.Cryptos[0])
	exchange(t, a, b, 0, 0)
	require.Equal(t, SDES, s.Stats()[SIP].Protection)
	_, failed := h.find(Failed, SIP)
	require.False(t, failed)
}

func TestServers(t *testing.T) {
	r := newTestRelay(t, nil)
	require.Empty(t, r.urls())
	r.SetServers([]Server{
		{Host: "stun.example.org", Port: 3478},
		{Host: "turn.example.org", Port: 5349, TURN: true, TLS: true, Transport: "tcp", Username: "u", Password: "p"},
		{Host: "turn.example.org", Port: 3478, TURN: true},
	})
	var all []string
	for _, u := range r.urls() {
		all = append(all, u.String())
	}
	require.Equal(t, []string{"stun:stun.example.org:3478", "turns:turn.example.org:5349?transport=tcp", "turn:turn.example.org:3478?transport=udp"}, all)
}

func TestHoldIsNotSilence(t *testing.T) {
	r := newTestRelay(t, func(c *Config) { c.MediaTimeout = 1 })
	f := codecs(pcmu)
	f.Send = false
	s, h, _, _ := plainCall(t, r, codecs(pcmu), f)
	h.wait(t, Silent, Jingle)
	_, silent := h.find(Silent, SIP)
	require.False(t, silent)
	require.NoError(t, s.Format(SIP, 0, codecs(pcmu)))
	h.wait(t, Silent, SIP)
}
