package chat

import (
	"context"
	"errors"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/rs/zerolog"
	"github.com/stretchr/testify/require"

	"github.com/stoxgate/stoxgate/interwork/cause"
	"github.com/stoxgate/stoxgate/mapping"
	"github.com/stoxgate/stoxgate/sip"
	"github.com/stoxgate/stoxgate/xmpp"
)

// world is the gateway around one pair: it records what the pair asks for, and the test
// decides how it ends.
type world struct {
	t    *testing.T
	pair *Pair
	now  time.Time
	link bool
	caps mapping.PeerCaps

	events    []Event
	sent      []*sending
	delivered []*delivering
	stored    []*storing
	forgotten []int64
	timers    map[Timer]time.Duration
	wishes    map[string]Wish
	counts    map[string]int
	seq       int64
	light     uint64
	storeErr  error
}

type sending struct {
	req      *sip.Request
	answered func(*cause.Cause)
}

type delivering struct {
	msg  *xmpp.Message
	done func(Verdict, *xmpp.StanzaError)
	late func(*xmpp.StanzaError)
}

type storing struct {
	direction Direction
	payload   string
	seq       int64
	committed func(int64, error)
}

func newWorld(t *testing.T) *world {
	w := &world{
		t: t, link: true, now: time.Date(2026, 5, 4, 18, 22, 1, 0, time.UTC),
		timers: map[Timer]time.Duration{}, wishes: map[string]Wish{}, counts: map[string]int{},
	}
	w.pair = NewPair(&Settings{KeepFor: time.Hour, QueueLimit: 3}, w, func(e Event) { w.events = append(w.events, e) }, func() time.Time { return w.now })
	return w
}

func (w *world) LinkUp() bool { return w.link }
func (w *world) Outward(_ context.Context, m *xmpp.Message) (mapping.MessageContext, *cause.Cause) {
	return mapping.MessageContext{
		From: sip.NameAddr{URI: must(sip.ParseURI("sip:" + m.From.Bare().String()))},
		To:   sip.NameAddr{URI: must(sip.ParseURI("sip:otto@voice.quay.example"))}, Host: "gw.example", Peer: w.caps,
	}, nil
}

func (w *world) Send(_ string, _ xmpp.JID, r *sip.Request, answered func(*cause.Cause)) {
	w.sent = append(w.sent, &sending{r, answered})
}

func (w *world) Deliver(_ string, m *xmpp.Message, done func(Verdict, *xmpp.StanzaError), late func(*xmpp.StanzaError)) {
	w.delivered = append(w.delivered, &delivering{m, done, late})
}

func (w *world) Store(d Direction, _ string, payload []byte, _ time.Time, committed func(int64, error)) (int64, error) {
	if w.storeErr != nil {
		return 0, w.storeErr
	}
	w.seq++
	w.stored = append(w.stored, &storing{d, string(payload), w.seq, committed})
	return w.seq, nil
}
func (w *world) Forget(seq int64)                     { w.forgotten = append(w.forgotten, seq) }
func (w *world) NextSeq() uint64                      { w.light++; return w.light }
func (w *world) SetTimer(t Timer, d time.Duration)    { w.timers[t] = d }
func (w *world) RememberReceipt(id string, wish Wish) { w.wishes[id] = wish }
func (w *world) Receipt(_ context.Context, id string) (Wish, bool) {
	wish, ok := w.wishes[id]
	return wish, ok
}
func (w *world) Learn(c mapping.PeerCaps)         { w.caps = w.caps.Union(c) }
func (w *world) Unlearn()                         { w.caps = mapping.PeerCaps{} }
func (w *world) Lost(string, Direction, []string) {}
func (w *world) Log(string) *zerolog.Logger       { l := zerolog.Nop(); return &l }
func (w *world) Count(d Direction, result string) { w.counts[string(d)+" "+result]++ }

// settle handles events until there are none.
func (w *world) settle() {
	for len(w.events) > 0 {
		e := w.events[0]
		w.events = w.events[1:]
		w.pair.Handle(e)
	}
}

func (w *world) handle(e Event) { w.pair.Handle(e); w.settle() }

// commit ends the oldest store request.
func (w *world) commit() int64 {
	require.NotEmpty(w.t, w.stored, "nothing is being stored")
	s := w.stored[0]
	w.stored = w.stored[1:]
	s.committed(s.seq, nil)
	w.settle()
	return s.seq
}

