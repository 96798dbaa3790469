package ua

import (
	"encoding/binary"
	"encoding/hex"
	"net/netip"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/stoxgate/stoxgate/sip"
)

// stunRequest is a Binding request with these attributes.
func stunRequest(attributes string) []byte {
	a, err := hex.DecodeString(attributes)
	if err != nil {
		panic(err)
	}
	b, _ := hex.DecodeString("000100002112a442b7e7a701bc34d686fa87dfae")
	binary.BigEndian.PutUint16(b[2:], uint16(len(a)))
	return append(b, a...)
}

func TestSTUNAnswer(t *testing.T) {
	four, six := netip.MustParseAddrPort("192.0.2.1:32853"), netip.MustParseAddrPort("[2001:db8:1234:5678:11:2233:4455:6677]:32853")
	for name, tt := range map[string]struct {
		request  []byte
		from     netip.AddrPort
		expected string
	}{
		// The mapped addresses are those of the published test vectors.
		"IPv4":                {stunRequest(""), four, "0101000c" + "2112a442b7e7a701bc34d686fa87dfae" + "00200008" + "0001a147e112a643"},
		"IPv6":                {stunRequest(""), six, "01010018" + "2112a442b7e7a701bc34d686fa87dfae" + "00200014" + "0002a147" + "0113a9faa5d3f179bc25f4b5bed2b9d9"},
		"what may be ignored": {stunRequest("80220003612f6200" + "0006000161000000"), four, "0101000c" + "2112a442b7e7a701bc34d686fa87dfae" + "00200008" + "0001a147e112a643"},
		"what may not":        {stunRequest("0003000400000006"), four, "01110010" + "2112a442b7e7a701bc34d686fa87dfae" + "0009000400000414" + "000a000200030000"},
		"attribute cut short": {stunRequest("80220008612f6200"), four, ""},
		"half an attribute":   {stunRequest("8022"), four, ""},
		"an indication":       {append([]byte{0, 0x11}, stunRequest("")[2:]...), four, ""},
		"an answer":           {append([]byte{1, 1}, stunRequest("")[2:]...), four, ""},
	} {
		t.Run(name, func(t *testing.T) {
			require.True(t, isSTUN(tt.request))
			require.Equal(t, tt.expected, hex.EncodeToString(stunAnswer(tt.request, tt.from)))
		})
	}
	for _, b := range [][]byte{nil, stunRequest("")[:19], append(stunRequest(""), 0), raw("OPTIONS", "z9hG4bK1", "s1", "SIP/2.0/UDP h")} {
		require.False(t, isSTUN(b))
	}
}

// A phone keeps its flow by STUN on the port of SIP.
func TestSTUNOnSocket(t *testing.T) {
	u := startUA(t, nil, handle(sip.MESSAGE, answerWith(200)))
	p := newUDPPeer(t)
	p.send(u.Addr("udp"), stunRequest(""))
	buf := make([]byte, 1500)
	n, from, err := p.pc.ReadFromUDPAddrPort(buf)
	require.NoError(t, err)
	require.Equal(t, u.Addr("udp"), from)
	require.Equal(t, stunAnswer(stunRequest(""), p.addr()), buf[:n])
	p.send(u.Addr("udp"), raw("MESSAGE", "z9hG4bK1", "s2", viaUDP(p)))
	require.Equal(t, 200, p.response().StatusCode)
}

func FuzzSTUN(f *testing.F) {
	f.Add(stunRequest("0003000400000006"))
	f.Add(stunRequest("8022"))
	from := netip.MustParseAddrPort("[2001:db8::1]:5060")
	f.Fuzz(func(t *testing.T, b []byte) {
		if !isSTUN(b) {
			return
		}
		if a := stunAnswer(b, from); a != nil && (!isSTUN(a) || len(a) > 64) {
			t.Fatalf("answer %x", a)
		}
	})
}
