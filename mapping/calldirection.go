package mapping

import (
	"github.com/stoxgate/stoxgate/jingle"
	"github.com/stoxgate/stoxgate/sip/sdp"
)

// The senders of a content are absolute, the direction of SDP is its author's. What turns one into the other is
// the author's role in the Jingle session alone, never who created the content or sends the stanza
// (XEP-0166 §7.3; RFC 3264 §5.1).
//
//	senders      SDP of the initiator   SDP of the responder
//	both         sendrecv               sendrecv
//	initiator    sendonly               recvonly
//	responder    recvonly               sendonly
//	none         inactive               inactive

// SendersToDirection is the direction in the SDP of the party with the role author.
func SendersToDirection(s jingle.Senders, author jingle.Role) sdp.Direction {
	return sdp.DirectionOf(s.Sends(author), s.Sends(author.Other()))
}

// directionToSenders is who sends by the SDP of the party with the role author.
func directionToSenders(d sdp.Direction, author jingle.Role) jingle.Senders {
	switch {
	case d.Sends() && d.Receives():
		return jingle.SendersBoth
	case d.Sends():
		return jingle.Senders(author)
	case d.Receives():
		return jingle.Senders(author.Other())
	}
	return jingle.SendersNone
}

// HoldDirection is the direction to offer for somebody who holds the call: he goes on sending, and receives
// nothing (RFC 3264 §8.4).
func HoldDirection(d sdp.Direction) sdp.Direction { return sdp.DirectionOf(d.Sends(), false) }
