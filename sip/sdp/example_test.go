package sdp_test

import (
	"fmt"

	"github.com/stoxgate/stoxgate/sip/sdp"
)

// A phone calls, and later holds.
func ExampleNegotiation() {
	n := sdp.NewNegotiation(sdp.Origin{SessionID: 1, Version: 1, Address: "192.0.2.1"})
	offer := func(attribute string) []byte {
		return []byte("v=0\no=- 9 1 IN IP4 198.51.100.4\ns=-\nc=IN IP4 198.51.100.4\nt=0 0\n" +
			"m=audio 4000 RTP/AVP 8 0\na=" + attribute + "\nm=video 4002 RTP/AVP 34\n")
	}
	pcma, _ := sdp.StaticCodec(8)
	ours := &sdp.Description{
		Connection: &sdp.Connection{Address: "192.0.2.1"},
		Media:      []sdp.Media{{Kind: "audio", Port: 20000, Codecs: []sdp.Codec{pcma}}},
	}
	for _, attribute := range []string{"sendrecv", "sendrecv", "sendonly"} {
		d, err := sdp.Parse(offer(attribute))
		if err != nil {
			fmt.Println(err)
			return
		}
		if err := n.RemoteOffer(d); err != nil {
			fmt.Println(err)
			return
		}
		answer, err := n.LocalAnswer(ours)
		if err != nil {
			fmt.Println(err)
			return
		}
		fmt.Println("version", answer.Origin.Version, "|", len(answer.Media), "media |", answer.Media[0].Direction)
	}
	// Output:
	// version 1 | 2 media | sendrecv
	// version 1 | 2 media | sendrecv
	// version 2 | 2 media | recvonly
}
