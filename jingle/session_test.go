package jingle_test

import (
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/stoxgate/stoxgate/jingle"
	"github.com/stoxgate/stoxgate/xmpp"
)

const sid = "s1"

// action makes a stanza about contents given as "creator/name" or "creator/name=senders".
func action(a jingle.Action, contents ...string) *jingle.Jingle {
	j := &jingle.Jingle{Action: a, SID: sid}
	for _, c := range contents {
		c, senders, _ := strings.Cut(c, "=")
		creator, name, _ := strings.Cut(c, "/")
		v := jingle.Content{Creator: jingle.RoleInitiator, Name: name, Senders: jingle.Senders(senders), Description: &jingle.Description{Media: "audio"}}
		if creator == "r" {
			v.Creator = jingle.RoleResponder
		}
		j.Contents = append(j.Contents, v)
	}
	return j
}

// party is a session whose steps have to succeed.
type party struct {
	*jingle.Session
	tb testing.TB
}

func newParty(tb testing.TB, role jingle.Role) *party {
	local, peer := otto, mira
	if role == jingle.RoleResponder {
		local, peer = mira, otto
	}
	return &party{jingle.NewSession(sid, local, peer, role), tb}
}

func (p *party) receive(a jingle.Action, contents ...string) {
	p.tb.Helper()
	if err := p.Receive(action(a, contents...)); err != nil {
		p.tb.Fatalf("%s: %v", a, err)
	}
}

// send sends and gets the result.
func (p *party) send(a jingle.Action, contents ...string) {
	p.tb.Helper()
	p.pend(a, contents...)
	p.Answered(a, nil)
}

// pend sends and waits for the answer.
func (p *party) pend(a jingle.Action, contents ...string) {
	p.tb.Helper()
	if err := p.Send(action(a, contents...)); err != nil {
		p.tb.Fatal(err)
	}
}

// show prints the state and contents: + accepted, ? offered, ! with who replaces the transport.
func (p *party) show() string {
	out := []string{p.State().String()}
	for _, c := range p.Contents() {
		s := string(c.Creator[:1]) + "/" + c.Name + "=" + string(c.Senders) + "?"
		if c.Accepted {
			s = s[:len(s)-1] + "+"
		}
		if c.Replacing != "" {
			s += "!" + string(c.Replacing[:1])
		}
		out = append(out, s)
	}
	return strings.Join(out, " ")
}

func (p *party) want(s string) {
	p.tb.Helper()
	if got := p.show(); got != s {
		p.tb.Errorf("got %s, want %s", got, s)
	}
}

// in puts a session into a state in which every action finds a content that suits it.
func in(tb testing.TB, state jingle.State, role jingle.Role) *party {
	p := newParty(tb, role)
	if state == jingle.StateUnknown {
		return p
	}
	// each makes the party by take an action, as seen from p.
	each := func(by jingle.Role, a jingle.Action, contents ...string) {
		if by == role {
			p.send(a, contents...)
		} else {
			p.receive(a, contents...)
		}
	}
	each(jingle.RoleInitiator, jingle.ActionSessionInitiate, "i/main", "i/theirs", "i/mine")
	each(jingle.RoleInitiator, jingle.ActionContentAdd, "i/offered")
	each(jingle.RoleResponder, jingle.ActionContentAdd, "r/offered")
	each(jingle.RoleInitiator, jingle.ActionTransportReplace, "i/mine")
	each(jingle.RoleResponder, jingle.ActionTransportReplace, "i/theirs")
	if state == jingle.StatePending {
		return p
	}
	each(jingle.RoleResponder, jingle.ActionSessionAccept, "i/main")
	if state == jingle.StateEnded {
		each(jingle.RoleResponder, jingle.ActionSessionTerminate)
	}
	return p
}

// suitable is an action of the party by that nothing is wrong with but perhaps the state.
func suitable(a jingle.Action, by jingle.Role) *jingle.Jingle {
	own, other := "i", "r"
	replaced := "i/theirs"
	if by == jingle.RoleResponder {
		own, other, replaced = "r", "i", "i/mine"
	}
	switch a {
	case jingle.ActionSessionInitiate, jingle.ActionSessionAccept:
		return action(a, "i/main")
	case jingle.ActionContentAdd:
		return action(a, own+"/new")
	case jingle.ActionContentAccept, jingle.ActionContentReject:
		return action(a, other+"/offered")
	case jingle.ActionTransportAccept, jingle.ActionTransportReject:
		return action(a, replaced)
	case jingle.ActionSessionInfo, jingle.ActionSessionTerminate:
		return action(a)
	}
	return action(a, "i/main")
}

