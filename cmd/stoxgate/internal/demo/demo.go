// Package demo plays the story of the gateway in one process with nothing installed: an
// XMPP server with a user, a SIP phone, and the gateway between them. Every step is
// checked, so it is also the shortest proof that the program works on a machine.
package demo

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"slices"
	"strings"
	"time"

	"github.com/rs/zerolog"

	"github.com/stoxgate/stoxgate/interwork"
	"github.com/stoxgate/stoxgate/interwork/identity"
	"github.com/stoxgate/stoxgate/interwork/journal"
	"github.com/stoxgate/stoxgate/interwork/relay"
	"github.com/stoxgate/stoxgate/interwork/store"
	"github.com/stoxgate/stoxgate/sip"
	"github.com/stoxgate/stoxgate/sip/siptest"
	"github.com/stoxgate/stoxgate/sip/ua"
	"github.com/stoxgate/stoxgate/xmpp"
	"github.com/stoxgate/stoxgate/xmpp/component"
	"github.com/stoxgate/stoxgate/xmpp/xmpptest"
)

// Options of a demonstration.
type Options struct {
	Out     io.Writer // where it is told
	ASCII   bool      // draw ladders with ASCII characters only
	Width   int       // of the ladders, in columns
	Log     io.Writer // the gateway's log; nil: none
	Version string

	kept func(name string, entries []journal.Entry) // takes the scenes that have a name; nil: nobody
}

const (
	sipDomain  = "sip.harbor.example"
	xmppDomain = "chat.harbor.example"
	password   = "lighthouse"
	stepLimit  = 30 * time.Second // bounds every step
)

// ErrStep is wrapped when a step did not go as it should.
var ErrStep = errors.New("demo")

// demo is the stage: an XMPP server with mira, a phone of otto's, and the gateway.
type demo struct {
	Options
	journal *journal.Journal
	server  *xmpptest.Server
	mira    *xmpptest.User
	otto    *siptest.Phone
	engine  *relay.Relay // media of mira's client
	gateway *interwork.Gateway
	seen    uint64   // journal entries shown so far
	remarks []string // of the present step
	failed  int
}

// Run plays the story; the error wraps ErrStep when a step failed.
func Run(ctx context.Context, o Options) (err error) {
	dir, err := os.MkdirTemp("", "stoxgate-demo-")
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, os.RemoveAll(dir)) }()
	d := &demo{Options: o, journal: journal.New(journal.Config{Raw: true})}
	log := zerolog.Nop()
	if o.Log != nil {
		log = zerolog.New(zerolog.ConsoleWriter{Out: o.Log}).With().Timestamp().Logger()
	}

	d.server = xmpptest.NewServer(xmpptest.Config{
		Domain: sipDomain, Hosts: []string{xmppDomain}, Auto: xmpptest.Auto{Receipts: true}, Offline: xmpptest.OfflineBounce,
	})
	if err := d.server.Listen("127.0.0.1:0"); err != nil {
		return err
	}
	defer d.server.Close()
	d.mira = d.server.User("mira@" + xmppDomain + "/desk")

	st, err := store.Open(ctx, store.Config{Dir: dir, Log: log})
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, st.Close()) }()
	table, err := identity.New(ctx, identity.Config{Store: st, Log: log})
	if err != nil {
		return err
	}
	aor, err := sip.ParseURI("sip:otto@" + sipDomain)
	if err != nil {
		return err
	}
	if _, err := table.Add(ctx, identity.Identity{ID: "otto", Name: "Otto", AORs: []sip.URI{aor}, Policy: identity.AllowAll}, password); err != nil {
		return err
	}
	d.gateway, err = interwork.New(ctx, interwork.Config{
		XMPP:      component.Config{Address: d.server.Addr(), Domain: sipDomain, Secret: d.server.Secret(), Log: log},
		SIP:       ua.Config{Listen: []ua.Listen{{Transport: "udp", Host: "127.0.0.1"}, {Transport: "tcp", Host: "127.0.0.1"}}, UserAgent: "stoxgate demo", Log: log},
		Registrar: true, Store: st, Identities: table, Journal: d.journal, Log: log, Version: o.Version, Drain: time.Second,
	})
	if err != nil {
		return err
	}
	if d.engine, err = relay.New(relay.Config{Ports: relay.PortRange{Min: 19900, Max: 19999}, Log: zerolog.Nop()}); err != nil {
		return err
	}
	defer func() { err = errors.Join(err, d.engine.Close()) }()
	running, stop := context.WithCancel(ctx)
	ended := make(chan error, 1)
	go func() { ended <- d.gateway.Run(running) }()
	defer func() { stop(); err = errors.Join(err, <-ended) }()
	if err := d.server.WaitConnected(ctx); err != nil {
		return err
	}
	if err := d.phone(); err != nil {
		return err
	}
	defer d.otto.Close()

	fmt.Fprintf(d.Out, "mira is at %s on an XMPP server, otto has a SIP phone, and stoxgate stands between them.\n", d.mira.JID())
	for i, s := range slices.Concat(d.story(), d.calls(), d.outage()) {
		d.play(ctx, i+1, s)
	}
	for _, v := range d.otto.Violations() {
		d.failed++
		fmt.Fprintf(d.Out, "the phone complains: %s\n", v)
	}
	for _, v := range d.server.Violations() {
		d.failed++
		fmt.Fprintf(d.Out, "the server complains: %s\n", v)
	}
	if d.failed > 0 {
		return fmt.Errorf("%w: %d steps failed", ErrStep, d.failed)
	}
	fmt.Fprintln(d.Out, "All steps went as they should.")
	return nil
}

