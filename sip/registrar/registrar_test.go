package registrar

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/stoxgate/stoxgate/sip"
	"github.com/stoxgate/stoxgate/sip/ua"
)

func TestConfig(t *testing.T) {
	_, err := New(context.Background(), Config{})
	require.ErrorIs(t, err, ErrConfig)
	cfg := testConfig()
	cfg.MinExpires = 3 * time.Hour
	_, err = New(context.Background(), cfg)
	require.ErrorIs(t, err, ErrConfig)
	cfg = testConfig()
	store := newMemoryStore()
	store.fail = func(op, _ string) error { return errDisk }
	cfg.Store = store
	_, err = New(context.Background(), cfg)
	require.ErrorIs(t, err, errDisk)
}

func TestTwoPhonesOneAOR(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r, stop := newRegistrar(t, testConfig())
		defer stop()
		require.Equal(t, 200, submit(r, register(t, "Contact: <sip:otto@192.0.2.9>", "Expires: 100"), udpPhone).Code)
		time.Sleep(time.Second)
		other := sender{transport: "udp", source: "192.0.2.10:5060"}
		s := submit(r, register(t, "Contact: <sip:otto@192.0.2.10>", "Expires: 200", "Call-ID: c2"), other)
		require.Equal(t, []string{"<sip:otto@192.0.2.10>;expires=200", "<sip:otto@192.0.2.9>;expires=99"}, contactsOf(s))
		// Another spelling of the AOR finds them, another user does not.
		require.Len(t, r.Lookup(sip.URI{Scheme: "sip", User: "%6Ftto", Host: domain, Port: 5060}), 2)
		require.Empty(t, r.Lookup(sip.URI{Scheme: "sip", User: "Otto", Host: domain}))
		require.Len(t, slices.Collect(r.All()), 2)
		for range r.All() { // ends early
			break
		}
		time.Sleep(100 * time.Second)
		synctest.Wait()
		require.Equal(t, []string{"sip:otto@192.0.2.10"}, uris(r.Lookup(otto)))
		require.NoError(t, r.Remove(context.Background(), otto))
		require.Empty(t, r.Lookup(otto))
		require.NoError(t, r.Remove(context.Background(), otto))
		require.Empty(t, r.aors)
	})
}

func TestWatch(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r, stop := newRegistrar(t, testConfig())
		defer stop()
		var seen []string
		r.Watch(func(aor sip.URI, list []Binding) {
			require.Equal(t, list, r.Lookup(aor)) // is allowed
			seen = append(seen, fmt.Sprintf("%s %d", aor, len(list)))
		})
		submit(r, register(t, "Contact: <sip:otto@192.0.2.9>, <sip:b@192.0.2.9>;expires=100", "Expires: 60"), udpPhone)
		submit(r, register(t, cseq(2)), udpPhone)                                                                  // a question
		submit(r, register(t, "Contact: <sip:otto@192.0.2.9>", cseq(1)), udpPhone)                                 // refused
		submit(r, register(t, "Contact: <sip:none@192.0.2.9>;expires=0", "To: <sip:nobody@"+domain+">"), udpPhone) // nothing
		time.Sleep(time.Hour)
		synctest.Wait()
		require.Equal(t, []string{"sip:otto@sip.example.org 2", "sip:otto@sip.example.org 1", "sip:otto@sip.example.org 0"}, seen)
	})
}