// TestTransitions is the whole table: what becomes of every action in every state, for both roles and both
// directions. The columns are unknown, pending, active, ended, first as initiator, then as responder. A sign is
// what happens: + taken, P A E taken with that state after it, u unknown-session, o out-of-order, t tie-break,
// i unsupported-info, - refused by Send.
func TestTransitions(t *testing.T) {
	const table = `
receive content-accept     u++u u++u
receive content-add        u++u u++u
receive content-modify     u++u u++u
receive content-reject     u++u u++u
receive content-remove     u++u u++u
receive description-info   u++u u++u
receive security-info      uiiu uiiu
receive session-accept     uAou uoou
receive session-info       u++u u++u
receive session-initiate   ooou Poou
receive session-terminate  uEEu uEEu
receive transport-accept   u++u u++u
receive transport-info     u++u u++u
receive transport-reject   u++u u++u
receive transport-replace  u++u u++u
send    content-accept     -++- -++-
send    content-add        -++- -++-
send    content-modify     -++- -++-
send    content-reject     -++- -++-
send    content-remove     -++- -++-
send    description-info   -++- -++-
send    security-info      ---- ----
send    session-accept     ---- -A--
send    session-info       -++- -++-
send    session-initiate   P--- ----
send    session-terminate  -EE- -EE-
send    transport-accept   -++- -++-
send    transport-info     -++- -++-
send    transport-reject   -++- -++-
send    transport-replace  -++- -++-
`
	states := []jingle.State{jingle.StateUnknown, jingle.StatePending, jingle.StateActive, jingle.StateEnded}
	rows := 0
	for line := range strings.Lines(strings.TrimSpace(table)) {
		rows++
		f := strings.Fields(line)
		for column, role := range []jingle.Role{jingle.RoleInitiator, jingle.RoleResponder} {
			for i, state := range states {
				p := in(t, state, role)
				before := p.show()
				got := result(p, f[0], jingle.Action(f[1]))
				if want := f[2+column][i : i+1]; got != want {
					t.Errorf("%s %s, %s, %s: %s, want %s", f[0], f[1], role, state, got, want)
				}
				if strings.Contains("uoti-", got) && p.show() != before {
					t.Errorf("%s %s, %s, %s: refused, but it became %s", f[0], f[1], role, before, p.show())
				}
			}
		}
	}
	if rows != 2*len(jingle.Actions) {
		t.Errorf("%d rows for %d actions", rows, len(jingle.Actions))
	}
}

// result carries out one row of the table.
func result(p *party, direction string, a jingle.Action) string {
	before := p.State()
	if direction == "send" {
		if err := p.Send(suitable(a, p.Role())); err != nil {
			if !errors.Is(err, jingle.ErrNotNow) {
				return err.Error()
			}
			return "-"
		}
	} else if err := p.Receive(suitable(a, p.Role().Other())); err != nil {
		return refusal(err)
	}
	if p.State() != before {
		return strings.ToUpper(p.State().String()[:1])
	}
	return "+"
}

// refusal names an error by a letter.
func refusal(err error) string {
	var se *xmpp.StanzaError
	if !errors.As(err, &se) {
		return err.Error()
	}
	for sign, e := range map[string]*xmpp.StanzaError{
		"u": jingle.UnknownSession(), "o": jingle.OutOfOrder(""), "t": jingle.TieBreak(), "i": jingle.UnsupportedInfo(),
	} {
		if se.App != nil && se.App.Name == e.App.Name && se.Condition == e.Condition {
			return sign
		}
	}
	if se.Condition == xmpp.ConditionBadRequest {
		return "b"
	}
	return se.Error()
}

