package interworktest

import (
	"strings"
	"testing"
	"time"
)

// challenges makes a server scenario of a call challenge the first INVITE.
func challenges(t *testing.T, scenario string) string {
	t.Helper()
	return strings.Replace(Scenario(t, scenario), "\n  <recv", `
  <recv request="INVITE"/>
  <send retrans="500">
    <![CDATA[

      SIP/2.0 401 Unauthorized
      [last_Via:]
      [last_From:]
      [last_To:];tag=challenge
      [last_Call-ID:]
      [last_CSeq:]
      WWW-Authenticate: Digest realm="test", nonce="1", algorithm=MD5
      Content-Length: 0

    ]]>
  </send>
  <recv request="ACK"/>
  <recv`, 1)
}

// reoffered makes a server scenario take two further offers in the dialog.
func reoffered(scenario string) string {
	const round = `
  <recv request="INVITE"/>
  <send retrans="500">
    <![CDATA[

      SIP/2.0 200 OK
      [last_Via:]
      [last_From:]
      [last_To:]
      [last_Call-ID:]
      [last_CSeq:]
      Contact: <sip:[user]@[local_ip]:[local_port]>
      Content-Type: application/sdp
      Content-Length: [len]

      v=0
      o=sipp 1 2 IN IP4 127.0.0.1
      s=-
      c=IN IP4 127.0.0.1
      t=0 0
      m=audio [media_port] RTP/AVP [format]
      a=recvonly

    ]]>
  </send>
  <recv request="ACK"/>
`
	return strings.Replace(scenario, `  <recv request="BYE"/>`, round+round+`  <recv request="BYE"/>`, 1)
}

// TestSIPpCallsSIPp proves the scenarios of calls against each other.
func TestSIPpCallsSIPp(t *testing.T) {
	for _, c := range []struct{ uac, uas, refused, status string }{
		{CallUAC, CallUAS, "", ""},
		{CallUACStays, CallUASHangsUp, "", ""},
		{CallUACLate, CallUASHangsUp, "", ""},
		{CallUACRefused, CallUASRefuses, "486", "486 Busy Here"},
		{CallUACRefused, CallUASRejects, "603", "603 Decline"},
		{CallUACCancels, CallUASRings, "", ""},
		{CallUACHolds, CallUAS, "", ""},
	} {
		t.Run(c.uac+"-"+c.uas, func(t *testing.T) {
			t.Parallel()
			server := challenges(t, c.uas)
			if c.uac == CallUACHolds {
				server = reoffered(server)
			}
			in := StartSIPp(t, SIPpOptions{Scenario: server, Status: c.status, User: "nora", Calls: 1, Codec: CodecPCMA, Talk: 300 * time.Millisecond})
			out := StartSIPp(t, SIPpOptions{
				Scenario: c.uac, Status: c.refused, Remote: in.Address(), User: "otto", Calls: 1, Talk: 300 * time.Millisecond,
				Keys: map[string]string{"to": "sip:nora@" + in.Address(), "from": "sip:otto@sip.harbor.example"},
			})
			out.Success(Patience)
			in.Success(Patience)
		})
	}
}

// TestSIPpEchoes: what a phone says to SIPp comes back.
func TestSIPpEchoes(t *testing.T) {
	echo := StartSIPp(t, SIPpOptions{Scenario: CallUAS, Calls: 1, Codec: CodecPCMU})
	otto := StartBaresip(t, BaresipOptions{User: "otto", Codecs: []string{CodecPCMU}, Tone: 700, Record: true})
	otto.Dial("sip:echo@" + echo.Address())
	otto.ExpectCall("CALL_ESTABLISHED")
	clearly(t, "otto", 700, func() Recording { return otto.Listen(time.Second) })
	otto.Hangup()
	echo.Success(Patience)
}

// hasLine tells whether a body has exactly this line.
func hasLine(body, line string) bool {
	for l := range strings.Lines(body) {
		if strings.TrimSpace(l) == line {
			return true
		}
	}
	return false
}
