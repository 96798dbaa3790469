package siptest

import (
	"testing"
	"time"

	"github.com/miekg/dns"
	"github.com/stretchr/testify/require"
)

func TestDNS(t *testing.T) {
	d := StartDNS(t)
	require.NoError(t, d.Host("a.example.test", 60, "127.0.0.1", "::1"))
	require.NoError(t, d.SRV("_sip._udp.example.test", 60, 10, 5, 5070, "a.example.test"))
	require.NoError(t, d.NAPTR("example.test", 60, 10, 20, "SIP+D2U", "_sip._udp.example.test"))
	require.NoError(t, d.Add("www.example.test. 60 IN CNAME a.example.test."))
	require.Error(t, d.Add("nonsense"))
	require.Error(t, d.Add("; only a comment"))

	ask := func(network, name string, kind uint16) *dns.Msg {
		t.Helper()
		m := new(dns.Msg)
		m.SetQuestion(name, kind)
		res, _, err := (&dns.Client{Net: network, Timeout: 5 * time.Second}).Exchange(m, d.Addr())
		require.NoError(t, err)
		return res
	}
	require.Len(t, ask("udp", "A.example.test.", dns.TypeA).Answer, 1)
	require.Len(t, ask("tcp", "a.example.test.", dns.TypeAAAA).Answer, 1)
	require.Len(t, ask("udp", "www.example.test.", dns.TypeA).Answer, 2)
	srv := ask("udp", "_sip._udp.example.test.", dns.TypeSRV).Answer[0].(*dns.SRV)
	require.EqualValues(t, 5070, srv.Port)
	naptr := ask("udp", "example.test.", dns.TypeNAPTR).Answer[0].(*dns.NAPTR)
	require.Equal(t, "SIP+D2U", naptr.Service)
	require.Equal(t, dns.RcodeSuccess, ask("udp", "example.test.", dns.TypeA).Rcode)
	require.Equal(t, dns.RcodeNameError, ask("udp", "none.example.test.", dns.TypeA).Rcode)

	q := d.Queries()
	require.Equal(t, "a.example.test.", q[0].Name)
	require.Equal(t, []string{"A", "udp"}, []string{q[0].Type, q[0].Network})
	d.ForgetQueries()
	require.Empty(t, d.Queries())

	d.Fail("a.example.test", ServFail)
	require.Equal(t, dns.RcodeServerFailure, ask("udp", "a.example.test.", dns.TypeA).Rcode)
	d.Fail("a.example.test", Truncated)
	require.True(t, ask("udp", "a.example.test.", dns.TypeA).Truncated)
	require.Len(t, ask("tcp", "a.example.test.", dns.TypeA).Answer, 1)
	d.Fail("a.example.test", Healthy)
	d.Fail("", Refused)
	require.Equal(t, dns.RcodeRefused, ask("udp", "a.example.test.", dns.TypeA).Rcode)
	d.Fail("", NoAnswer)
	m := new(dns.Msg)
	m.SetQuestion("a.example.test.", dns.TypeA)
	_, _, err := (&dns.Client{Timeout: 30 * time.Millisecond}).Exchange(m, d.Addr())
	require.Error(t, err)
	d.Fail("", WrongID)
	_, _, err = (&dns.Client{Timeout: 30 * time.Millisecond}).Exchange(m, d.Addr())
	require.Error(t, err)
	d.Fail("", Healthy)
	d.Remove("a.example.test")
	require.Equal(t, dns.RcodeNameError, ask("udp", "a.example.test.", dns.TypeA).Rcode)
}