func TestRestart(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		store := newMemoryStore()
		cfg := testConfig()
		cfg.Store = store
		tcp := sender{"tcp", "192.0.2.9:40001", 7}
		r, stop := newRegistrar(t, cfg)
		for i, c := range []struct {
			contact string
			from    sender
			extra   string
		}{
			{"<sip:udp@192.0.2.9>;q=0.5", udpPhone, "Expires: 600"},
			{"<sip:short@192.0.2.9>", udpPhone, "Expires: 60"},
			{"<sip:nat@10.0.0.1>", udpPhone, "Expires: 600"},
			{"<sip:dialled@192.0.2.9:5060;transport=tcp>", tcp, "Expires: 600"},
			{"<sip:nated@10.0.0.1;transport=tcp>", tcp, "Expires: 600"},
			{`<sip:flow@192.0.2.9:5060;transport=tcp>;reg-id=1;+sip.instance="<urn:a>"`, tcp, "Supported: outbound"},
			{"<sip:secure@192.0.2.9:5061;transport=tls>", sender{"tls", "192.0.2.9:40003", 9}, "Expires: 600"},
			{"<sip:web@x.invalid;transport=ws>", sender{"ws", "192.0.2.9:40002", 8}, "Expires: 600"},
		} {
			s := submit(r, register(t, "Contact: "+c.contact, c.extra, cseq(i+1)), c.from)
			require.Equal(t, 200, s.Code, s.Error())
		}
		require.Len(t, r.Lookup(otto), 8)
		stop()
		time.Sleep(61 * time.Second)

		r, stop = newRegistrar(t, cfg)
		defer stop()
		list := r.Lookup(otto)
		require.ElementsMatch(t, []string{"sip:dialled@192.0.2.9:5060;transport=tcp", "sip:nat@10.0.0.1", "sip:udp@192.0.2.9"}, uris(list))
		require.Equal(t, "sip:udp@192.0.2.9", list[2].Contact.String()) // q
		require.Len(t, store.ids(), 3)
		for _, b := range list {
			require.True(t, b.Flow.IsZero())
		}
		// The phone goes on where it was: Call-ID and CSeq are remembered.
		require.Equal(t, 400, submit(r, register(t, "Contact: <sip:udp@192.0.2.9>", cseq(1)), udpPhone).Code)
		require.Equal(t, 200, submit(r, register(t, "Contact: <sip:udp@192.0.2.9>", cseq(20), "Expires: 60"), udpPhone).Code)
		time.Sleep(600 * time.Second)
		synctest.Wait()
		require.Empty(t, r.Lookup(otto))
		require.Empty(t, store.ids())
	})
}

func TestStoreFailure(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		store := newMemoryStore()
		cfg := testConfig()
		cfg.Store = store
		r, stop := newRegistrar(t, cfg)
		defer stop()
		require.Equal(t, 200, submit(r, register(t, "Contact: <sip:a@192.0.2.9>, <sip:b@192.0.2.9>;expires=100"), udpPhone).Code)
		was := r.Lookup(otto)

		// Both change, the write of one fails: the other is taken back.
		store.fail = func(op, id string) error {
			if op == "put" && id == "sip:b@192.0.2.9" {
				return errDisk
			}
			return nil
		}
		for n := 2; n < 12; n++ { // map order
			s := submit(r, register(t, "Contact: <sip:a@192.0.2.9>, <sip:b@192.0.2.9>, <sip:c@192.0.2.9>", cseq(n)), udpPhone)
			require.Equal(t, 500, s.Code)
			require.Equal(t, was, r.Lookup(otto))
			require.ElementsMatch(t, []string{"sip:a@192.0.2.9", "sip:b@192.0.2.9"}, store.ids())
			require.EqualValues(t, 1, store.rows[[2]string{otto.Key(), "sip:a@192.0.2.9"}].CSeq)
		}
		store.fail = func(op, id string) error { return map[string]error{"delete": errDisk}[op] }
		require.Equal(t, 500, submit(r, register(t, "Contact: <sip:a@192.0.2.9>;expires=0", cseq(20)), udpPhone).Code)
		require.ErrorIs(t, r.Remove(context.Background(), otto), errDisk)
		require.Len(t, r.Lookup(otto), 2)
		// Time does not wait for the disk.
		time.Sleep(2 * time.Hour)
		synctest.Wait()
		require.Empty(t, r.aors)
		require.Len(t, store.ids(), 2)
		// Nor does a start.
		again, stopAgain := newRegistrar(t, cfg)
		defer stopAgain()
		require.Empty(t, again.Lookup(otto))
	})
}

