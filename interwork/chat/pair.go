package chat

import (
	"context"
	"time"

	"github.com/stoxgate/stoxgate/interwork/cause"
	"github.com/stoxgate/stoxgate/mapping"
	"github.com/stoxgate/stoxgate/sip"
	"github.com/stoxgate/stoxgate/xmpp"
)

// Pair is the conversation between one bare JID and one AOR.
type Pair struct {
	settings *Settings
	ports    Ports
	post     func(Event) // to the actor that runs this pair
	now      func() time.Time

	// Towards SIP.
	queue   []*outbound // waiting for their turn, oldest first
	sending *outbound   // the one pending MESSAGE transaction
	openOut int         // begun and not done

	// Towards XMPP.
	kept   []*inbound // in the outbox, oldest first
	openIn int        // begun and not done
	recent replay

	peer mapping.PeerCaps // what the SIP party was seen to use

	typing      ComposingState // the XMPP party
	typingSince time.Time
	typingLast  *xmpp.Message // the stanza to repeat
	peerTyping  ComposingState
	peerTypes   *xmpp.Message // the addresses and thread for "paused"
	showsStates bool          // the XMPP party's client was seen to use chat states
}

// stanzaRoom is the bytes that most stanzas fit into.
const stanzaRoom = 512

// NewPair makes a Pair; post hands an event to the actor that calls Handle, and now is
// its clock.
func NewPair(s *Settings, p Ports, post func(Event), now func() time.Time) *Pair {
	return &Pair{settings: s, ports: p, post: post, now: now}
}

// Idle reports whether nothing is under way, so that the pair may be dropped; what it
// remembers besides can be learned again.
func (p *Pair) Idle() bool {
	return p.openOut == 0 && p.openIn == 0 && p.typing != ComposingActive && p.peerTyping != ComposingActive
}

// Kept is the number of messages that wait for the link.
func (p *Pair) Kept() int { return len(p.kept) }

// Handle takes one event. It must be called from one goroutine at a time.
func (p *Pair) Handle(e Event) {
	switch e := e.(type) {
	case StanzaReceived:
		p.stanza(e)
	case RequestReceived:
		p.request(e)
	case OutboundFound:
		p.outboundFound(e)
	case InboundFound:
		p.inboundFound(e)
	case *outboundEvent:
		p.outboundStep(e)
	case *inboundEvent:
		p.inboundStep(e)
	case *lateBounce:
		p.report(e.in, e.cause)
	case LinkUp:
		p.redeliver()
	case TimerFired:
		p.timer(e.Timer)
	default:
		panic("chat: unknown event")
	}
}

func (p *Pair) timer(t Timer) {
	switch t {
	case TimerRepeat:
		if p.typing == ComposingActive && p.now().Sub(p.typingSince) >= composingLimit {
			p.typed(ComposingTimeout, p.typingLast, "")
			return
		}
		p.typed(ComposingTick, p.typingLast, "")
	case TimerComposing:
		p.peerTyped(ComposingTimeout, p.peerTypes, "")
	case TimerKept:
		p.redeliver()
	}
}

// typed follows the composing state of the XMPP party; m is the stanza that said it.
func (p *Pair) typed(e ComposingEvent, m *xmpp.Message, flow string) {
	next, action := NextComposing(p.typing, e)
	if next == ComposingActive && p.typing != ComposingActive {
		p.typingSince = p.now()
	}
	p.typing = next
	switch {
	case next == ComposingActive && (action != 0 || e == ComposingStarted):
		p.typingLast = m
		p.ports.SetTimer(TimerRepeat, composingRepeat)
	case next != ComposingActive:
		p.typingLast = nil
		p.ports.SetTimer(TimerRepeat, 0)
	}
	if action == 0 || m == nil {
		return
	}
	if e == ComposingTimeout {
		m = withState(m, xmpp.NewElement(xmpp.NSChatStates, "paused"))
	}
	p.enqueueLight(m, flow)
}

// peerTyped follows the composing state of the SIP party; m carries the addresses.
func (p *Pair) peerTyped(e ComposingEvent, m *xmpp.Message, flow string) {
	next, action := NextComposing(p.peerTyping, e)
	p.peerTyping = next
	if next != ComposingActive {
		p.ports.SetTimer(TimerComposing, 0)
	}
	if action != ComposingSay || m == nil || !p.showsStates || !p.ports.LinkUp() {
		return
	}
	state := "composing"
	if next == ComposingIdle {
		state = "paused"
	}
	s := withState(m, xmpp.NewElement(xmpp.NSChatStates, state))
	// Nobody waits for the fate of a chat state; a lost one is repaired by the next.
	p.ports.Deliver(flow, s, func(Verdict, *xmpp.StanzaError) {}, nil)
}

// withState is a standalone notification with the addresses and thread of m (XEP-0085 §5.6).
func withState(m *xmpp.Message, state *xmpp.Element) *xmpp.Message {
	return &xmpp.Message{
		From: m.From, To: m.To, Type: xmpp.MessageChat, ID: m.ID, Thread: m.Thread,
		Extensions: []*xmpp.Element{state, xmpp.NewElement(xmpp.NSHints, "no-store")},
	}
}

// chatState gives the XEP-0085 state of m, "" when there is none.
func chatState(m *xmpp.Message) string {
	for _, x := range m.Extensions {
		if x.Name.Space == xmpp.NSChatStates {
			return x.Name.Local
		}
	}
	return ""
}

// replay remembers the answers to the last requests, so that a request which comes
// again in another transaction (a failover of the sender's proxy) is answered and not
// delivered twice (CORE: Call-ID, CSeq and From tag name a request).
type replay struct {
	entries [16]replayEntry
	next    int
}

type replayEntry struct {
	key     string
	at      time.Time
	status  sip.Status
	waiting []func(sip.Status) // duplicates that came before the answer
	done    bool
}

// replayLife is twice Timer F: no transaction layer repeats a request after that.
const replayLife = 64 * time.Second

// begin reports whether the request is new; if not, answer gets what the first one got.
func (r *replay) begin(key string, now time.Time, answer func(sip.Status)) bool {
	for i := range r.entries {
		e := &r.entries[i]
		if e.key != key || now.Sub(e.at) > replayLife {
			continue
		}
		if e.done {
			answer(e.status)
		} else {
			e.waiting = append(e.waiting, answer)
		}
		return false
	}
	for range r.entries { // an unanswered request is never forgotten
		if e := &r.entries[r.next]; e.key == "" || e.done {
			break
		}
		r.next = (r.next + 1) % len(r.entries)
	}
	old := &r.entries[r.next]
	for _, w := range old.waiting {
		w(cause.Overloaded(nil).Status())
	}
	*old = replayEntry{key: key, at: now}
	r.next = (r.next + 1) % len(r.entries)
	return true
}

// end remembers the answer of a request and gives it to its duplicates.
func (r *replay) end(key string, s sip.Status) {
	for i := range r.entries {
		if e := &r.entries[i]; e.key == key && !e.done {
			e.status, e.done = s, true
			for _, w := range e.waiting {
				w(s)
			}
			e.waiting = nil
			return
		}
	}
}

// background is the context of lookups that answer from memory.
var background = context.Background()