func (d *demo) phone() (err error) {
	d.otto, err = siptest.NewPhone(siptest.Config{
		Proxy: d.gateway.SIPAddr("udp"), AOR: "sip:otto@" + sipDomain,
		Credentials: siptest.Credentials{User: "otto", Password: password},
	})
	if err != nil {
		return err
	}
	d.otto.Answer(siptest.Is("MESSAGE"), siptest.Status(200))
	d.otto.Answer(siptest.Is("SUBSCRIBE"), siptest.Status(501))
	d.otto.Answer(siptest.Is("OPTIONS"), siptest.Status(200,
		"Accept: text/plain, message/cpim, message/imdn+xml, application/im-iscomposing+xml"))
	return nil
}

// step is one scene: what is told, and what is done and checked.
type step struct {
	title string
	do    func(ctx context.Context) error
	name  string // of its ladder in testdata/ladders; empty: not kept there
}

func (d *demo) play(ctx context.Context, n int, s step) {
	fmt.Fprintf(d.Out, "\n%d. %s\n\n", n, s.title)
	ctx, cancel := context.WithTimeout(ctx, stepLimit)
	defer cancel()
	err := s.do(ctx)
	d.settle(ctx)
	entries := d.journal.Since(d.seen)
	for _, e := range entries {
		d.seen = max(d.seen, e.Seq)
	}
	if len(entries) > 0 {
		fmt.Fprint(d.Out, journal.Ladder(entries, journal.LadderOptions{
			Width: d.Width, ASCII: d.ASCII, Lanes: []string{d.mira.JID().Bare().String(), journal.Gateway},
		}))
	}
	if s.name != "" && d.kept != nil {
		d.kept(s.name, entries)
	}
	for _, remark := range d.remarks {
		fmt.Fprintf(d.Out, "  %s\n", remark)
	}
	d.remarks = nil
	if err != nil {
		d.failed++
		fmt.Fprintf(d.Out, "FAILED: %v\n", err)
		return
	}
	fmt.Fprintln(d.Out, "ok")
}

// say adds a remark below the ladder of the present step.
func (d *demo) say(format string, args ...any) {
	d.remarks = append(d.remarks, fmt.Sprintf(format, args...))
}