func (w *world) answer(c *cause.Cause) *sip.Request {
	require.NotEmpty(w.t, w.sent, "no transaction is under way")
	s := w.sent[0]
	w.sent = w.sent[1:]
	s.answered(c)
	w.settle()
	return s.req
}

func (w *world) verdict(v Verdict, e *xmpp.StanzaError) *delivering {
	require.NotEmpty(w.t, w.delivered, "no delivery is under way")
	d := w.delivered[0]
	w.delivered = w.delivered[1:]
	d.done(v, e)
	w.settle()
	return d
}

func must[T any](v T, err error) T {
	if err != nil {
		panic(err)
	}
	return v
}

func chatMessage(body string, ext ...*xmpp.Element) *xmpp.Message {
	m := &xmpp.Message{
		From: xmpp.MustJID("mira@chat.harbor.example/desk"), To: xmpp.MustJID("otto\\40voice.quay.example@sip.harbor.example"),
		ID: "m-41", Type: xmpp.MessageChat, Extensions: ext,
	}
	if body != "" {
		m.Bodies = []xmpp.LangText{{Text: body}}
	}
	return m
}

type answers struct{ codes []int }

func (a *answers) take(s sip.Status) { a.codes = append(a.codes, s.Code) }

func sipMessage(t *testing.T, a *answers, cseq, contentType, body string) RequestReceived {
	raw := strings.ReplaceAll("MESSAGE sip:mira@chat.harbor.example SIP/2.0\nVia: SIP/2.0/UDP 192.0.2.4;branch=z9hG4bK"+cseq+"\nMax-Forwards: 70\n"+
		"From: <sip:otto@voice.quay.example>;tag=o1\nTo: <sip:mira@chat.harbor.example>\nCall-ID: c1@192.0.2.4\nCSeq: "+cseq+" MESSAGE\n"+
		"Content-Type: "+contentType+"\nContent-Length: ", "\n", "\r\n")
	body = strings.ReplaceAll(body, "\n", "\r\n")
	msg, err := sip.ParseMessage([]byte(raw + strconv.Itoa(len(body)) + "\r\n\r\n" + body))
	require.NoError(t, err)
	return RequestReceived{
		Flow: "m-1", Request: msg.(*sip.Request), Answer: a.take,
		Context: mapping.RequestContext{
			From: xmpp.MustJID("otto\\40voice.quay.example@sip.harbor.example"), To: xmpp.MustJID("mira@chat.harbor.example"),
			Type: xmpp.MessageChat, Component: "sip.harbor.example",
		},
	}
}

func TestMessageIsStoredAndSentAtTheSameTime(t *testing.T) {
	w := newWorld(t)
	w.handle(StanzaReceived{Message: chatMessage("Which berth tonight?")})
	require.Len(t, w.stored, 1)
	require.Len(t, w.sent, 1)
	req := w.answer(nil)
	require.Equal(t, "Which berth tonight?", string(req.Body()))
	require.Equal(t, []int64{w.stored[0].seq}, w.forgotten)
	require.True(t, w.pair.Idle())
	require.Equal(t, 1, w.counts["x2s delivered"])
}

func TestFailingDiskRefusesWhatIsNotUnderWay(t *testing.T) {
	w := newWorld(t)
	for _, b := range []string{"one", "two", "three"} {
		w.handle(StanzaReceived{Message: chatMessage(b)})
	}
	for _, s := range w.stored {
		s.committed(s.seq, errors.New("disk full"))
	}
	w.settle()
	require.Len(t, w.delivered, 2, "two had not been sent")
	for range 2 {
		require.Equal(t, xmpp.ConditionInternalServerError, w.verdict(VerdictDelivered, nil).msg.Error.Condition)
	}
	require.Equal(t, "one", string(w.answer(nil).Body()))
	require.Empty(t, w.sent)
	require.Equal(t, 1, w.counts["x2s delivered"])
	require.True(t, w.pair.Idle())
}

func TestLateNewsOfTheDiskChangesNothing(t *testing.T) {
	w := newWorld(t)
	w.handle(StanzaReceived{Message: chatMessage("one")})
	w.answer(nil)
	w.stored[0].committed(w.stored[0].seq, errors.New("disk full"))
	w.settle()
	require.Empty(t, w.delivered)
	require.True(t, w.pair.Idle())
}

