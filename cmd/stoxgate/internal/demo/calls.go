package demo

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/stoxgate/stoxgate/interwork/relay"
	"github.com/stoxgate/stoxgate/jingle"
	"github.com/stoxgate/stoxgate/sip/sdp"
	"github.com/stoxgate/stoxgate/sip/siptest"
	"github.com/stoxgate/stoxgate/xmpp"
	"github.com/stoxgate/stoxgate/xmpp/xmpptest"
)

// What the two sing to each other, in hertz: tones that are no harmonics of one another.
const (
	miraSings = 440
	ottoSings = 1000
	maxTries  = 3 // at a tone that both hear undisturbed
)

// calls are the scenes with sound.
func (d *demo) calls() []step {
	d.mira.SetAuto(xmpptest.Auto{}) // a receipt for a proposal would be as good as ringing
	return []step{
		{title: "Mira calls otto: his phone rings, he answers, both hear a tone, she hangs up (XEP-0353, XEP-0166; RFC 3261 §13).", do: d.miraCalls, name: "call-x2s"},
		{title: "Otto calls mira, whose client has Opus only while his phone has G.711 only: the gateway transcodes. He hangs up.", do: d.ottoCalls, name: "call-s2x"},
		{title: "Mira calls, but otto is on another line: 486 becomes busy.", do: d.ottoIsBusy, name: "call-x2s-busy"},
		{title: "Otto calls, but mira declines: decline becomes 603.", do: d.miraDeclines, name: "call-s2x-declined"},
		{title: "Otto calls and gives up while mira's client rings: CANCEL becomes retract.", do: d.ottoGivesUp, name: "call-s2x-cancelled"},
	}
}

func (d *demo) miraCalls(ctx context.Context) error {
	m, phone, err := d.parties(pcma, true)
	if err != nil {
		return err
	}
	defer m.close()
	defer phone.close()

	if err := m.tell(jingle.KindPropose, ottoJID, nil); err != nil {
		return err
	}
	c, err := d.otto.Incoming(ctx, siptest.CallConfig{})
	if err != nil {
		return err
	}
	if err := c.Ring(180, nil); err != nil {
		return err
	}
	if _, err := m.told(ctx, jingle.KindRinging); err != nil {
		return err
	}
	// The receipt for her proposal follows it: he answers when that has arrived too.
	if _, err := d.mira.Await(ctx, xmpptest.Extension(xmpp.NSReceipts, "received")); err != nil {
		return err
	}
	if err := c.Accept(phone.sdp()); err != nil {
		return err
	}
	if _, err := m.told(ctx, jingle.KindProceed); err != nil {
		return err
	}
	if err := m.initiate(ctx); err != nil {
		return err
	}
	if _, err := c.Confirmed(ctx); err != nil {
		return err
	}
	if err := d.sing(ctx, m, phone, c.SDP()); err != nil {
		return err
	}

	if err := m.do(ctx, &jingle.Jingle{Action: jingle.ActionSessionTerminate, Reason: &jingle.Reason{Condition: jingle.ReasonSuccess}}); err != nil {
		return err
	}
	bye, err := c.Ended(ctx)
	if err != nil {
		return err
	}
	d.say("mira hangs up with %s; otto's phone gets %s with Reason: %s", jingle.ReasonSuccess, bye.Method, bye.Get("Reason"))
	_, err = m.told(ctx, jingle.KindFinish)
	return err
}

func (d *demo) ottoCalls(ctx context.Context) error {
	m, phone, err := d.parties(opus, false)
	if err != nil {
		return err
	}
	defer m.close()
	defer phone.close()

	c, err := d.dial(ctx, phone)
	if err != nil {
		return err
	}
	if _, err := m.told(ctx, jingle.KindPropose); err != nil {
		return err
	}
	if err := m.tell(jingle.KindRinging, m.peer, nil); err != nil {
		return err
	}
	if _, err := c.Progress(ctx, 180); err != nil {
		return err
	}
	if err := m.tell(jingle.KindProceed, m.peer, nil); err != nil {
		return err
	}
	if err := m.accept(ctx); err != nil {
		return err
	}
	if err := d.expectStatus(c.Wait(ctx))(200); err != nil {
		return err
	}
	if err := m.connected(ctx); err != nil {
		return err
	}
	if err := d.sing(ctx, m, phone, c.SDP()); err != nil {
		return err
	}

	const reason = `Q.850;cause=16;text="Normal call clearing"`
	if err := d.expectStatus(c.Hangup(ctx, "Reason: "+reason))(200); err != nil {
		return err
	}
	end, err := m.done(ctx, jingle.ActionSessionTerminate)
	if err != nil {
		return err
	}
	if end.Reason == nil || end.Reason.Condition != jingle.ReasonSuccess {
		return fmt.Errorf("%w: the session ended with %v, not %s", ErrStep, end.Reason, jingle.ReasonSuccess)
	}
	d.say("otto hangs up with Reason: %s; mira's client gets %s %s", reason, end.Action, end.Reason.Condition)
	_, err = m.told(ctx, jingle.KindFinish)
	return err
}

func (d *demo) ottoIsBusy(ctx context.Context) error {
	m := &client{user: d.mira, sid: newSID()}
	if err := m.tell(jingle.KindPropose, ottoJID, nil); err != nil {
		return err
	}
	c, err := d.otto.Incoming(ctx, siptest.CallConfig{})
	if err != nil {
		return err
	}
	if err := c.Reject(486); err != nil {
		return err
	}
	return d.expectReason(m.told(ctx, jingle.KindReject))(jingle.ReasonBusy)
}