// story are the scenes with presence and messages.
func (d *demo) story() []step {
	otto, mira := ottoJID, miraURI
	return []step{
		{title: "Otto's phone registers; the gateway asks for its password (RFC 3261 §10, §22).", do: func(ctx context.Context) error {
			return d.expectStatus(d.otto.Register(ctx, 600))(200)
		}},
		{title: "Mira adds otto to her contacts. His phone knows nothing of presence, so he is online while it is registered (RFC 8048 §5).", do: func(ctx context.Context) error {
			if err := d.mira.Send(&xmpp.Presence{To: otto, Type: xmpp.PresenceSubscribe}); err != nil {
				return err
			}
			if _, err := d.mira.Await(ctx, xmpptest.Type("subscribed")); err != nil {
				return err
			}
			_, err := d.mira.Await(ctx, xmpptest.Presences(), xmpptest.Type(""), xmpptest.From(otto.String()))
			return err
		}},
		{title: "Another phone would say more than that: it publishes what otto is doing (RFC 3903), and mira sees it (RFC 8048 §6.3).", do: func(ctx context.Context) error {
			req := d.otto.NewRequest("PUBLISH", "sip:otto@"+sipDomain, "Event: presence", "Expires: 600", "Content-Type: application/pidf+xml")
			req.Body = []byte(`<presence xmlns="urn:ietf:params:xml:ns:pidf" entity="sip:otto@` + sipDomain + `"><tuple id="bridge">` +
				`<status><basic>open</basic></status><note>on the bridge</note></tuple></presence>`)
			if err := d.expectStatus(d.otto.Do(ctx, req))(200); err != nil {
				return err
			}
			_, err := d.mira.Await(ctx, xmpptest.Match("on the bridge", func(s xmpp.Stanza) bool {
				p, ok := s.(*xmpp.Presence)
				return ok && p.Status() == "on the bridge"
			}))
			return err
		}},
		{title: "Otto looks who watches him (RFC 3857).", do: func(ctx context.Context) error {
			return d.watch(ctx, "sip:otto@"+sipDomain, "presence.winfo", "application/watcherinfo+xml", mira)
		}},
		{title: "Otto puts mira on a key of his phone: pending, until she agrees (RFC 8048 §5.2).", do: func(ctx context.Context) error {
			if err := d.subscribe(ctx, mira, "presence", "application/pidf+xml"); err != nil {
				return err
			}
			_, err := d.otto.Expect(ctx, siptest.Is("NOTIFY"), func(m *siptest.Message) bool {
				return strings.HasPrefix(m.Get("Subscription-State"), "pending")
			})
			if err != nil {
				return err
			}
			if _, err := d.mira.Await(ctx, xmpptest.Type("subscribe")); err != nil {
				return err
			}
			return d.mira.Send(&xmpp.Presence{To: otto, Type: xmpp.PresenceSubscribed})
		}},
		{title: "Mira writes to otto (RFC 7572 §4).", do: func(ctx context.Context) error {
			if err := d.mira.Say(otto, "m-1", "Which berth tonight?"); err != nil {
				return err
			}
			return d.wantText(ctx, "Which berth tonight?")
		}},
		{title: "Otto answers; he gets 200 because mira's server has the message (RFC 7572 §5).", do: func(ctx context.Context) error {
			if err := d.expectStatus(d.otto.Message(ctx, mira, "Berth four."))(200); err != nil {
				return err
			}
			_, err := d.mira.Await(ctx, xmpptest.Body("Berth four."))
			return err
		}},
		{title: "Mira asks for a receipt, and otto's phone sends one (XEP-0184, RFC 5438).", do: func(ctx context.Context) error {
			if err := d.mira.Say(otto, "m-2", "Lights on?", xmpp.NewElement(xmpp.NSReceipts, "request")); err != nil {
				return err
			}
			if err := d.notify(ctx, mira); err != nil {
				return err
			}
			_, err := d.mira.Await(ctx, xmpptest.Extension(xmpp.NSReceipts, "received"))
			return err
		}},
		{title: "Otto is typing, and mira sees it (RFC 3994, XEP-0085).", do: func(ctx context.Context) error {
			if err := d.mira.Send(&xmpp.Message{To: otto, Type: xmpp.MessageChat, ID: "m-3", Extensions: []*xmpp.Element{xmpp.NewElement(xmpp.NSChatStates, "active")}}); err != nil {
				return err
			}
			req := d.otto.NewRequest("MESSAGE", mira, "Content-Type: application/im-iscomposing+xml")
			req.Body = []byte(`<isComposing xmlns="urn:ietf:params:xml:ns:im-iscomposing"><state>active</state></isComposing>`)
			if err := d.expectStatus(d.otto.Do(ctx, req))(200); err != nil {
				return err
			}
			_, err := d.mira.Await(ctx, xmpptest.Extension(xmpp.NSChatStates, "composing"))
			return err
		}},
		{title: "Mira writes to somebody who does not exist, and is told so (RFC 7247 §7.2).", do: func(ctx context.Context) error {
			if err := d.mira.Say(xmpp.MustJID("nobody@"+sipDomain), "m-4", "Hello?"); err != nil {
				return err
			}
			_, err := d.mira.Await(ctx, xmpptest.Error(xmpp.ConditionItemNotFound), xmpptest.ID("m-4"))
			return err
		}},
		{title: "Otto writes to somebody whom mira's server does not know, and is told so (RFC 7247 §7.1).", do: func(ctx context.Context) error {
			return d.expectStatus(d.otto.Message(ctx, "sip:ghost@"+xmppDomain, "Boo."))(480)
		}},
	}
}

