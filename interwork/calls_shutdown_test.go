package interwork_test

import (
	"bytes"
	"sync"
	"testing"

	"github.com/rs/zerolog"
	"github.com/stretchr/testify/require"

	"github.com/stoxgate/stoxgate/interwork"
	"github.com/stoxgate/stoxgate/jingle"
	"github.com/stoxgate/stoxgate/sip/siptest"
	"github.com/stoxgate/stoxgate/xmpp"
)

// lines keeps what is logged.
type lines struct {
	mu sync.Mutex
	b  bytes.Buffer
}

func (l *lines) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.b.Write(p)
}

func (l *lines) String() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.b.String()
}

// The gateway goes down while one call is up and another rings: both sides of both are told,
// with a reason, and the log says what happened to calls and nothing of the outbox.
func TestShutdownTellsBothSides(t *testing.T) {
	log := &lines{}
	r := callRig(t, func(c *interwork.Config) { c.Log = zerolog.New(log) })
	otto, eva := r.callPhone("otto"), r.callPhone("eva")
	d := newDevice(t, r.mira)
	d.sid, d.to = "a9", xmpp.MustJID("otto@"+sipDomain+"/any")
	d.initiate(pcmaCodec)
	phone := newEar(t)
	up, err := otto.Incoming(r.ctx(), siptest.CallConfig{})
	require.NoError(t, err)
	require.NoError(t, up.Accept(phone.sdp("8")))
	d.finishInitiate()
	r.talk(d, phone, mediaIn(t, up.SDP()))
	e := newDevice(t, r.mira)
	e.sid, e.to = "a10", xmpp.MustJID("eva@"+sipDomain+"/any")
	e.initiate(pcmaCodec)
	rings, err := eva.Incoming(r.ctx(), siptest.CallConfig{})
	require.NoError(t, err)
	require.NoError(t, rings.Ring(180, nil))
	d.want(jingle.ActionSessionInfo)

	stopped := make(chan struct{})
	stop := r.stop
	r.stop = func() {}
	go func() {
		defer close(stopped)
		stop()
	}()
	told := map[string]jingle.Condition{}
	for range 2 {
		end := d.want(jingle.ActionSessionTerminate)
		told[end.SID] = end.Reason.Condition
	}
	require.Equal(t, map[string]jingle.Condition{"a9": jingle.ReasonGone, "a10": jingle.ReasonGone}, told)
	bye, err := up.Ended(r.ctx())
	require.NoError(t, err)
	require.Equal(t, "BYE", bye.Method)
	require.Contains(t, bye.Get("Reason"), "Q.850")
	cancelled, err := rings.Ended(r.ctx())
	require.NoError(t, err)
	require.Equal(t, "CANCEL", cancelled.Method)
	<-stopped
	require.Contains(t, log.String(), "calls that are still up are ended")
	require.NotContains(t, log.String(), "outbox")
	require.NotContains(t, log.String(), `"level":"warn"`)
}