// TestRefusals tells about what is wrong with contents.
func TestRefusals(t *testing.T) {
	for _, tc := range []struct {
		role   jingle.Role
		action *jingle.Jingle
		want   string
	}{
		{jingle.RoleInitiator, action(jingle.ActionContentAccept, "i/none"), "o"},
		{jingle.RoleInitiator, action(jingle.ActionContentAccept, "i/main"), "o"}, // accepted already
		{jingle.RoleInitiator, action(jingle.ActionContentAccept, "r/offered"), "o"},
		{jingle.RoleInitiator, action(jingle.ActionContentReject, "i/main"), "o"},
		{jingle.RoleInitiator, action(jingle.ActionContentAdd, "i/new"), "b"},
		{jingle.RoleInitiator, action(jingle.ActionContentAdd, "r/offered"), "o"},
		{jingle.RoleInitiator, action(jingle.ActionContentAdd, "r/new", "r/offered"), "o"},
		{jingle.RoleInitiator, action(jingle.ActionContentModify, "i/none=none"), "b"},
		{jingle.RoleInitiator, action(jingle.ActionContentRemove, "i/main", "i/none"), "b"},
		{jingle.RoleInitiator, action(jingle.ActionTransportReplace, "i/none"), "b"},
		{jingle.RoleInitiator, action(jingle.ActionTransportReplace, "i/mine"), "o"},
		{jingle.RoleInitiator, action(jingle.ActionTransportReplace, "i/theirs"), "o"},
		{jingle.RoleInitiator, action(jingle.ActionTransportAccept, "i/main"), "o"},
		{jingle.RoleInitiator, action(jingle.ActionTransportAccept, "i/theirs"), "o"},
		{jingle.RoleInitiator, action(jingle.ActionTransportReject, "i/none"), "o"},
		{jingle.RoleInitiator, &jingle.Jingle{Action: jingle.ActionSessionInfo, SID: "other"}, "u"},
		{jingle.RoleResponder, action(jingle.ActionContentAdd, "r/new"), "b"},
	} {
		p := in(t, jingle.StateActive, tc.role)
		before := p.show()
		err := p.Receive(tc.action)
		if err == nil {
			t.Errorf("%s was taken", tc.action.Element())
		} else if got := refusal(err); got != tc.want {
			t.Errorf("%s: %s, want %s", tc.action.Element(), got, tc.want)
		}
		if p.show() != before {
			t.Errorf("%s: refused, but it became %s", tc.action.Element(), p.show())
		}
	}
	p := in(t, jingle.StatePending, jingle.RoleInitiator)
	if got := refusal(p.Receive(action(jingle.ActionSessionAccept, "i/main", "i/none"))); got != "b" {
		t.Errorf("accept of what was not offered: %s", got)
	}
	if err := p.Send(&jingle.Jingle{Action: jingle.ActionSessionInfo, SID: "other"}); !errors.Is(err, jingle.ErrNotNow) {
		t.Errorf("sent in another session: %v", err)
	}
	p = newParty(t, jingle.RoleInitiator)
	if err := p.Send(action(jingle.ActionSessionInitiate, "r/main")); !errors.Is(err, jingle.ErrNotNow) {
		t.Errorf("initiated with a content of the responder: %v", err)
	}
	full := newParty(t, jingle.RoleResponder)
	full.receive(jingle.ActionSessionInitiate, "i/main")
	for i := range 31 {
		full.receive(jingle.ActionContentAdd, fmt.Sprintf("i/%d", i))
	}
	var se *xmpp.StanzaError
	if err := full.Receive(action(jingle.ActionContentAdd, "i/more")); !errors.As(err, &se) || se.Condition != xmpp.ConditionResourceConstraint {
		t.Errorf("content 33: %v", err)
	}
}