func TestFlows(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var mu sync.Mutex
		alive := map[ua.Flow]bool{}
		open := func(f ua.Flow) { mu.Lock(); defer mu.Unlock(); alive[f] = true }
		kill := func(f ua.Flow) { mu.Lock(); defer mu.Unlock(); delete(alive, f) }
		cfg := testConfig()
		cfg.Alive = func(f ua.Flow) bool { mu.Lock(); defer mu.Unlock(); return f.Transport == "udp" || alive[f] }
		cfg.FlowTimer = 25 * time.Second
		r, stop := newRegistrar(t, cfg)
		defer stop()
		a, b := sender{"tcp", "192.0.2.9:40001", 1}, sender{"tcp", "192.0.2.9:40002", 2}
		open(a.flow())
		open(b.flow())
		submit(r, register(t, "Contact: <sip:dialled@192.0.2.9:5060;transport=tcp>"), a)
		submit(r, register(t, "Contact: <sip:nated@10.0.0.1;transport=tcp>", cseq(2)), a)
		s := submit(r, register(t, "Supported: outbound", `Contact: <sip:flow@192.0.2.9:5061;transport=tcp>;reg-id=1;+sip.instance="<urn:a>"`, cseq(3)), b)
		require.Equal(t, []string{"25"}, valuesOf(s, "Flow-Timer"))
		submit(r, register(t, "Contact: <sip:same@192.0.2.9:40002;transport=tcp>", cseq(4)), b) // the port it sends from
		submit(r, register(t, "Contact: <sip:mira@192.0.2.9:5060;transport=tcp>", "To: <sip:mira@"+domain+">"), a)
		target := func(user string) ua.Target {
			for x := range r.All() {
				if x.Contact.User == user {
					return r.Target(x)
				}
			}
			t.Fatalf("no binding of %s", user)
			return ua.Target{}
		}
		for user, from := range map[string]sender{"dialled": a, "nated": a, "flow": b, "same": b, "mira": a} {
			require.Equal(t, from.flow(), target(user).Flow, user)
		}

		// A new connection with the same reg-id replaces the flow.
		c := sender{"tcp", "192.0.2.9:40003", 3}
		open(c.flow())
		submit(r, register(t, "Supported: outbound", `Contact: <sip:flow@192.0.2.9:5061;transport=tcp>;reg-id=1;+sip.instance="<urn:a>"`, cseq(5)), c)
		require.Equal(t, c.flow(), target("flow").Flow)

		kill(b.flow())
		require.ElementsMatch(t, []string{"dialled", "nated", "flow"}, users(r.Lookup(otto))) // before anybody noticed
		r.FlowClosed(b.flow())
		require.ElementsMatch(t, []string{"dialled", "nated", "flow"}, users(r.Lookup(otto)))
		kill(a.flow())
		require.True(t, target("dialled").Flow.IsZero())
		var seen []string
		r.Watch(func(aor sip.URI, list []Binding) { seen = append(seen, fmt.Sprint(aor.User, users(list))) })
		time.Sleep(sweepEvery)
		synctest.Wait()
		require.ElementsMatch(t, []string{"otto[dialled flow]", "mira[mira]"}, seen)
		require.ElementsMatch(t, []string{"dialled", "flow"}, users(r.Lookup(otto)))
		require.Equal(t, "sip:dialled@192.0.2.9:5060;transport=tcp", target("dialled").URI.String())
		require.Equal(t, "sip:mira@192.0.2.9:5060;transport=tcp", target("mira").URI.String())
		r.FlowClosed(ua.Flow{})
		r.FlowClosed(udpPhone.flow())

		// A connection that closed before its registration was done.
		d := sender{"ws", "192.0.2.9:40004", 4}
		require.Equal(t, 200, submit(r, register(t, "Contact: <sip:late@x.invalid;transport=ws>", cseq(6)), d).Code)
		require.NotContains(t, users(r.Lookup(otto)), "late")

		time.Sleep(sweepEvery)
		synctest.Wait()
		kill(c.flow())
		r.FlowClosed(c.flow())
		require.NoError(t, r.Remove(context.Background(), otto))
		require.NoError(t, r.Remove(context.Background(), sip.URI{Scheme: "sip", User: "mira", Host: domain}))
		require.Empty(t, r.flows.aors)
		require.Empty(t, r.expiry.heap)
		require.Empty(t, r.expiry.byKey)
	})
}

func users(list []Binding) []string {
	var out []string
	for _, b := range list {
		out = append(out, b.Contact.User)
	}
	return out
}

