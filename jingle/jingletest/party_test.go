package jingletest_test

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/stoxgate/stoxgate/jingle"
	"github.com/stoxgate/stoxgate/jingle/jingletest"
	"github.com/stoxgate/stoxgate/xmpp"
	"github.com/stoxgate/stoxgate/xmpp/xmpptest"
)

// recorder takes the failures of a party.
type recorder struct {
	testing.TB
	errors  []string
	cleanup []func()
}

func (r *recorder) Errorf(format string, args ...any) {
	r.errors = append(r.errors, fmt.Sprintf(format, args...))
}
func (r *recorder) Cleanup(f func()) { r.cleanup = append(r.cleanup, f) }

// end runs what the end of a test would, and returns the failures.
func (r *recorder) end() string {
	for _, f := range r.cleanup {
		f()
	}
	return strings.Join(r.errors, "\n")
}

func pair(t *testing.T, a, b jingletest.Config) (*jingletest.Party, *jingletest.Party) {
	t.Helper()
	srv := xmpptest.Start(t, xmpptest.Config{})
	return jingletest.New(t, srv.User("ann@chat.example/phone").Endpoint, a), jingletest.New(t, srv.User("ben@chat.example/laptop").Endpoint, b)
}

func ok(t *testing.T, err *xmpp.StanzaError) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

// TestCall makes a whole call with a proposal, a picture added and taken away, and an end.
func TestCall(t *testing.T) {
	ann, ben := pair(t, jingletest.Config{}, jingletest.Config{})
	out := ann.Propose(ben.JID().Bare(), "audio")
	in := ben.Incoming()
	if m := in.ExpectMessage(jingle.KindPropose); len(m.Media) != 1 || m.Media[0] != "audio" {
		t.Errorf("proposed %v", m.Media)
	}
	out.ExpectReceipt()
	in.Message(jingle.Message{Kind: jingle.KindRinging})
	out.ExpectMessage(jingle.KindRinging)
	in.Message(jingle.Message{Kind: jingle.KindProceed})
	out.ExpectMessage(jingle.KindProceed)
	if out.Peer != ben.JID() {
		t.Errorf("the call is with %s", out.Peer)
	}
	ok(t, out.Initiate(jingletest.Audio("0", jingletest.Transport("actpass", 4000))))
	offer := in.ExpectAction(jingle.ActionSessionInitiate)
	ok(t, in.Info(jingle.Ringing{}))
	out.ExpectInfo(jingle.Ringing{})
	ok(t, in.Accept(jingletest.Answer(offer, jingletest.Transport("active", 5000))...))
	out.ExpectAction(jingle.ActionSessionAccept)

	video := jingletest.Video("1", jingletest.Transport("active", 5000))
	video.Creator = jingle.RoleResponder
	ok(t, in.Do(&jingle.Jingle{Action: jingle.ActionContentAdd, Contents: []jingle.Content{video}}))
	offer = out.ExpectAction(jingle.ActionContentAdd)
	ok(t, out.Do(&jingle.Jingle{Action: jingle.ActionContentAccept, Contents: jingletest.Answer(offer, jingletest.Transport("passive", 4000))}))
	in.ExpectAction(jingle.ActionContentAccept)
	if state, contents := out.Session(); state != jingle.StateActive || len(contents) != 2 || !contents[1].Accepted {
		t.Errorf("%s with %v", state, contents)
	}
	ok(t, in.Terminate(jingle.ReasonSuccess))
	if r := out.ExpectTerminate(); r.Condition != jingle.ReasonSuccess {
		t.Errorf("ended with %v", r)
	}
	in.Message(jingle.Message{Kind: jingle.KindFinish, Reason: &jingle.Reason{Condition: jingle.ReasonSuccess}})
	out.ExpectMessage(jingle.KindFinish)
	if err := out.Force(&jingle.Jingle{Action: jingle.ActionSessionInfo})(); !jingle.IsUnknownSession(err) {
		t.Errorf("after the end: %v", err)
	}
	if in.Has("finish") || in.Has("receipt") {
		t.Error("something came that nobody sent")
	}
}

// TestRejected tells of calls that come to nothing.
func TestRejected(t *testing.T) {
	ann, ben := pair(t, jingletest.Config{NoReceipts: true}, jingletest.Config{NoReceipts: true})
	out := ann.Propose(ben.JID().Bare(), "audio", "video")
	in := ben.Incoming()
	in.Message(jingle.Message{Kind: jingle.KindReject, Reason: &jingle.Reason{Condition: jingle.ReasonBusy}})
	if m := out.ExpectMessage(jingle.KindReject); m.Reason.Condition != jingle.ReasonBusy {
		t.Errorf("rejected with %v", m.Reason)
	}
	out = ann.Propose(ben.JID().Bare(), "audio")
	in = ben.Incoming()
	out.Message(jingle.Message{Kind: jingle.KindRetract, Reason: &jingle.Reason{Condition: jingle.ReasonCancel}})
	in.ExpectMessage(jingle.KindRetract)

	out = ann.Propose(xmpp.MustJID("nobody@elsewhere.example"), "audio")
	if err := out.ExpectBounce(); err.Condition != xmpp.ConditionRemoteServerNotFound {
		t.Errorf("bounced with %v", err)
	}
}