func TestOnePendingMessageInOrder(t *testing.T) {
	w := newWorld(t)
	for _, b := range []string{"one", "two", "three"} {
		w.handle(StanzaReceived{Message: chatMessage(b)})
	}
	w.commit()
	w.commit()
	w.commit()
	for _, b := range []string{"one", "two", "three"} {
		require.Len(t, w.sent, 1, "RFC 3428 §8: one pending MESSAGE")
		require.Equal(t, b, string(w.answer(nil).Body()))
	}
	require.True(t, w.pair.Idle())
}

func TestFullQueueTellsTheSender(t *testing.T) {
	w := newWorld(t)
	for range 4 {
		w.handle(StanzaReceived{Message: chatMessage("x")})
	}
	require.Len(t, w.delivered, 1)
	e := w.verdict(VerdictDelivered, nil).msg
	require.Equal(t, xmpp.MessageError, e.Type)
	require.Equal(t, xmpp.ConditionResourceConstraint, e.Error.Condition)
}

func TestRefusalIsToldWithTheSameID(t *testing.T) {
	w := newWorld(t)
	w.handle(StanzaReceived{Message: chatMessage("hello")})
	seq := w.commit()
	w.answer(cause.FromStatus(sip.Status{Code: 480}))
	require.Empty(t, w.forgotten, "forgotten before the sender was told")
	e := w.verdict(VerdictDelivered, nil).msg
	require.Equal(t, "m-41", e.ID)
	require.Equal(t, "mira@chat.harbor.example/desk", e.To.String())
	require.Equal(t, xmpp.ConditionRecipientUnavailable, e.Error.Condition)
	require.Equal(t, []int64{seq}, w.forgotten)
	require.True(t, w.pair.Idle())
}

func TestRefusalSurvivesABrokenLink(t *testing.T) {
	w := newWorld(t)
	w.handle(StanzaReceived{Message: chatMessage("hello")})
	first := w.commit()
	w.link = false
	w.answer(cause.FromStatus(sip.Status{Code: 404}))
	require.Len(t, w.stored, 1)
	require.Equal(t, SIPToXMPP, w.stored[0].direction)
	require.Contains(t, w.stored[0].payload, "item-not-found")
	second := w.commit()
	require.Equal(t, []int64{first}, w.forgotten, "the message goes when its error is safe")
	w.link = true
	w.handle(LinkUp{})
	require.Equal(t, xmpp.MessageError, w.verdict(VerdictDelivered, nil).msg.Type)
	require.Equal(t, []int64{first, second}, w.forgotten)
	require.True(t, w.pair.Idle())
}

func TestPlainTextWhenThePeerRefusesTheFormat(t *testing.T) {
	w := newWorld(t)
	w.caps = mapping.PeerCaps{AcceptsCPIM: true, AcceptsIMDN: true}
	w.handle(StanzaReceived{Message: chatMessage("hello", xmpp.NewElement(xmpp.NSReceipts, "request"))})
	w.commit()
	req := w.answer(cause.FromStatus(sip.Status{Code: 415}))
	require.Equal(t, "message/cpim", sip.ContentType(req))
	require.Len(t, w.sent, 1)
	req = w.answer(nil)
	require.True(t, sip.MediaTypeIs(sip.ContentType(req), "text/plain"))
	require.Equal(t, mapping.PeerCaps{}, w.caps, "the lesson is remembered")
	require.True(t, w.pair.Idle())
}

func TestChatStatesAreNotStoredAndNotRepeatedInTheQueue(t *testing.T) {
	w := newWorld(t)
	w.caps = mapping.PeerCaps{AcceptsIsComposing: true}
	w.handle(StanzaReceived{Message: chatMessage("", xmpp.NewElement(xmpp.NSChatStates, "composing"))})
	require.Empty(t, w.stored)
	require.Contains(t, string(w.answer(nil).Body()), "<state>active</state>")
	require.Equal(t, composingRepeat, w.timers[TimerRepeat])
	w.handle(TimerFired{TimerRepeat})
	require.Contains(t, string(w.answer(nil).Body()), "<state>active</state>")
	w.now = w.now.Add(composingLimit)
	w.handle(TimerFired{TimerRepeat})
	require.Contains(t, string(w.answer(nil).Body()), "<state>idle</state>", "a client that went away stops typing")
	require.Zero(t, w.timers[TimerRepeat])
}