// TestTarget is where requests to UDP phones go.
func TestTarget(t *testing.T) {
	for _, tc := range []struct {
		name  string
		via   string
		lines []string
		from  sender
		uri   string // next hop without a flow
		flow  bool
		path  int
	}{
		{"public phone", "192.0.2.9", nil, udpPhone, "sip:a@192.0.2.9:5060", false, 0},
		{"public phone, asks for rport", "192.0.2.9;rport", nil, udpPhone, "sip:192.0.2.9:5060;transport=udp", true, 0},
		{"sends from another port", "192.0.2.9", nil, sender{transport: "udp", source: "192.0.2.9:31000"}, "sip:a@192.0.2.9:5060", false, 0},
		{"behind a NAT", "10.0.0.1", nil, sender{transport: "udp", source: "198.51.100.4:31000"}, "sip:198.51.100.4:31000;transport=udp", true, 0},
		{"ipv6", "10.0.0.1", nil, sender{transport: "udp", source: "[2001:db8::4]:31000"}, "sip:[2001:db8::4]:31000;transport=udp", true, 0},
		{
			"behind a proxy", "192.0.2.9",
			[]string{"Via: SIP/2.0/UDP 10.0.0.9;branch=z9hG4bK2"},
			sender{transport: "udp", source: "198.51.100.4:5060"},
			"sip:a@192.0.2.9:5060", false, 0,
		},
		{
			"behind a proxy with path", "192.0.2.9",
			[]string{"Via: SIP/2.0/UDP 10.0.0.9;branch=z9hG4bK2", "Supported: path", "Path: <sip:p1;lr>,<sip:p2;lr>"},
			sender{transport: "udp", source: "198.51.100.4:5060"},
			"", false, 2,
		},
	} {
		t.Run(tc.name, func(t *testing.T) {
			var dead atomic.Bool
			cfg := testConfig()
			cfg.Alive = func(ua.Flow) bool { return !dead.Load() }
			r, _ := newRegistrar(t, cfg)
			req := register(t, append([]string{"Contact: <sip:a@192.0.2.9:5060>"}, tc.lines...)...)
			raw := strings.Replace(req.String(), "192.0.2.9:5060;branch", tc.via+";branch", 1)
			msg, err := sip.ParseMessage([]byte(raw))
			require.NoError(t, err)
			require.Equal(t, 200, submit(r, msg.(*sip.Request), tc.from).Code)
			b := r.Lookup(otto)[0]
			got := r.Target(b)
			require.Len(t, got.Routes, tc.path)
			require.Equal(t, tc.flow, !got.Flow.IsZero())
			// After a restart with other listeners the socket is gone.
			dead.Store(true)
			got = r.Target(b)
			require.True(t, got.Flow.IsZero())
			require.Equal(t, tc.uri, got.URI.String()) // none with a path: its first hop is next
		})
	}
}

func TestGRUU(t *testing.T) {
	r, _ := newRegistrar(t, testConfig())
	submit(r, register(t, `Contact: <sip:a@192.0.2.9>;+sip.instance="<urn:uuid:A>"`), udpPhone)
	submit(r, register(t, `Contact: <sip:b@192.0.2.9>;+sip.instance="<urn:uuid:B>"`, cseq(2)), udpPhone)
	list := r.Lookup(otto)
	for _, b := range list {
		gruu := b.GRUU()
		require.Equal(t, otto.Key(), gruu.Key())
		require.Equal(t, []Binding{b}, r.Lookup(gruu))
	}
	none := otto
	none.Params.Set("gr", "urn:uuid:C")
	require.Empty(t, r.Lookup(none))
	empty := otto
	empty.Params.Set("gr", "")
	require.Len(t, r.Lookup(empty), 2)
	require.True(t, (&Binding{}).GRUU().IsZero())
	require.True(t, (&Binding{Instance: "x", AOR: "?"}).GRUU().IsZero())
}

// TestConcurrent lets many phones and questions at one AOR at once: no update is
// lost, the limit holds, the store agrees.
func TestConcurrent(t *testing.T) {
	store := newMemoryStore()
	cfg := testConfig()
	cfg.Store = store
	cfg.MaxContacts = 25
	r, _ := newRegistrar(t, cfg)
	codes := make([]int, 50)
	var wg sync.WaitGroup
	for i := range codes {
		wg.Go(func() {
			req := register(t, fmt.Sprintf("Contact: <sip:c%d@192.0.2.9>", i), fmt.Sprintf("Call-ID: c%d", i))
			codes[i] = submit(r, req, udpPhone).Code
		})
		wg.Go(func() { r.Lookup(otto) })
		wg.Go(func() { _ = r.Remove(context.Background(), sip.URI{Scheme: "sip", User: "nobody", Host: domain}) })
	}
	wg.Wait()
	granted := 0
	for _, c := range codes {
		if c == 200 {
			granted++
		} else {
			require.Equal(t, 403, c)
		}
	}
	require.Equal(t, 25, granted)
	require.Len(t, r.Lookup(otto), 25)
	require.Len(t, store.ids(), 25)
	require.Len(t, r.aors, 1)
}