// TestContents follows contents through a call.
func TestContents(t *testing.T) {
	p := newParty(t, jingle.RoleResponder)
	p.receive(jingle.ActionSessionInitiate, "r/voice=both", "i/video=initiator") // the creator of the first is wrong
	p.want("pending i/voice=both? i/video=initiator?")
	p.send(jingle.ActionSessionAccept, "i/voice=both")
	p.want("active i/voice=both+ i/video=initiator?")
	p.send(jingle.ActionContentReject, "i/video")
	p.want("active i/voice=both+")
	p.receive(jingle.ActionContentModify, "i/video=none") // crosses the reject
	p.receive(jingle.ActionContentModify, "i/voice=initiator")
	p.want("active i/voice=initiator+")
	p.send(jingle.ActionContentAdd, "r/screen=responder")
	p.want("active i/voice=initiator+ r/screen=responder?")
	p.receive(jingle.ActionContentAccept, "i/screen=both") // again a wrong creator
	p.want("active i/voice=initiator+ r/screen=both+")
	p.receive(jingle.ActionTransportReplace, "r/screen")
	p.want("active i/voice=initiator+ r/screen=both+!i")
	p.send(jingle.ActionTransportAccept, "r/screen")
	p.receive(jingle.ActionContentRemove, "r/screen")
	p.receive(jingle.ActionContentRemove, "r/screen") // as good as the first
	p.want("active i/voice=initiator+")
	if c, ok := p.Content(jingle.RoleInitiator, "voice"); !ok || c.Media != "audio" {
		t.Errorf("content is %v %v", c, ok)
	}
	if _, ok := p.Content(jingle.RoleResponder, "screen"); ok {
		t.Error("a removed content is there")
	}
	p.receive(jingle.ActionContentRemove, "i/voice")
	p.want("active")
	p.send(jingle.ActionSessionTerminate)
	p.want("ended")
	if p.SID() != sid || p.Local() != mira || p.Peer() != otto {
		t.Error("the session forgot who it is")
	}
}

// TestTieBreaks lets actions of one kind cross (XEP-0166 §7.2.16).
func TestTieBreaks(t *testing.T) {
	for _, tc := range []struct {
		action       jingle.Action
		ours, theirs string // content of the initiator's and the responder's action
		ties         bool
	}{
		{jingle.ActionContentAdd, "i/a", "r/a", true},
		{jingle.ActionContentModify, "i/voice=none", "i/voice=initiator", true},
		{jingle.ActionContentModify, "i/voice=none", "i/video=initiator", false},
		{jingle.ActionTransportReplace, "i/voice", "i/voice", true},
		{jingle.ActionTransportReplace, "i/voice", "i/video", false},
		{jingle.ActionContentRemove, "i/video", "i/video", false},
	} {
		t.Run(string(tc.action)+" "+tc.ours+" "+tc.theirs, func(t *testing.T) {
			i, r := newParty(t, jingle.RoleInitiator), newParty(t, jingle.RoleResponder)
			for _, a := range []jingle.Action{jingle.ActionSessionInitiate, jingle.ActionSessionAccept} {
				from, to := i, r
				if a == jingle.ActionSessionAccept {
					from, to = r, i
				}
				from.send(a, "i/voice", "i/video")
				to.receive(a, "i/voice", "i/video")
			}
			i.pend(tc.action, tc.ours)
			r.pend(tc.action, tc.theirs)
			err := i.Receive(action(tc.action, tc.theirs))
			if tc.ties != (err != nil) || err != nil && refusal(err) != "t" {
				t.Fatalf("the initiator answers %v", err)
			}
			r.receive(tc.action, tc.ours)
			i.Answered(tc.action, nil)
			if tc.ties {
				r.Answered(tc.action, jingle.TieBreak())
			} else {
				r.Answered(tc.action, nil)
			}
			if i.show() != r.show() {
				t.Errorf("initiator %s, responder %s", i.show(), r.show())
			}
		})
	}
	// The same sid from both sides: the lower address has it.
	low, high := xmpp.MustJID("a@x/1"), xmpp.MustJID("b@x/1")
	for _, tc := range []struct {
		local, peer xmpp.JID
		want        string
	}{{low, high, "t"}, {high, low, "o"}} {
		s := jingle.NewSession(sid, tc.local, tc.peer, jingle.RoleInitiator)
		if err := s.Send(action(jingle.ActionSessionInitiate, "i/voice")); err != nil {
			t.Fatal(err)
		}
		if got := refusal(s.Receive(action(jingle.ActionSessionInitiate, "i/voice"))); got != tc.want {
			t.Errorf("%s answers %s, want %s", tc.local, got, tc.want)
		}
	}
}