func TestChatStateThatCannotBeSentIsNobodysError(t *testing.T) {
	w := newWorld(t)
	w.caps = mapping.PeerCaps{AcceptsIsComposing: true}
	w.handle(StanzaReceived{Message: chatMessage("", xmpp.NewElement(xmpp.NSChatStates, "composing"))})
	w.answer(cause.FromStatus(sip.Status{Code: 415}))
	require.Empty(t, w.delivered)
}

func TestSIPMessageIsAnsweredByItsFate(t *testing.T) {
	for name, tc := range map[string]struct {
		verdict Verdict
		err     *xmpp.StanzaError
		code    int
	}{
		"delivered":  {VerdictDelivered, nil, 200},
		"uncertain":  {VerdictUncertain, nil, 202},
		"no account": {VerdictBounced, xmpp.NewStanzaError(xmpp.ConditionServiceUnavailable, ""), 480},
		"no such":    {VerdictBounced, xmpp.NewStanzaError(xmpp.ConditionRemoteServerNotFound, ""), 404},
		"overloaded": {VerdictOverloaded, nil, 503},
	} {
		t.Run(name, func(t *testing.T) {
			w, a := newWorld(t), &answers{}
			w.handle(sipMessage(t, a, "1", "text/plain", "hello"))
			require.Empty(t, a.codes, "answered before its fate was known")
			w.verdict(tc.verdict, tc.err)
			require.Equal(t, []int{tc.code}, a.codes)
			require.True(t, w.pair.Idle())
		})
	}
}

func TestSIPMessageIsKeptWhileTheLinkIsDown(t *testing.T) {
	w, a := newWorld(t), &answers{}
	w.link = false
	w.handle(sipMessage(t, a, "1", "text/plain", "one"))
	w.handle(sipMessage(t, a, "2", "text/plain", "two"))
	require.Empty(t, a.codes, "acknowledged before it was safe")
	w.commit()
	require.Equal(t, []int{202}, a.codes)
	w.commit()
	require.Equal(t, 2, w.pair.Kept())

	w.link = true
	w.handle(LinkUp{})
	require.Len(t, w.delivered, 1, "one at a time, in order")
	w.handle(sipMessage(t, a, "3", "text/plain", "three")) // must not overtake
	require.Len(t, w.delivered, 1)
	w.commit()
	for _, body := range []string{"one", "two", "three"} {
		require.Equal(t, body, w.verdict(VerdictDelivered, nil).msg.Body())
	}
	require.Equal(t, []int{202, 202, 202}, a.codes)
	require.Len(t, w.forgotten, 3)
	require.True(t, w.pair.Idle())
}

func TestLinkThatBreaksInBetweenLosesNothing(t *testing.T) {
	w, a := newWorld(t), &answers{}
	w.handle(sipMessage(t, a, "1", "text/plain", "one"))
	w.link = false
	w.verdict(VerdictLost, nil)
	require.Empty(t, a.codes)
	w.commit()
	require.Equal(t, []int{202}, a.codes)
	w.link = true
	w.handle(LinkUp{})
	w.verdict(VerdictLost, nil) // and once more
	require.Equal(t, 1, w.pair.Kept())
	w.handle(LinkUp{})
	require.Equal(t, "one", w.verdict(VerdictDelivered, nil).msg.Body())
	require.True(t, w.pair.Idle())
}

func TestPolicyMayRefuseWhileTheLinkIsDown(t *testing.T) {
	w, a := newWorld(t), &answers{}
	w.pair.settings.RefuseOffline = true
	w.link = false
	w.handle(sipMessage(t, a, "1", "text/plain", "one"))
	require.Equal(t, []int{480}, a.codes)
	require.True(t, w.pair.Idle())
}

func TestExpiredMessageIsReported(t *testing.T) {
	w, a := newWorld(t), &answers{}
	w.link = false
	w.handle(sipMessage(t, a, "1", "text/plain", "one"))
	w.commit()
	require.Equal(t, time.Hour, w.timers[TimerKept])
	w.now = w.now.Add(time.Hour)
	w.handle(TimerFired{TimerKept})
	require.Zero(t, w.pair.Kept())
	w.commit() // the report is a message too
	req := w.answer(nil)
	require.Contains(t, string(req.Body()), "was not delivered")
	require.True(t, w.pair.Idle())
}

