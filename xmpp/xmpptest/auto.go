package xmpptest

import (
	"github.com/stoxgate/stoxgate/xmpp"
	"github.com/stoxgate/stoxgate/xmpp/disco"
)

// capsNode names the test client in its caps.
const capsNode = "https://stoxgate.example/xmpptest"

// Auto says what an endpoint answers by itself. The zero value answers pings and
// disco#info as ClientInfo.
type Auto struct {
	// Off switches everything off, also pings.
	Off bool
	// Info is the answer to disco#info, with and without its caps node; ClientInfo
	// when nil.
	Info *disco.Info
	// Receipts answers requests for delivery receipts (XEP-0184).
	Receipts bool
	// Displayed answers markable messages with a displayed marker (XEP-0333).
	Displayed bool
}

// ClientInfo is what a present-day chat client without calls says of itself:
// chat states, receipts, markers, links to files.
func ClientInfo() disco.Info {
	return disco.Info{
		Identities: []disco.Identity{{Category: "client", Type: "pc", Name: "xmpptest"}},
		Features: disco.NewFeatures(xmpp.NSDiscoInfo, xmpp.NSCaps, xmpp.NSPing,
			xmpp.NSChatStates, xmpp.NSReceipts, xmpp.NSMarkers, xmpp.NSOOB),
	}
}

// SetAuto changes the automatic answers.
func (e *Endpoint) SetAuto(a Auto) {
	e.mu.Lock()
	defer e.mu.Unlock()
	e.auto = a
}

func (a Auto) info() disco.Info {
	if a.Info != nil {
		return *a.Info
	}
	return ClientInfo()
}

// caps is what the endpoint puts into its presence.
func (a Auto) caps() disco.Caps {
	return disco.Caps{Hash: disco.HashSHA1, Node: capsNode, Ver: a.info().Verification()}
}

// answer replies to s if it is meant to; true means that s is done with.
func (a Auto) answer(e *Endpoint, s xmpp.Stanza) bool {
	if a.Off {
		return false
	}
	switch s := s.(type) {
	case *xmpp.IQ:
		return s.Type == xmpp.IQGet && s.Payload != nil && a.answerIQ(e, s)
	case *xmpp.Message:
		a.acknowledge(e, s)
	}
	return false
}

func (a Auto) answerIQ(e *Endpoint, iq *xmpp.IQ) bool {
	switch {
	case iq.Payload.Is(xmpp.NSPing, "ping"):
		_ = e.send(iq.Result(nil)) // fails only when the connection is gone, which shows elsewhere
		return true
	case iq.Payload.Is(xmpp.NSDiscoInfo, "query"):
		node := iq.Payload.Attribute("node")
		if node != "" && node != a.caps().InfoNode() {
			_ = e.send(iq.ErrorReply(*xmpp.NewStanzaError(xmpp.ConditionItemNotFound, "")))
			return true
		}
		q := a.info().Element()
		if node != "" {
			q.Set("node", node)
		}
		_ = e.send(iq.Result(q))
		return true
	}
	return false
}

func (a Auto) acknowledge(e *Endpoint, m *xmpp.Message) {
	if m.ID == "" || m.Type == xmpp.MessageError || m.Type == xmpp.MessageGroupchat {
		return
	}
	if a.Receipts && m.Extension(xmpp.NSReceipts, "request") != nil {
		_ = e.send(reference(m, xmpp.NSReceipts, "received"))
	}
	if a.Displayed && m.Extension(xmpp.NSMarkers, "markable") != nil {
		_ = e.send(reference(m, xmpp.NSMarkers, "displayed"))
	}
}

// reference builds a receipt or marker for m.
func reference(m *xmpp.Message, space, local string) *xmpp.Message {
	return &xmpp.Message{To: m.From, Type: m.Type, Extensions: []*xmpp.Element{xmpp.NewElement(space, local).Set("id", m.ID)}}
}