// TestAnswered tells what an error undoes.
func TestAnswered(t *testing.T) {
	failed := xmpp.NewStanzaError(xmpp.ConditionFeatureNotImplemented, "")
	const before = "active i/main=both+ i/theirs=both?!r i/mine=both?!i i/offered=both? r/offered=both?"
	for _, tc := range []struct {
		action  jingle.Action
		content string
		sent    string
	}{
		{jingle.ActionContentAdd, "i/new", before + " i/new=both?"},
		{jingle.ActionContentModify, "i/main=none", strings.Replace(before, "main=both", "main=none", 1)},
		{jingle.ActionContentRemove, "i/main", strings.Replace(before, " i/main=both+", "", 1)},
		{jingle.ActionContentAccept, "r/offered=none", strings.Replace(before, "r/offered=both?", "r/offered=none+", 1)},
		{jingle.ActionContentReject, "r/offered", strings.Replace(before, " r/offered=both?", "", 1)},
		{jingle.ActionTransportReplace, "i/main", strings.Replace(before, "main=both+", "main=both+!i", 1)},
		{jingle.ActionTransportAccept, "i/theirs", strings.Replace(before, "!r", "", 1)},
		{jingle.ActionTransportReject, "i/theirs", strings.Replace(before, "!r", "", 1)},
	} {
		p := in(t, jingle.StateActive, jingle.RoleInitiator)
		p.want(before)
		p.pend(tc.action, tc.content)
		p.want(tc.sent)
		p.Answered(tc.action, failed)
		p.want(before)
		p.Answered(tc.action, failed) // nothing is waiting any more
		p.want(before)
		p.pend(tc.action, tc.content)
		p.Answered(tc.action, jingle.UnknownSession())
		if p.State() != jingle.StateEnded {
			t.Errorf("%s: unknown to the peer, but %s", tc.action, p.State())
		}
	}
	p := in(t, jingle.StateActive, jingle.RoleInitiator)
	for _, a := range []jingle.Action{jingle.ActionContentAdd, jingle.ActionContentModify, jingle.ActionContentRemove, jingle.ActionTransportReplace} {
		if err := p.Send(suitable(a, jingle.RoleInitiator)); err != nil {
			t.Fatal(err)
		}
		if err := p.Send(suitable(a, jingle.RoleInitiator)); !errors.Is(err, jingle.ErrNotNow) {
			t.Errorf("a second %s before the answer to the first: %v", a, err)
		}
		p = in(t, jingle.StateActive, jingle.RoleInitiator)
	}
	p.pend(jingle.ActionSessionInfo)
	p.Answered(jingle.ActionSessionInfo, failed)
	p.want(before)

	r := in(t, jingle.StatePending, jingle.RoleResponder)
	pending := r.show()
	r.pend(jingle.ActionSessionAccept, "i/main=none")
	r.Answered(jingle.ActionSessionAccept, failed)
	r.want(pending)
	r.send(jingle.ActionSessionTerminate)

	i := newParty(t, jingle.RoleInitiator)
	i.pend(jingle.ActionSessionInitiate, "i/main")
	i.Answered(jingle.ActionSessionInitiate, failed)
	i.want("ended i/main=both?")
}

func TestStateNames(t *testing.T) {
	var got []string
	for s := range jingle.StateEnded + 2 {
		got = append(got, s.String())
	}
	if d := cmp.Diff([]string{"unknown", "pending", "active", "ended", "unknown"}, got); d != "" {
		t.Error(d)
	}
	if !slices.IsSorted(jingle.Actions) || !slices.IsSorted(jingle.Conditions) {
		t.Error("lists are not in the order of XEP-0166")
	}
}

func TestPrevails(t *testing.T) {
	a, b := xmpp.MustJID("a@x/1"), xmpp.MustJID("b@x/1")
	for _, tc := range []struct {
		sid   string
		from  xmpp.JID
		other string
		peer  xmpp.JID
		want  bool
	}{
		{"1", b, "2", a, true},
		{"2", a, "1", b, false},
		{"Z", b, "a", a, true}, // by octets
		{"1", a, "1", b, true},
		{"1", b, "1", a, false},
	} {
		if got := jingle.Prevails(tc.sid, tc.from, tc.other, tc.peer); got != tc.want {
			t.Errorf("%s of %s against %s of %s: %v", tc.sid, tc.from, tc.other, tc.peer, got)
		}
	}
}

// BenchmarkParse measures a session-initiate as Conversations sends it.
func BenchmarkParse(b *testing.B) {
	var e *xmpp.Element
	for _, in := range goldenInputs(b) {
		if p := read(b, string(in)); jingle.Is(p) && p.Attribute("action") == "session-initiate" {
			e = p
			break
		}
	}
	b.ReportAllocs()
	for b.Loop() {
		if _, err := jingle.Parse(e); err != nil {
			b.Fatal(err)
		}
	}
}
