package interwork_test

import (
	"context"
	"testing"
	"time"

	"github.com/rs/zerolog"
	"github.com/stretchr/testify/require"
	"go.uber.org/goleak"

	"github.com/stoxgate/stoxgate/interwork"
	"github.com/stoxgate/stoxgate/interwork/identity"
	"github.com/stoxgate/stoxgate/interwork/journal"
	"github.com/stoxgate/stoxgate/interwork/store"
	"github.com/stoxgate/stoxgate/sip"
	"github.com/stoxgate/stoxgate/sip/siptest"
	"github.com/stoxgate/stoxgate/sip/ua"
	"github.com/stoxgate/stoxgate/xmpp"
	"github.com/stoxgate/stoxgate/xmpp/component"
	"github.com/stoxgate/stoxgate/xmpp/xmpptest"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

const (
	sipDomain  = "sip.harbor.example"
	chatDomain = "chat.harbor.example"
	password   = "lighthouse"
)

// rig is a gateway between an XMPP server and SIP peers, all in this process.
type rig struct {
	t       *testing.T
	dir     string
	cfg     interwork.Config
	server  *xmpptest.Server
	mira    *xmpptest.User
	journal *journal.Journal
	gateway *interwork.Gateway
	table   *identity.Table
	store   *store.Store

	stop func()
}

// newRig starts everything; change may alter the configuration before.
func newRig(t *testing.T, change func(*interwork.Config)) *rig {
	t.Helper()
	r := &rig{t: t, dir: t.TempDir(), journal: journal.New(journal.Config{Raw: true})}
	r.server = xmpptest.Start(t, xmpptest.Config{
		Domain: sipDomain, Hosts: []string{chatDomain}, Offline: xmpptest.OfflineBounce,
	})
	r.mira = r.server.User("mira@" + chatDomain + "/desk")
	r.cfg = interwork.Config{
		XMPP: component.Config{Address: r.server.Addr(), Domain: sipDomain, Secret: r.server.Secret()},
		SIP: ua.Config{
			Listen: []ua.Listen{{Transport: "udp", Host: "127.0.0.1"}, {Transport: "tcp", Host: "127.0.0.1"}},
			Timers: ua.Timers{T1: 50 * time.Millisecond, T2: 400 * time.Millisecond, T4: 500 * time.Millisecond},
		},
		Registrar: true, Journal: r.journal, Log: zerolog.New(zerolog.NewTestWriter(t)).Level(zerolog.WarnLevel), Drain: 2 * time.Second,
	}
	if change != nil {
		change(&r.cfg)
	}
	r.start()
	t.Cleanup(func() { r.stop() })
	t.Cleanup(func() {
		if t.Failed() {
			t.Log("\n" + journal.Ladder(r.journal.Recent(60), journal.LadderOptions{}))
		}
	})
	return r
}

// start opens the store and runs the gateway.
func (r *rig) start() {
	r.t.Helper()
	ctx, cancel := context.WithCancel(context.Background())
	st, err := store.Open(ctx, store.Config{Dir: r.dir})
	require.NoError(r.t, err)
	r.table, err = identity.New(ctx, identity.Config{Store: st})
	require.NoError(r.t, err)
	r.store = st
	cfg := r.cfg
	cfg.Store, cfg.Identities = st, r.table
	r.gateway, err = interwork.New(ctx, cfg)
	require.NoError(r.t, err)
	ended := make(chan error, 1)
	go func() { ended <- r.gateway.Run(ctx) }()
	r.stop = func() {
		r.stop = func() {}
		cancel()
		require.NoError(r.t, <-ended)
		require.NoError(r.t, st.Close())
	}
	r.server.AwaitComponent(r.t)
	r.eventually("the link is up", func() bool { return r.gateway.Status().Link })
}

// restart ends the gateway and starts another one on the same state.
func (r *rig) restart() {
	r.t.Helper()
	r.stop()
	r.start()
}

// identity makes an account for a SIP user.
func (r *rig) identity(name string, jid string) {
	r.t.Helper()
	id := identity.Identity{ID: name, Name: name, AORs: []sip.URI{uri(r.t, "sip:"+name+"@"+sipDomain)}, Policy: identity.AllowAll}
	if jid != "" {
		id.JID = xmpp.MustJID(jid)
	}
	_, err := r.table.Add(r.t.Context(), id, password)
	require.NoError(r.t, err)
}

// phone starts a registered phone.
func (r *rig) phone(name string, change func(*siptest.Config)) *siptest.UA {
	r.t.Helper()
	r.identity(name, "")
	p := r.unregistered(name, change)
	res, err := p.Register(r.ctx(), 600)
	require.NoError(r.t, err)
	require.Equal(r.t, 200, res.Status, res)
	return p
}

func (r *rig) unregistered(name string, change func(*siptest.Config)) *siptest.UA {
	cfg := siptest.Config{
		Proxy: r.gateway.SIPAddr("udp"), AOR: "sip:" + name + "@" + sipDomain, Auto: true,
		Credentials: siptest.Credentials{User: name, Password: password}, PeerTimeout: 3200 * time.Millisecond,
	}
	if change != nil {
		change(&cfg)
	}
	if cfg.Transport == "tcp" {
		cfg.Proxy = r.gateway.SIPAddr("tcp")
	}
	p := siptest.Start(r.t, cfg)
	r.t.Cleanup(func() { p.AssertClean(r.t) })
	return p
}

func (r *rig) ctx() context.Context {
	ctx, cancel := context.WithTimeout(r.t.Context(), 20*time.Second)
	r.t.Cleanup(cancel)
	return ctx
}

// say sends a MESSAGE from a phone and returns the status it gets.
func (r *rig) say(p *siptest.UA, to, text string, headers ...string) int {
	r.t.Helper()
	res, err := p.Message(r.ctx(), to, text, headers...)
	require.NoError(r.t, err)
	return res.Status
}

// eventually waits for a condition with a deadline.
func (r *rig) eventually(what string, ok func() bool) {
	r.t.Helper()
	require.Eventually(r.t, ok, 20*time.Second, 2*time.Millisecond, what)
}

func uri(t *testing.T, s string) sip.URI {
	t.Helper()
	u, err := sip.ParseURI(s)
	require.NoError(t, err)
	return u
}

func jid(local string) xmpp.JID {
	l, err := xmpp.EscapeLocal(local)
	if err != nil {
		panic(err)
	}
	return xmpp.MustJID(l + "@" + sipDomain)
}

const mira = "sip:mira@" + chatDomain