// outage is how it ends: without a server, and with it again.
func (d *demo) outage() []step {
	return []step{
		{title: "Meanwhile the lamp of that key shows that mira is there: there is no more than one NOTIFY in five seconds (RFC 3856 §6.10).", do: func(ctx context.Context) error {
			return d.notified(ctx, "<basic>open")
		}},
		{title: "The XMPP server goes away; otto's message is kept and he gets 202.", do: func(ctx context.Context) error {
			d.server.Refuse(xmpptest.RefuseClose)
			d.server.Drop()
			for d.gateway.Status().Link {
				if err := pause(ctx); err != nil {
					return err
				}
			}
			return d.expectStatus(d.otto.Message(ctx, miraURI, "Are you there?"))(202)
		}},
		{title: "It comes back, and mira gets the message.", do: func(ctx context.Context) error {
			_, err := d.mira.Await(ctx, xmpptest.Body("Are you there?"))
			return err
		}},
	}
}

// watch subscribes at the phone and waits for a NOTIFY with this text.
func (d *demo) watch(ctx context.Context, to, pkg, accept, text string) error {
	if err := d.subscribe(ctx, to, pkg, accept); err != nil {
		return err
	}
	return d.notified(ctx, text)
}

// subscribe begins a subscription of the phone's.
func (d *demo) subscribe(ctx context.Context, to, pkg, accept string) error {
	d.otto.Answer(siptest.Is("NOTIFY"), siptest.Status(200))
	req := d.otto.NewRequest("SUBSCRIBE", to, "Event: "+pkg, "Expires: 600", "Accept: "+accept, "Contact: <"+d.otto.ContactURI()+">")
	return d.expectStatus(d.otto.Do(ctx, req))(200)
}

// notified waits for a NOTIFY with a text in its body.
func (d *demo) notified(ctx context.Context, text string) error {
	for {
		n, err := d.otto.Expect(ctx, siptest.Is("NOTIFY"))
		if err != nil || strings.Contains(string(n.Body), text) {
			return err
		}
	}
}

// settle waits until nothing more comes of a step: the gateway has nothing under way, and
// the journal is quiet.
func (d *demo) settle(ctx context.Context) {
	const quiet, limit = 30 * time.Millisecond, 2 * time.Second
	ctx, cancel := context.WithTimeout(ctx, limit)
	defer cancel()
	added := d.journal.Stats().Added
	for since := time.Now(); time.Since(since) < quiet && pause(ctx) == nil; {
		if now := d.journal.Stats().Added; now != added || d.gateway.Status().UnderWay > 0 {
			added, since = now, time.Now()
		}
	}
}

func pause(ctx context.Context) error {
	t := time.NewTimer(time.Millisecond)
	defer t.Stop()
	select {
	case <-t.C:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}

// expectStatus checks the answer to a request of the phone.
func (d *demo) expectStatus(res *siptest.Message, err error) func(want int) error {
	return func(want int) error {
		if err != nil {
			return err
		}
		if res.Status != want {
			return fmt.Errorf("%w: the phone got %d %s, not %d", ErrStep, res.Status, res.Reason, want)
		}
		return nil
	}
}

// wantText waits for a MESSAGE with this text at the phone.
func (d *demo) wantText(ctx context.Context, text string) error {
	in, err := d.otto.Expect(ctx, siptest.Is("MESSAGE"))
	if err != nil {
		return err
	}
	if !strings.Contains(string(in.Body), text) {
		return fmt.Errorf("%w: the phone got %q, not %q", ErrStep, in.Body, text)
	}
	return nil
}

// notify takes a message in a CPIM envelope at the phone and answers its wish for a
// delivery notification, as a phone with RFC 5438 does.
func (d *demo) notify(ctx context.Context, to string) error {
	in, err := d.otto.Expect(ctx, siptest.Is("MESSAGE"))
	if err != nil {
		return err
	}
	_, rest, ok := strings.Cut(string(in.Body), "Message-ID: ")
	if !ok {
		return fmt.Errorf("%w: the message asks for no receipt: %q", ErrStep, in.Body)
	}
	id, _, _ := strings.Cut(rest, "\r\n")
	req := d.otto.NewRequest("MESSAGE", to, "Content-Type: message/cpim")
	req.Body = []byte("From: <sip:otto@" + sipDomain + ">\r\nTo: <" + to + ">\r\n\r\n" +
		"Content-Type: message/imdn+xml\r\nContent-Disposition: notification\r\n\r\n" +
		`<imdn xmlns="urn:ietf:params:xml:ns:imdn"><message-id>` + id + `</message-id><datetime>2026-05-04T18:22:01Z</datetime>` +
		`<delivery-notification><status><delivered/></status></delivery-notification></imdn>`)
	return d.expectStatus(d.otto.Do(ctx, req))(200)
}