func (d *demo) miraDeclines(ctx context.Context) error {
	c, m, err := d.callMira(ctx)
	if err != nil {
		return err
	}
	if err := m.tell(jingle.KindReject, m.peer, &jingle.Reason{Condition: jingle.ReasonDecline}); err != nil {
		return err
	}
	return d.expectStatus(c.Wait(ctx))(603)
}

func (d *demo) ottoGivesUp(ctx context.Context) error {
	c, m, err := d.callMira(ctx)
	if err != nil {
		return err
	}
	if err := m.tell(jingle.KindRinging, m.peer, nil); err != nil {
		return err
	}
	if _, err := c.Progress(ctx, 180); err != nil {
		return err
	}
	if err := c.Cancel(); err != nil {
		return err
	}
	if err := d.expectStatus(c.Wait(ctx))(487); err != nil {
		return err
	}
	return d.expectReason(m.told(ctx, jingle.KindRetract))(jingle.ReasonCancel)
}

// callMira places a call that will not be taken, and waits until mira's client knows.
func (d *demo) callMira(ctx context.Context) (*siptest.Call, *client, error) {
	phone, err := newVoice(pcma)
	if err != nil {
		return nil, nil, err
	}
	defer phone.close()
	c, err := d.dial(ctx, phone)
	if err != nil {
		return nil, nil, err
	}
	m := &client{user: d.mira}
	_, err = m.told(ctx, jingle.KindPropose)
	return c, m, err
}

// parties are mira's client and the sound of otto's phone, ready for a call.
func (d *demo) parties(mira relay.Codec, initiator bool) (*client, *voice, error) {
	m, err := newClient(d.mira, d.engine, mira, initiator)
	if err != nil {
		return nil, nil, err
	}
	phone, err := newVoice(pcma)
	if err != nil {
		m.close()
	}
	return m, phone, err
}

// dial lets otto call mira as phones do: the first INVITE is challenged (RFC 3261 §22).
func (d *demo) dial(ctx context.Context, phone *voice) (*siptest.Call, error) {
	cfg := siptest.CallConfig{SDP: phone.sdp()}
	c, err := d.otto.Call(miraURI, cfg)
	if err != nil {
		return nil, err
	}
	res, err := c.Wait(ctx)
	if err != nil {
		return nil, err
	}
	h, err := siptest.Authorize(res, siptest.Credentials{User: "otto", Password: password}, "INVITE", miraURI, 1)
	if err != nil {
		return nil, fmt.Errorf("%w: the phone got %d: %w", ErrStep, res.Status, err)
	}
	cfg.Headers = []string{h.Name + ": " + h.Value}
	return d.otto.Call(miraURI, cfg)
}

// sdp is what otto's phone says of its media (RFC 8866).
func (v *voice) sdp() []byte {
	a := v.address()
	return fmt.Appendf(nil, "v=0\r\no=otto 1 1 IN IP4 %s\r\ns=-\r\nc=IN IP4 %[1]s\r\nt=0 0\r\nm=audio %d RTP/AVP %d\r\na=rtpmap:%[3]d %s/%d\r\na=sendrecv\r\n",
		a.Addr(), a.Port(), v.codec.PayloadType, v.codec.Name, v.codec.ClockRate)
}

// sing lets both hear a tone of the other one; description is what the gateway told the
// phone of its media.
func (d *demo) sing(ctx context.Context, m *client, phone *voice, description []byte) error {
	s, err := sdp.Parse(description)
	if err != nil {
		return err
	}
	if len(s.Media) != 1 {
		return fmt.Errorf("%w: the phone was told of %d media", ErrStep, len(s.Media))
	}
	media := s.Effective(0)
	phone.to = media.Address()
	var atPhone, atMira sound
	for tries := 1; ; tries++ {
		var lag time.Duration
		if atPhone, atMira, lag, err = talk(ctx, m.voice, phone, miraSings, ottoSings); err != nil {
			return err
		}
		err = errors.Join(good.check(atPhone, miraSings), good.check(atMira, ottoSings))
		if err == nil {
			break
		}
		if tries < maxTries {
			continue
		}
		if lag < frame || rough.check(atPhone, miraSings) != nil || rough.check(atMira, ottoSings) != nil {
			return err
		}
		d.say("this machine is busy: packets were sent up to %s late, and the sound is as good as that", lag.Round(time.Millisecond))
		break
	}
	d.say("otto hears mira: %s (of %d Hz at %.1f dBFS in %s)", atPhone, miraSings, toneLevel, m.voice.codec.Name)
	d.say("mira hears otto: %s (of %d Hz at %.1f dBFS in %s)", atMira, ottoSings, toneLevel, phone.codec.Name)
	return nil
}

// expectReason checks the reason of a Jingle message.
func (d *demo) expectReason(v *jingle.Message, err error) func(want jingle.Condition) error {
	return func(want jingle.Condition) error {
		if err != nil {
			return err
		}
		if v.Reason == nil || v.Reason.Condition != want {
			return fmt.Errorf("%w: mira was told %s with reason %v, not %s", ErrStep, v.Kind, v.Reason, want)
		}
		d.say("mira's client gets %s with reason %s", v.Kind, v.Reason.Condition)
		return nil
	}
}

var ottoJID = xmpp.MustJID("otto@" + sipDomain)

const miraURI = "sip:mira@" + xmppDomain