// TestManyExpire ends thousands of bindings with one timer.
func TestManyExpire(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		store := newMemoryStore()
		cfg := testConfig()
		cfg.Store = store
		r, stop := newRegistrar(t, cfg)
		defer stop()
		const n = 2000
		for i := range n {
			req := register(t, "Contact: <sip:x@192.0.2.9>", fmt.Sprintf("To: <sip:u%d@%s>", i, domain), fmt.Sprintf("Expires: %d", 60+i%100))
			require.Equal(t, 200, submit(r, req, udpPhone).Code)
		}
		synctest.Wait()
		r.expiry.mu.Lock()
		require.Len(t, r.expiry.heap, n)
		r.expiry.mu.Unlock()
		time.Sleep(110 * time.Second)
		synctest.Wait()
		require.Len(t, store.ids(), n/2-n/100)
		time.Sleep(50 * time.Second)
		synctest.Wait()
		require.Empty(t, store.ids())
		require.Empty(t, r.aors)
	})
}

// TestUnreadableRow must not keep the others away.
func TestUnreadableRow(t *testing.T) {
	good := Row{
		AOR: otto.Key(), ID: "1", Contact: `<sip:a@192.0.2.9>;methods="MESSAGE,INVITE"`, Path: "<sip:p1;lr>, <sip:p2;lr>", Instance: "urn:a",
		RegID: 1, Q: 500, CallID: "x", CSeq: 7, UserAgent: "ua", Transport: "udp", Source: "[2001:db8::1]:5060", Updated: time.Now(), Expires: time.Now().Add(time.Hour),
	}
	store := newMemoryStore()
	for i, change := range []func(*Row){
		func(*Row) {},
		func(r *Row) { r.AOR = "otto" },
		func(r *Row) { r.AOR = "sip:%6Ftto@" + domain },
		func(r *Row) { r.Contact = "<" },
		func(r *Row) { r.Path = "<" },
		func(r *Row) { r.Source = "here" },
	} {
		r := good
		r.ID = fmt.Sprint(i + 1)
		change(&r)
		_, err := r.Binding()
		require.Equal(t, i > 0, errors.Is(err, ErrRow), i)
		require.NoError(t, store.Put(context.Background(), r))
	}
	cfg := testConfig()
	cfg.Store = store
	r, _ := newRegistrar(t, cfg)
	list := r.Lookup(otto)
	require.Len(t, list, 1)
	require.Equal(t, good, list[0].Row())
	require.Equal(t, []string{"1"}, store.ids())
}

func BenchmarkLookup(b *testing.B) {
	r, _ := newRegistrar(b, testConfig())
	for i := range 10_000 {
		submit(r, register(b, "Contact: <sip:x@192.0.2.9>", fmt.Sprintf("To: <sip:u%d@%s>", i, domain)), udpPhone)
	}
	aor := sip.URI{Scheme: "sip", User: "u77", Host: domain}
	b.ReportAllocs()
	for b.Loop() {
		if len(r.Lookup(aor)) != 1 {
			b.Fatal("lost")
		}
	}
}

func FuzzRegister(f *testing.F) {
	f.Add("<sip:a@192.0.2.9>;q=0.5;expires=60;reg-id=1;+sip.instance=\"<urn:a>\"", "path, outbound, gruu", "<sip:p;lr;ob>", "60")
	f.Add("*", "", "", "0")
	f.Add("<sip:a@b?x=y>, sip:c@d;expires=99999999999999999999", "gruu", "", "-1")
	r, err := New(context.Background(), testConfig())
	require.NoError(f, err)
	f.Fuzz(func(t *testing.T, contact, supported, path, expires string) {
		for _, s := range []string{contact, supported, path, expires} {
			if strings.ContainsAny(s, "\r\n") {
				return
			}
		}
		raw := "REGISTER sip:" + domain + " SIP/2.0\r\nVia: SIP/2.0/UDP 192.0.2.9;branch=z9hG4bK1\r\nFrom: <sip:otto@" + domain +
			">;tag=1\r\nTo: <sip:otto@" + domain + ">\r\nCall-ID: x\r\nCSeq: 1 REGISTER\r\nContact: " + contact +
			"\r\nSupported: " + supported + "\r\nPath: " + path + "\r\nExpires: " + expires + "\r\n\r\n"
		msg, err := sip.ParseMessage([]byte(raw))
		if err != nil {
			return
		}
		req, ok := msg.(*sip.Request)
		if !ok {
			return
		}
		s := submit(r, req, udpPhone)
		res := sip.NewResponse(req, *s, "tag")
		if err := sip.Validate(res); err != nil {
			t.Fatalf("answer cannot be sent: %v", err)
		}
		_ = r.Remove(context.Background(), otto)
	})
}
