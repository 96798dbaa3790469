package jingle_test

import (
	"fmt"
	"slices"
	"strings"
	"testing"

	"pgregory.net/rapid"

	"github.com/stoxgate/stoxgate/jingle"
	"github.com/stoxgate/stoxgate/xmpp"
)

// packet is what travels between the two parties of the model: an action or an answer to one.
type packet struct {
	action *jingle.Jingle // nil: an answer
	to     jingle.Action  // which the answer is to
	err    *xmpp.StanzaError
}

// model is a session seen from both ends, with what is on the way, in order, as XMPP delivers it.
type model struct {
	parties [2]*jingle.Session // by index: initiator, responder
	wires   [2][]packet        // towards that party
	names   int
}

// deliver lets a party take the next packet.
func (m *model) deliver(t *rapid.T, to int) {
	p := m.wires[to][0]
	m.wires[to] = m.wires[to][1:]
	s := m.parties[to]
	if p.action == nil {
		s.Answered(p.to, p.err)
		return
	}
	var se *xmpp.StanzaError
	if err := s.Receive(p.action); err != nil {
		se = err.(*xmpp.StanzaError)
	}
	t.Logf("%s gets %s: %v", s.Role(), show(p.action), se)
	switch {
	case se == nil, jingle.IsTieBreak(se), jingle.IsUnknownSession(se):
	default:
		t.Fatalf("%s was allowed to be sent, and is refused: %v", show(p.action), se)
	}
	m.wires[1-to] = append(m.wires[1-to], packet{to: p.action.Action, err: se})
}

// act lets a party try something with the contents that it knows.
func (m *model) act(t *rapid.T, by int) {
	s := m.parties[by]
	j := &jingle.Jingle{Action: rapid.SampledFrom(jingle.Actions).Draw(t, "action"), SID: sid}
	if j.Action == jingle.ActionSessionTerminate && rapid.IntRange(0, 9).Draw(t, "end") > 0 {
		return // else hardly anything happens
	}
	add := func(creator jingle.Role, name string) {
		j.Contents = append(j.Contents, jingle.Content{Creator: creator, Name: name, Senders: senders.Draw(t, "senders")})
	}
	switch j.Action {
	case jingle.ActionSessionInitiate, jingle.ActionContentAdd:
		for range rapid.IntRange(1, 2).Draw(t, "new") {
			m.names++
			add(s.Role(), fmt.Sprintf("c%d", m.names))
		}
	default:
		for _, c := range s.Contents() {
			if rapid.Bool().Draw(t, c.Name) {
				add(c.Creator, c.Name)
			}
		}
	}
	if s.Send(j) != nil {
		return
	}
	t.Logf("%s sends %s", s.Role(), show(j))
	m.wires[1-by] = append(m.wires[1-by], packet{action: copyOf(j)})
}

func show(j *jingle.Jingle) string {
	s := string(j.Action)
	for _, c := range j.Contents {
		s += fmt.Sprintf(" %s/%s=%s", c.Creator[:1], c.Name, c.Senders)
	}
	return s
}

func copyOf(j *jingle.Jingle) *jingle.Jingle {
	c := *j
	c.Contents = append([]jingle.Content(nil), j.Contents...)
	return &c
}

// TestAgreement lets two sessions do whatever Send allows, at any time, with packets on the way for any time. Once
// all is delivered both must have the same idea of the session, and nobody may have called the other's action
// wrong but for a tie or an end.
func TestAgreement(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		m := &model{parties: [2]*jingle.Session{
			jingle.NewSession(sid, otto, mira, jingle.RoleInitiator), jingle.NewSession(sid, mira, otto, jingle.RoleResponder),
		}}
		for range rapid.IntRange(1, 60).Draw(t, "steps") {
			who := rapid.IntRange(0, 1).Draw(t, "who")
			if len(m.wires[who]) > 0 && rapid.Bool().Draw(t, "deliver") {
				m.deliver(t, who)
			} else {
				m.act(t, who)
			}
		}
		for len(m.wires[0])+len(m.wires[1]) > 0 {
			for who := range m.wires {
				if len(m.wires[who]) > 0 {
					m.deliver(t, who)
				}
			}
		}
		i, r := (&party{m.parties[0], nil}).show(), (&party{m.parties[1], nil}).show()
		if m.parties[0].State() == jingle.StateEnded && m.parties[1].State() == jingle.StateEnded {
			return
		}
		if sorted(i) != sorted(r) {
			t.Fatalf("initiator: %s\nresponder: %s", i, r)
		}
	})
}

// sorted makes the order of contents meaningless: what both add at once is in another order on each side.
func sorted(s string) string {
	f := strings.Fields(s)
	slices.Sort(f)
	return strings.Join(f, " ")
}

// TestHostilePeer sends anything at all to a session: what is refused changes nothing, and nothing grows without
// bounds.
func TestHostilePeer(t *testing.T) {
	contents := rapid.Custom(func(t *rapid.T) jingle.Content {
		return jingle.Content{
			Creator: roles.Draw(t, "creator"), Name: fmt.Sprintf("c%d", rapid.IntRange(0, 40).Draw(t, "name")),
			Senders: senders.Draw(t, "senders"),
		}
	})
	rapid.Check(t, func(t *rapid.T) {
		p := &party{jingle.NewSession(sid, otto, mira, roles.Draw(t, "role")), nil}
		for range rapid.IntRange(1, 80).Draw(t, "steps") {
			j := &jingle.Jingle{
				Action: rapid.SampledFrom(jingle.Actions).Draw(t, "action"), SID: sid,
				Contents: rapid.SliceOfNDistinct(contents, 0, 8, func(c jingle.Content) string { return c.Name }).Draw(t, "contents"),
			}
			if j.Action == jingle.ActionSessionTerminate && p.State() != jingle.StateActive {
				continue
			}
			before := p.show()
			if rapid.IntRange(0, 4).Draw(t, "mine") == 0 {
				if p.Send(j) == nil && rapid.Bool().Draw(t, "fails") {
					p.Answered(j.Action, jingle.TieBreak())
				}
			} else if err := p.Receive(j); err != nil && p.show() != before {
				t.Fatalf("%s is refused with %v, but %s became %s", show(j), err, before, p.show())
			}
			if n := len(p.Contents()); n > 40 {
				t.Fatalf("%d contents", n)
			}
		}
	})
}