// TestViolations lets one party do what the other has to notice.
func TestViolations(t *testing.T) {
	ann, ben := pair(t, jingletest.Config{}, jingletest.Config{})
	bad := jingletest.Audio("my voice", jingletest.Transport("active", 4000))
	bad.Description.RTCPMux = false
	bad.Description.PayloadTypes[0].Parameters[0].Value = "1 0"
	bad.Description.PayloadTypes[1].ClockRate = 0
	bad.Description.Sources = []jingle.Source{{SSRC: 1, Parameters: []jingle.Parameter{{Name: "cname"}}}}
	out := ann.Propose(ben.JID().Bare(), "audio", "video")
	ben.Incoming().Message(jingle.Message{Kind: jingle.KindProceed})
	out.ExpectMessage(jingle.KindProceed)
	ok(t, out.Initiate(bad))
	got := strings.Join(ben.TakeViolations(), "\n")
	for _, want := range []string{
		`content name "my voice"`, "no rtcp-mux", `parameter "minptime"="1 0"`, "payload-type 0 without", `source 1`,
		`setup is "active"`, "[audio video] were proposed",
	} {
		if !strings.Contains(got, want) {
			t.Errorf("no word of %s in:\n%s", want, got)
		}
	}

	direct := ann.Call("direct", ben.JID())
	ok(t, direct.Initiate(jingletest.Audio("a", jingletest.Transport("actpass", 1)), jingletest.Audio("b", &jingle.Transport{})))
	in := ben.Incoming()
	offer := in.ExpectAction(jingle.ActionSessionInitiate)
	ok(t, in.Accept(jingletest.Answer(offer, jingletest.Transport("active", 2))[:1]...))
	if got := strings.Join(ben.TakeViolations(), "\n"); !strings.Contains(got, "no ICE credentials") || !strings.Contains(got, "no fingerprint") {
		t.Errorf("violations: %s", got)
	}
	if got := strings.Join(ann.TakeViolations(), "\n"); !strings.Contains(got, `"b" is not accepted`) {
		t.Errorf("violations: %s", got)
	}
	if err := in.Force(&jingle.Jingle{Action: "session-nothing"})(); err == nil || err.Condition != xmpp.ConditionBadRequest {
		t.Errorf("unknown action: %v", err)
	}
	if len(ann.TakeViolations()) != 1 {
		t.Error("an unknown action is no violation")
	}
	if err := ben.Send(&xmpp.Message{To: ann.JID(), Extensions: []*xmpp.Element{(&jingle.Message{Kind: jingle.KindRinging, ID: "x"}).Element()}}); err != nil {
		t.Fatal(err)
	}
	if len(ann.TakeViolations()) != 1 {
		t.Error("a message that is no chat is no violation")
	}
}

// TestAnswers counts the answers to IQs.
func TestAnswers(t *testing.T) {
	for name, tc := range map[string]struct {
		answer func(*jingle.Jingle, *xmpp.StanzaError) []*xmpp.StanzaError
		want   string
	}{
		"twice":        {func(*jingle.Jingle, *xmpp.StanzaError) []*xmpp.StanzaError { return []*xmpp.StanzaError{nil, nil} }, "second answer"},
		"never":        {func(*jingle.Jingle, *xmpp.StanzaError) []*xmpp.StanzaError { return nil }, "never answered"},
		"Monal":        {jingletest.Monal, "session-info to ben@chat.example/laptop (id jingle-2) was never answered"},
		"Movim":        {jingletest.Movim, ""},
		"well behaved": {nil, ""},
		"error instead": {func(*jingle.Jingle, *xmpp.StanzaError) []*xmpp.StanzaError {
			return []*xmpp.StanzaError{jingle.TieBreak()}
		}, ""},
		"of its verdict": {func(_ *jingle.Jingle, v *xmpp.StanzaError) []*xmpp.StanzaError { return []*xmpp.StanzaError{v} }, ""},
	} {
		t.Run(name, func(t *testing.T) {
			srv := xmpptest.Start(t, xmpptest.Config{})
			ben := jingletest.New(t, srv.User("ben@chat.example/laptop").Endpoint, jingletest.Config{Answer: tc.answer})
			rec := &recorder{TB: t}
			ann := jingletest.New(rec, srv.User("ann@chat.example/phone").Endpoint, jingletest.Config{Timeout: 100 * time.Millisecond})
			call := ann.Call("s1", ben.JID())
			call.Start(&jingle.Jingle{Action: jingle.ActionSessionInitiate, Contents: []jingle.Content{jingletest.Audio("0", jingletest.Transport("actpass", 1))}})
			ben.Incoming()
			if state, _ := call.Session(); state == jingle.StatePending {
				call.Start(&jingle.Jingle{Action: jingle.ActionSessionInfo})
			}
			if got := rec.end(); tc.want == "" && got != "" || !strings.Contains(got, tc.want) {
				t.Errorf("got %q, want %q", got, tc.want)
			}
		})
	}
}
