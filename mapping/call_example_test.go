package mapping_test

import (
	"fmt"
	"strings"

	"github.com/stoxgate/stoxgate/jingle"
	"github.com/stoxgate/stoxgate/mapping"
	"github.com/stoxgate/stoxgate/sip/sdp"
	"github.com/stoxgate/stoxgate/xmpp"
)

// What a client offers, and what a phone is offered.
func ExampleContentsToSDP() {
	e, err := xmpp.ParseElement([]byte(`<jingle xmlns='urn:xmpp:jingle:1' action='session-initiate' sid='a1'>
 <content creator='initiator' name='voice'>
  <description xmlns='urn:xmpp:jingle:apps:rtp:1' media='audio'><payload-type id='0'/></description>
  <transport xmlns='urn:xmpp:jingle:transports:raw-udp:1'>
   <candidate component='1' generation='0' id='c1' ip='192.0.2.5' port='4000'/>
  </transport>
 </content>
</jingle>`))
	if err != nil {
		fmt.Println(err)
		return
	}
	j, err := jingle.Parse(e)
	if err != nil {
		fmt.Println(err)
		return
	}
	d, loss, err := mapping.ContentsToSDP(j, mapping.CallContext{
		Author: jingle.RoleInitiator, Origin: sdp.Origin{SessionID: 1, Version: 1, Address: "192.0.2.1"},
	})
	fmt.Println(loss, err)
	fmt.Print(strings.ReplaceAll(d.String(), "\r\n", "\n"))
	// Output:
	// [] <nil>
	// v=0
	// o=- 1 1 IN IP4 192.0.2.1
	// s=-
	// t=0 0
	// m=audio 4000 RTP/AVP 0
	// c=IN IP4 192.0.2.5
	// a=mid:voice
	// a=rtpmap:0 PCMU/8000
	// a=sendrecv
}