func TestLateBounceIsReportedAsIMDNWhenAsked(t *testing.T) {
	w, a := newWorld(t), &answers{}
	cpim := "From: <sip:otto@voice.quay.example>\nTo: <sip:mira@chat.harbor.example>\nDateTime: 2026-05-04T18:22:01Z\n" +
		"NS: imdn <urn:ietf:params:imdn>\nimdn.Message-ID: im7\nimdn.Disposition-Notification: positive-delivery, negative-delivery\n\n" +
		"Content-Type: text/plain;charset=utf-8\n\nhello"
	w.handle(sipMessage(t, a, "1", "message/cpim", cpim))
	d := w.verdict(VerdictUncertain, nil)
	require.Equal(t, []int{202}, a.codes)
	require.Equal(t, "im7", d.msg.ID)
	d.late(xmpp.NewStanzaError(xmpp.ConditionRemoteServerTimeout, ""))
	w.settle()
	w.commit()
	req := w.answer(nil)
	require.Contains(t, string(req.Body()), "<message-id>im7</message-id>")
	require.Contains(t, string(req.Body()), "failed")
}

func TestRequestInAnotherTransactionIsAnsweredTheSame(t *testing.T) {
	w, a, b := newWorld(t), &answers{}, &answers{}
	w.handle(sipMessage(t, a, "1", "text/plain", "one"))
	w.handle(sipMessage(t, b, "1", "text/plain", "one")) // before the answer
	require.Len(t, w.delivered, 1)
	w.verdict(VerdictDelivered, nil)
	require.Equal(t, []int{200}, a.codes)
	require.Equal(t, []int{200}, b.codes)
	w.handle(sipMessage(t, b, "1", "text/plain", "one")) // after it
	require.Equal(t, []int{200, 200}, b.codes)
	require.Empty(t, w.delivered)
}

func TestComposingFromSIP(t *testing.T) {
	w, a := newWorld(t), &answers{}
	doc := `<isComposing xmlns="urn:ietf:params:xml:ns:im-iscomposing"><state>active</state><refresh>60</refresh></isComposing>`
	w.handle(sipMessage(t, a, "1", "application/im-iscomposing+xml", doc))
	require.Equal(t, []int{200}, a.codes)
	require.Empty(t, w.delivered, "XEP-0085 §5.1: the client never showed support")

	w.handle(StanzaReceived{Message: chatMessage("hi", xmpp.NewElement(xmpp.NSChatStates, "active"))})
	w.commit()
	w.answer(nil)
	w.handle(TimerFired{TimerComposing})
	w.delivered = nil
	w.handle(sipMessage(t, a, "2", "application/im-iscomposing+xml", doc))
	require.NotNil(t, w.verdict(VerdictDelivered, nil).msg.Extension(xmpp.NSChatStates, "composing"))
	w.handle(sipMessage(t, a, "3", "application/im-iscomposing+xml", doc)) // a refresh says nothing new
	require.Empty(t, w.delivered)
	require.Equal(t, time.Minute, w.timers[TimerComposing])
	w.handle(TimerFired{TimerComposing})
	require.NotNil(t, w.verdict(VerdictDelivered, nil).msg.Extension(xmpp.NSChatStates, "paused"))
}

func TestRestoredMessagesGoOut(t *testing.T) {
	w := newWorld(t)
	w.link = false
	w.handle(OutboundFound{Seq: 7, Message: chatMessage("again"), Taken: w.now})
	first := w.answer(nil)
	require.Equal(t, []int64{7}, w.forgotten)
	w.handle(OutboundFound{Seq: 7, Message: chatMessage("again"), Taken: w.now})
	second := w.answer(nil)
	require.Equal(t, first.String(), second.String(), "the far side must recognise it")

	w.handle(InboundFound{Seq: 8, Message: chatMessage("kept"), Expires: w.now.Add(time.Minute)})
	require.Equal(t, 1, w.pair.Kept())
	w.link = true
	w.handle(LinkUp{})
	w.verdict(VerdictDelivered, nil)
	require.Equal(t, []int64{7, 7, 8}, w.forgotten)
}

func TestOutboxFailures(t *testing.T) {
	w, a := newWorld(t), &answers{}
	w.storeErr = errors.New("full")
	w.handle(StanzaReceived{Message: chatMessage("x")})
	require.Equal(t, xmpp.ConditionResourceConstraint, w.verdict(VerdictDelivered, nil).msg.Error.Condition)
	w.link = false
	w.handle(sipMessage(t, a, "1", "text/plain", "x"))
	require.Equal(t, []int{503}, a.codes)
	require.Empty(t, w.sent)
	require.True(t, w.pair.Idle())
}
