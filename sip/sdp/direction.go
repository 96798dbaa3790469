package sdp

// Direction is who sends, seen by the author of the description (RFC 8866 §6.7). Empty: not said.
type Direction string

// The directions.
const (
	SendRecv Direction = "sendrecv"
	SendOnly Direction = "sendonly"
	RecvOnly Direction = "recvonly"
	Inactive Direction = "inactive"
)

// DirectionOf is the direction of an author who sends or receives.
func DirectionOf(send, recv bool) Direction {
	switch {
	case send && recv:
		return SendRecv
	case send:
		return SendOnly
	case recv:
		return RecvOnly
	}
	return Inactive
}

// Sends reports whether the author sends; no direction is sendrecv.
func (d Direction) Sends() bool { return d != RecvOnly && d != Inactive }

// Receives reports whether the author receives; no direction is sendrecv.
func (d Direction) Receives() bool { return d != SendOnly && d != Inactive }

// Reverse is the same direction seen by the other side.
func (d Direction) Reverse() Direction { return DirectionOf(d.Receives(), d.Sends()) }

// Answer is the direction to answer an offer with, when d is what the answerer wants: it sends only what the
// offerer receives, and the other way round (RFC 3264 §6.1).
func (d Direction) Answer(offered Direction) Direction {
	return DirectionOf(d.Sends() && offered.Receives(), d.Receives() && offered.Sends())
}
