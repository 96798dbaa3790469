package interwork_test

import (
	"fmt"
	"net"
	"net/netip"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/stoxgate/stoxgate/interwork"
	"github.com/stoxgate/stoxgate/jingle"
	"github.com/stoxgate/stoxgate/sip/siptest"
	"github.com/stoxgate/stoxgate/sip/ua"
	"github.com/stoxgate/stoxgate/xmpp"
)

// sixPort is a free UDP port on ::1; without such an address the test is skipped.
func sixPort(t *testing.T) int {
	t.Helper()
	conn, err := net.ListenUDP("udp6", &net.UDPAddr{IP: net.IPv6loopback})
	if err != nil {
		t.Skipf("this machine has no IPv6 loopback address: %v", err)
	}
	defer conn.Close()
	return conn.LocalAddr().(*net.UDPAddr).Port
}

// bothRig is a rig for calls on both loopback addresses; it returns where SIP is on ::1.
func bothRig(t *testing.T) (*rig, string) {
	t.Helper()
	port := sixPort(t)
	r := callRig(t, func(c *interwork.Config) {
		c.SIP.Listen = append(c.SIP.Listen, ua.Listen{Transport: "udp", Host: "::1", Port: port})
		c.Calls.Relay.Addresses = []netip.Addr{netip.MustParseAddr("127.0.0.1"), netip.IPv6Loopback()}
	})
	return r, fmt.Sprintf("[::1]:%d", port)
}

// wantFamilies proves that a content has host candidates of both families.
func wantFamilies(t *testing.T, c *jingle.Content) {
	t.Helper()
	var ips []string
	for _, k := range c.Transport.Candidates {
		ips = append(ips, k.IP)
	}
	require.ElementsMatch(t, []string{"127.0.0.1", "::1"}, ips)
}

// A phone that has IPv6 only calls a client that has IPv4 only.
func TestCallFromIPv6PhoneToIPv4Client(t *testing.T) {
	r, proxy := bothRig(t)
	otto := r.callPhoneAt("otto", "[::1]:0", proxy)
	phone := newEarAt(t, "::1")
	d := newDevice(t, r.mira)
	c := r.dial(otto, mira, siptest.CallConfig{SDP: phone.sdp("8")})
	d.wantMessage(jingle.KindPropose)
	d.send(jingle.KindProceed, d.to, nil)
	offer := d.want(jingle.ActionSessionInitiate)
	wantFamilies(t, &offer.Contents[0])
	d.accept(offer, pcmaCodec)
	res, err := c.Wait(r.ctx())
	require.NoError(t, err)
	require.Equal(t, 200, res.Status)
	where := mediaIn(t, c.SDP())
	require.Equal(t, "::1", where.Addr().String())
	r.talk(d, phone, where)
	_, err = c.Hangup(r.ctx())
	require.NoError(t, err)
	d.want(jingle.ActionSessionTerminate)
}

// An offer to a phone names the address of the family by which the phone is reached; when
// both kinds of phones ring, each is offered its own.
func TestOfferFollowsTheFamilyOfSignalling(t *testing.T) {
	r, proxy := bothRig(t)
	six := r.callPhoneAt("otto", "[::1]:0", proxy)
	four := siptest.StartPhone(t, siptest.Config{
		Proxy: r.gateway.SIPAddr("udp"), AOR: "sip:otto@" + sipDomain, Credentials: siptest.Credentials{User: "otto", Password: password},
	})
	res, err := four.Register(r.ctx(), 600)
	require.NoError(t, err)
	require.Equal(t, 200, res.Status)
	d := newDevice(t, r.mira)
	d.sid, d.to = "a6", xmpp.MustJID("otto@"+sipDomain)
	d.send(jingle.KindPropose, jid("otto"), nil)
	atSix, err := six.Incoming(r.ctx(), siptest.CallConfig{})
	require.NoError(t, err)
	atFour, err := four.Incoming(r.ctx(), siptest.CallConfig{})
	require.NoError(t, err)
	require.NoError(t, atSix.Ring(180, nil))
	require.NoError(t, atFour.Ring(180, nil))
	where := mediaIn(t, atSix.SDP())
	require.Equal(t, "::1", where.Addr().String())
	require.Equal(t, netip.AddrPortFrom(netip.MustParseAddr("127.0.0.1"), where.Port()), mediaIn(t, atFour.SDP()))
	phone := newEarAt(t, "::1")
	require.NoError(t, atSix.Accept(phone.sdp("8")))
	d.wantMessage(jingle.KindProceed)
	d.initiate(pcmaCodec)
	d.finishInitiate()
	r.talk(d, phone, where)
	_, err = atFour.Ended(r.ctx())
	require.NoError(t, err)
	// What is offered later, such as a hold, keeps the family.
	d.request(&jingle.Jingle{Action: jingle.ActionSessionTerminate, Reason: &jingle.Reason{Condition: jingle.ReasonSuccess}})
	_, err = atSix.Ended(r.ctx())
	require.NoError(t, err)
}

// An offer from where no address of ours leads is refused before anybody's phone rings.
func TestOfferOfAnotherFamilyIsRefused(t *testing.T) {
	r := callRig(t, nil)
	otto := r.callPhone("otto")
	body := []byte("v=0\r\no=- 1 1 IN IP6 2001:db8::1\r\ns=-\r\nc=IN IP6 2001:db8::1\r\nt=0 0\r\nm=audio 4000 RTP/AVP 8\r\n")
	c := r.dial(otto, mira, siptest.CallConfig{SDP: body})
	res, err := c.Wait(r.ctx())
	require.NoError(t, err)
	require.Equal(t, 488, res.Status)
	require.Contains(t, res.Get("Warning"), "301 ")
}
