package event

import (
	"fmt"
	"net/netip"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/stoxgate/stoxgate/sip"
	"github.com/stoxgate/stoxgate/sip/ua"
)

// fakeComposer remembers what it is told.
type fakeComposer struct {
	mu   sync.Mutex
	log  []string
	last Published
}

func (o *fakeComposer) Published(p Published) {
	o.mu.Lock()
	defer o.mu.Unlock()
	var bodies []string
	for _, c := range p.Current {
		bodies = append(bodies, string(c.Body))
	}
	o.log = append(o.log, fmt.Sprintf("%v %s: %s", p.Operation, p.Changed.Body, strings.Join(bodies, " ")))
	o.last = p
}

func (o *fakeComposer) latest() Published {
	o.mu.Lock()
	defer o.mu.Unlock()
	return o.last
}

func (o *fakeComposer) events() []string {
	o.mu.Lock()
	defer o.mu.Unlock()
	l := o.log
	o.log = nil
	return l
}

// counter is a publication server with its fakes.
type counterDesk struct {
	t     *testing.T
	s     *PublicationServer
	owner *fakeComposer
}

func newCounter(t *testing.T, change ...func(*PublicationConfig)) *counterDesk {
	d := &counterDesk{t: t, owner: &fakeComposer{}}
	cfg := PublicationConfig{Packages: []PublicationPackage{{Name: "presence", Accept: []string{pidfType}, Owner: d.owner}}}
	for _, f := range change {
		f(&cfg)
	}
	var err error
	d.s, err = NewPublicationServer(cfg)
	require.NoError(t, err)
	return d
}

var publishDefaults = []string{
	"Via: SIP/2.0/UDP 192.0.2.9:5060;branch=z9hG4bK1", "Max-Forwards: 70", "From: <sip:otto@voice.example>;tag=f1",
	"To: <sip:otto@voice.example>", "Call-ID: c1", "CSeq: 1 PUBLISH", "Event: presence", "Expires: 600",
}

func (d *counterDesk) sendFrom(mod func(*arrival), change ...string) sip.Status {
	d.t.Helper()
	a := arrived(lines(d.t, "PUBLISH", publishDefaults, append([]string{"URI: sip:otto@voice.example"}, change...)), "x")
	mod(&a)
	st, r := d.s.take(&a, sip.NameAddr{})
	if r != nil {
		r.deliver()
	}
	return st
}

func (d *counterDesk) send(change ...string) sip.Status {
	d.t.Helper()
	return d.sendFrom(func(*arrival) {}, change...)
}

// put publishes a document and returns the tag.
func (d *counterDesk) put(body string, change ...string) string {
	d.t.Helper()
	st := d.send(append(document(body), change...)...)
	require.Equal(d.t, 200, st.Code, st)
	tag := valueOf(st, "SIP-ETag")
	require.NotEmpty(d.t, tag)
	return tag
}

func match(tag string) string { return "SIP-If-Match: " + tag }

func TestPublicationAnswers(t *testing.T) {
	for _, c := range []struct {
		name   string
		change []string
		code   int
		want   []string
	}{
		{"initial", document("x"), 200, []string{"Expires: 600"}},
		{"default duration", append(document("x"), "Expires:"), 200, []string{"Expires: 3600"}},
		{"shortened", append(document("x"), "Expires: 100000"), 200, []string{"Expires: 7200"}},
		{"too brief", append(document("x"), "Expires: 10"), 423, []string{"Min-Expires: 60"}},
		{"initial that ends at once", append(document("x"), "Expires: 0"), 200, []string{"Expires: 0"}},
		{"no event", append(document("x"), "Event:"), 489, []string{"Allow-Events: presence"}},
		{"other event", append(document("x"), "Event: dialog"), 489, nil},
		{"initial without document", nil, 400, nil},
		{"unknown tag", []string{match("nobody")}, 412, nil},
		{"two tags", append(document("x"), match("a"), "sip-if-match: b"), 400, nil},
		{"two tags in one", append(document("x"), match("a, b")), 400, nil},
		{"empty tag", append(document("x"), match("\"\"")), 400, nil},
		{"other type", []string{"Content-Type: text/plain", "Body: x"}, 415, []string{"Accept: " + pidfType}},
		{"no type", []string{"Body: x"}, 415, nil},
		{"encoded", append(document("x"), "Content-Encoding: gzip"), 415, []string{"Accept-Encoding: identity"}},
		{"encoded as it is", append(document("x"), "Content-Encoding: identity"), 200, nil},
		{"large", document(strings.Repeat("x", 33<<10)), 413, nil},
		{"sips", append(document("x"), "URI: sips:otto@voice.example"), 416, nil},
		{"not ours", append(document("x"), "URI: sip:otto@other.example"), 404, nil},
		{"malformed", document("BAD"), 400, nil},
		{"malformed but removed", append(document("BAD"), "Expires: 0"), 200, nil},
	} {
		t.Run(c.name, func(t *testing.T) {
			d := newCounter(t, func(cfg *PublicationConfig) {
				cfg.Admit = func(p *Publish) *sip.Status {
					if p.Resource.Host != "voice.example" {
						return &sip.Status{Code: 404}
					}
					return nil
				}
				cfg.Packages[0].Check = func(_ string, body []byte) *sip.Status {
					if string(body) == "BAD" {
						return &sip.Status{Code: 400}
					}
					return nil
				}
			})
			st := d.send(c.change...)
			require.Equal(t, c.code, st.Code, st)
			require.Equal(t, c.code == 200, valueOf(st, "SIP-ETag") != "")
			for _, w := range c.want {
				name, value, _ := strings.Cut(w, ": ")
				require.Equal(t, value, valueOf(st, name))
			}
			kept := 0
			if c.code == 200 && valueOf(st, "Expires") != "0" {
				kept = 1
			}
			require.Equal(t, kept, d.s.Len())
			require.Len(t, d.s.resources, kept)
		})
	}
}

// TestPublicationLife: two devices of one user, refreshed, modified, removed, expired.
func TestPublicationLife(t *testing.T) {
	bubble(t, func(t *testing.T) {
		d := newCounter(t)
		defer runUntilStop(t, d.s.Run)()
		desk := d.put("desk")
		mobile := d.put("mobile", "URI: sip:%6ftto@voice.example:5060;transport=tcp") // the same AOR
		require.NotEqual(t, desk, mobile)
		id := d.owner.latest().Changed.ID
		require.Equal(t, "sip:otto@voice.example", d.owner.latest().Resource.String())

		pass(500 * time.Second)
		refreshed := valueOf(d.send(match(mobile)), "SIP-ETag")
		require.NotEqual(t, mobile, refreshed)
		require.Equal(t, 412, d.send(match(mobile)).Code, "the old tag is not known any more")
		changed := valueOf(d.send(append(document("mobile2"), match(refreshed))...), "SIP-ETag")
		require.Equal(t, id, d.owner.latest().Changed.ID, "it is the same publication")
		require.Equal(t, changed, d.owner.latest().Changed.ETag)
		pass(101 * time.Second)
		require.Equal(t, 412, d.send(match(desk)).Code, "expired")
		require.Len(t, d.s.Current(sip.URI{Scheme: "sip", User: "otto", Host: "voice.example"}, "presence"), 1)
		require.Equal(t, 423, d.send(match(changed), "Expires: 1").Code)
		st := d.send(match(changed), "Expires: 0")
		require.Equal(t, "0", valueOf(st, "Expires"))
		require.Equal(t, []string{
			"added desk: desk", "added mobile: desk mobile", "refreshed mobile: desk mobile", "modified mobile2: desk mobile2",
			"expired desk: mobile2", "removed mobile2: ",
		}, d.owner.events())
		require.Zero(t, d.s.Len())
		require.Zero(t, d.s.bytes)
		require.Empty(t, d.s.resources)
		require.Empty(t, d.s.sources)
		require.Nil(t, d.s.Current(sip.URI{Scheme: "sip", User: "otto", Host: "voice.example"}, "presence"))
	})
}

func TestPublicationLimits(t *testing.T) {
	d := newCounter(t, func(c *PublicationConfig) {
		c.Limits, c.MaxBytes = Limits{Total: 6, PerSource: 4, PerPair: 2}, 1000
	})
	n := 0
	send := func(ip, user string, size int) int {
		n++
		return d.sendFrom(func(a *arrival) { a.source = netip.AddrPortFrom(netip.MustParseAddr(ip), 5060) },
			append(document(strings.Repeat("x", size)), "URI: sip:"+user+"@voice.example")...).Code
	}
	require.Equal(t, 200, send("192.0.2.1", "a", 10))
	require.Equal(t, 200, send("192.0.2.1", "a", 10))
	require.Equal(t, 403, send("192.0.2.1", "a", 10), "of one resource")
	require.Equal(t, 200, send("192.0.2.1", "b", 10))
	require.Equal(t, 200, send("192.0.2.1", "c", 10))
	require.Equal(t, 503, send("192.0.2.1", "d", 10), "of one source")
	require.Equal(t, 503, send("192.0.2.2", "d", 980), "bytes")
	require.Equal(t, 200, send("127.0.0.1", "d", 10))
	require.Equal(t, 200, send("192.0.2.2", "e", 10))
	require.Equal(t, 503, send("192.0.2.2", "f", 10), "in all")
	tag := d.s.Current(sip.URI{Scheme: "sip", User: "e", Host: "voice.example"}, "presence")[0].ETag
	require.Equal(t, 503, d.send(append(document(strings.Repeat("x", 960)), match(tag), "URI: sip:e@voice.example")...).Code)
	require.Equal(t, 200, d.send(append(document("y"), match(tag), "URI: sip:e@voice.example")...).Code)
	require.Equal(t, int64(51), d.s.bytes)
}

// TestPublicationRace: requests of many devices at once, and the resource comes and goes.
func TestPublicationRace(t *testing.T) {
	d := newCounter(t, func(c *PublicationConfig) { c.Limits.PerPair = -1 })
	var wg sync.WaitGroup
	for range 8 {
		wg.Go(func() {
			for range 100 {
				tag := d.put("x")
				if st := d.send(match(tag), "Expires: 0"); st.Code != 200 {
					t.Errorf("remove: %v", st)
				}
			}
		})
	}
	wg.Wait()
	require.Zero(t, d.s.Len())
	require.Empty(t, d.s.resources)
	require.Len(t, d.owner.events(), 1600)
}

func TestRestorePublication(t *testing.T) {
	bubble(t, func(t *testing.T) {
		d := newCounter(t)
		tag := d.put("desk")
		saved := d.owner.latest().Changed
		pass(100 * time.Second)
		d2 := newCounter(t)
		stop := runUntilStop(t, d2.s.Run)
		require.NoError(t, d2.s.Restore(saved))
		require.Empty(t, d2.owner.events())
		require.Equal(t, 200, d2.send(match(tag)).Code)
		require.Equal(t, "192.0.2.9", d2.owner.latest().Changed.Source)
		pass(601 * time.Second)
		require.Equal(t, []string{"refreshed desk: desk", "expired desk: "}, d2.owner.events())
		require.ErrorIs(t, d2.s.Restore(saved), ErrExpired)
		stop()
		require.Equal(t, 503, d2.send(document("x")...).Code)
		saved.Expires = time.Now().Add(time.Hour)
		require.ErrorIs(t, d2.s.Restore(saved), ErrClosed)
		for _, change := range []func(*Publication){
			func(p *Publication) { p.Package = "x" }, func(p *Publication) { p.Resource = "x" },
			func(p *Publication) { p.ID = "" }, func(p *Publication) { p.ETag = "" },
		} {
			bad := saved
			change(&bad)
			require.ErrorIs(t, d.s.Restore(bad), ErrRecord)
		}
	})
}

func TestPublicationConfig(t *testing.T) {
	for _, cfg := range []PublicationConfig{
		{},
		{Packages: []PublicationPackage{{Name: "presence", Accept: []string{pidfType}}}},
		{Packages: []PublicationPackage{{Name: "presence", Owner: &fakeComposer{}}}},
	} {
		_, err := NewPublicationServer(cfg)
		require.ErrorIs(t, err, ErrConfig)
	}
}

// TestPublisherMachine is the whole table: what is not listed changes nothing.
func TestPublisherMachine(t *testing.T) {
	type key struct {
		s   PostState
		sig postSignal
	}
	type value struct {
		s PostState
		d postDeed
	}
	over := value{PostEnded, postForget}
	table := map[key]value{
		{PostUnknown, postStart}: {PostPublishing, postSend},

		{PostPublishing, postOK}:      {PostPublished, postPlan},
		{PostPublishing, postUnknown}: {PostPublishing, postAnew | postSend},
		{PostPublishing, postBrief}:   {PostPublishing, postSend},
		{PostPublishing, postUpdate}:  {PostPublishing, postSend},
		{PostPublishing, postRefused}: over,
		{PostPublishing, postFailed}:  {PostWaiting, postWait},
		{PostPublishing, postRemove}:  {PostRemoving, 0},

		{PostPublished, postOK}:      {PostPublished, postPlan},
		{PostPublished, postDue}:     {PostPublished, postSend},
		{PostPublished, postUpdate}:  {PostPublished, postSend},
		{PostPublished, postBrief}:   {PostPublished, postSend},
		{PostPublished, postUnknown}: {PostPublishing, postAnew | postSend},
		{PostPublished, postLapsed}:  {PostPublishing, postAnew | postSend},
		{PostPublished, postRefused}: over,
		{PostPublished, postFailed}:  {PostPublished, postWait},
		{PostPublished, postRemove}:  {PostRemoving, postSend},

		{PostWaiting, postDue}:    {PostPublishing, postSend},
		{PostWaiting, postRemove}: over,

		{PostRemoving, postOK}:      {PostRemoving, postSend},
		{PostRemoving, postUnknown}: over,
		{PostRemoving, postBrief}:   over,
		{PostRemoving, postRefused}: over,
		{PostRemoving, postFailed}:  over,
		{PostRemoving, postRemoved}: over,
	}
	for s := PostUnknown; s <= PostEnded; s++ {
		for sig := postStart; sig <= postLapsed; sig++ {
			t.Run(fmt.Sprint(s, " ", sig), func(t *testing.T) {
				want, ok := table[key{s, sig}]
				if !ok {
					want = value{s, 0}
				}
				next, deeds := advancePost(s, sig)
				require.Equal(t, want, value{next, deeds})
				require.Equal(t, next == PostEnded && s != PostEnded, deeds&postForget != 0)
			})
		}
	}
}

// fakePoster remembers what it is told.
type fakePoster struct {
	mu  sync.Mutex
	log []string
}

func (o *fakePoster) PostChanged(_ *Posting, s PostStatus) {
	o.mu.Lock()
	defer o.mu.Unlock()
	l := s.State.String()
	if s.Code != 0 {
		l += fmt.Sprint(" ", s.Code)
	}
	if s.ETag != "" {
		l += " " + s.ETag
	}
	o.log = append(o.log, l)
}

func (o *fakePoster) events() []string {
	o.mu.Lock()
	defer o.mu.Unlock()
	l := o.log
	o.log = nil
	return l
}

// esc answers PUBLISH like a server, with tags t1, t2 …
func esc(expires string) func(*sip.Request) (*sip.Response, error) {
	var mu sync.Mutex
	n := 0
	return func(req *sip.Request) (*sip.Response, error) {
		mu.Lock()
		defer mu.Unlock()
		if tag := sip.Value(req, "SIP-If-Match"); tag != "" && tag != fmt.Sprint("t", n) {
			return reply(req, sip.Status{Code: 412}), nil
		}
		n++
		return reply(req, sip.Status{Code: 200, Headers: []sip.Header{header("SIP-ETag", fmt.Sprint("t", n)), header("Expires", expires)}}), nil
	}
}

type press struct {
	t     *testing.T
	p     *Publisher
	net   *fakeSender
	owner *fakePoster
}

func newPress(t *testing.T, change ...func(*PublisherConfig)) *press {
	r := &press{t: t, net: &fakeSender{answer: esc("600")}, owner: &fakePoster{}}
	cfg := PublisherConfig{Sender: r.net}
	for _, f := range change {
		f(&cfg)
	}
	var err error
	r.p, err = NewPublisher(cfg)
	require.NoError(t, err)
	return r
}

func (r *press) options() PostOptions {
	mira := sip.URI{Scheme: "sip", User: "mira", Host: "chat.example"}
	return PostOptions{From: sip.NameAddr{URI: mira}, To: mira, Package: "presence", ContentType: pidfType, Body: []byte("1"), Owner: r.owner}
}

// line is what matters of a PUBLISH.
func line(r sentRequest) string {
	n, _ := sip.CSeq(r.Request)
	return strings.TrimSpace(fmt.Sprint(n, " ", r.value("Expires"), " ", r.value("SIP-If-Match"), " ", string(r.Body())))
}

func (r *press) sent() []string {
	var list []string
	for _, x := range r.net.requests() {
		list = append(list, line(x))
	}
	return list
}

func TestPostingLife(t *testing.T) {
	bubble(t, func(t *testing.T) {
		r := newPress(t)
		defer runUntilStop(t, r.p.Run)()
		x, err := r.p.Publish(r.options())
		require.NoError(t, err)
		pass(0)
		first := r.net.one(t)
		require.Equal(t, "1 3600  1", line(first))
		require.Equal(t, "sip:mira@chat.example", sip.RequestURI(first.Request).String())
		require.Empty(t, first.value("Contact"))
		require.Equal(t, "presence", first.value("Event"))
		require.Empty(t, sip.ToTag(first.Request))
		require.Equal(t, 600*time.Second, x.Status().Expires)

		start := time.Now()
		pass(541 * time.Second)
		list := r.net.requests()
		require.Len(t, list, 1)
		require.Equal(t, "2 3600 t1", line(list[0]), "a refresh has no document")
		require.Empty(t, sip.ContentType(list[0].Request))
		require.GreaterOrEqual(t, list[0].at.Sub(start), 510*time.Second)
		require.NoError(t, x.Update(pidfType, []byte("2")))
		pass(0)
		require.Equal(t, []string{"3 3600 t2 2"}, r.sent())
		x.Remove()
		pass(0)
		require.Equal(t, []string{"4 0 t3"}, r.sent())
		require.Equal(t, []string{"publishing", "published t1", "published t2", "published t3", "removing t3", "ended"}, r.owner.events())
		require.ErrorIs(t, x.Update(pidfType, []byte("3")), ErrEnded)
		x.Remove()
		pass(time.Hour)
		require.Empty(t, r.sent())
		require.Zero(t, r.p.count)
		require.Zero(t, r.p.alarms.len())
	})
}

// TestPostingOneAtATime: what changes while a PUBLISH is under way is sent after it, once.
func TestPostingOneAtATime(t *testing.T) {
	bubble(t, func(t *testing.T) {
		r := newPress(t)
		defer runUntilStop(t, r.p.Run)()
		answer := esc("600")
		r.net.script(func(req *sip.Request) (*sip.Response, error) {
			time.Sleep(5 * time.Second)
			return answer(req)
		})
		x, err := r.p.Publish(r.options())
		require.NoError(t, err)
		pass(time.Second)
		for i := range 3 {
			require.NoError(t, x.Update(pidfType, []byte(fmt.Sprint("u", i))))
		}
		pass(time.Second)
		require.Equal(t, []string{"1 3600  1"}, r.sent())
		pass(4 * time.Second)
		require.Equal(t, []string{"2 3600 t1 u2"}, r.sent())
		x.Remove()
		pass(4 * time.Second)
		require.Equal(t, []string{"3 0 t2"}, r.sent())
		pass(5 * time.Second)
		require.Equal(t, PostEnded, x.Status().State)
	})
}

func TestPostingAnswers(t *testing.T) {
	t.Run("412", func(t *testing.T) {
		bubble(t, func(t *testing.T) {
			r := newPress(t)
			defer runUntilStop(t, r.p.Run)()
			x, err := r.p.Publish(r.options())
			require.NoError(t, err)
			pass(0)
			r.net.script(esc("600")) // the server has restarted
			require.NoError(t, x.Update(pidfType, []byte("2")))
			pass(0)
			require.Equal(t, []string{"1 3600  1", "2 3600 t1 2", "3 3600  2"}, r.sent())
			require.Equal(t, []string{"publishing", "published t1", "publishing 412", "published t1"}, r.owner.events())

			r.net.script(esc("600")) // again, and a refresh shows it
			pass(541 * time.Second)
			require.Equal(t, []string{"4 3600 t1", "5 3600  2"}, r.sent())
		})
	})
	t.Run("412 to an initial one", func(t *testing.T) {
		bubble(t, func(t *testing.T) {
			r := newPress(t)
			defer runUntilStop(t, r.p.Run)()
			r.net.script(codes(412))
			x, err := r.p.Publish(r.options())
			require.NoError(t, err)
			pass(0)
			require.Equal(t, PostWaiting, x.Status().State)
			require.Len(t, r.sent(), 1)
		})
	})
	t.Run("tag of a former life", func(t *testing.T) {
		bubble(t, func(t *testing.T) {
			r := newPress(t)
			defer runUntilStop(t, r.p.Run)()
			o := r.options()
			o.ETag = "old"
			_, err := r.p.Publish(o)
			require.NoError(t, err)
			pass(0)
			require.Equal(t, []string{"1 3600 old 1", "2 3600  1"}, r.sent())
		})
	})
	t.Run("423", func(t *testing.T) {
		bubble(t, func(t *testing.T) {
			r := newPress(t)
			defer runUntilStop(t, r.p.Run)()
			answer := esc("900")
			r.net.script(func(req *sip.Request) (*sip.Response, error) {
				if sip.Value(req, "Expires") == "300" {
					return reply(req, sip.Status{Code: 423, Headers: []sip.Header{header("Min-Expires", "900")}}), nil
				}
				return answer(req)
			})
			o := r.options()
			o.Expires = 300 * time.Second
			x, err := r.p.Publish(o)
			require.NoError(t, err)
			pass(0)
			require.Equal(t, []string{"1 300  1", "2 900  1"}, r.sent())
			require.Equal(t, PostPublished, x.Status().State)

			r.net.script(status(sip.Status{Code: 423, Headers: []sip.Header{header("Min-Expires", "900")}}))
			x, err = r.p.Publish(o)
			require.NoError(t, err)
			pass(0)
			require.Equal(t, PostEnded, x.Status().State, "once only")
		})
	})
	t.Run("refused", func(t *testing.T) {
		for _, code := range []int{400, 401, 403, 404, 405, 415, 489, 501, 603} {
			bubble(t, func(t *testing.T) {
				r := newPress(t)
				defer runUntilStop(t, r.p.Run)()
				r.net.script(codes(code))
				x, err := r.p.Publish(r.options())
				require.NoError(t, err)
				pass(time.Hour)
				require.Equal(t, PostEnded, x.Status().State)
				require.Equal(t, code, x.Status().Code)
				require.Len(t, r.sent(), 1)
			})
		}
	})
	t.Run("not now", func(t *testing.T) {
		for name, answer := range map[string]func(*sip.Request) (*sip.Response, error){"503": codes(503), "silent": silent, "broken": broken} {
			bubble(t, func(t *testing.T) {
				r := newPress(t)
				defer runUntilStop(t, r.p.Run)()
				r.net.script(answer)
				x, err := r.p.Publish(r.options())
				require.NoError(t, err)
				pass(32 * time.Second)
				for x.Status().State != PostWaiting {
					pass(time.Second)
				}
				require.NoError(t, x.Update(pidfType, []byte("newer")))
				r.sent()
				r.net.script(esc("600"))
				pass(x.Status().Next + time.Second)
				list := r.sent()
				require.Len(t, list, 1, name)
				require.Contains(t, list[0], "newer")
				require.Equal(t, PostPublished, x.Status().State)
			})
		}
	})
	t.Run("a refresh that fails", func(t *testing.T) {
		bubble(t, func(t *testing.T) {
			r := newPress(t)
			defer runUntilStop(t, r.p.Run)()
			x, err := r.p.Publish(r.options())
			require.NoError(t, err)
			pass(time.Second)
			r.net.script(status(sip.Status{Code: 503, RetryAfter: time.Hour}))
			require.NoError(t, x.Update(pidfType, []byte("2")))
			pass(598 * time.Second)
			require.Equal(t, PostPublished, x.Status().State, "it is in force until it expires")
			r.net.script(esc("600"))
			r.sent()
			pass(2 * time.Second)
			require.Equal(t, []string{"3 3600  2"}, r.sent(), "then it is published anew")
		})
	})
	t.Run("server without tags", func(t *testing.T) {
		bubble(t, func(t *testing.T) {
			r := newPress(t)
			defer runUntilStop(t, r.p.Run)()
			r.net.script(codes(200))
			_, err := r.p.Publish(r.options())
			require.NoError(t, err)
			pass(55 * time.Minute)
			require.Equal(t, []string{"1 3600  1", "2 3600  1"}, r.sent())
		})
	})
	t.Run("removed while waiting, and before the answer", func(t *testing.T) {
		bubble(t, func(t *testing.T) {
			r := newPress(t)
			defer runUntilStop(t, r.p.Run)()
			r.net.script(codes(503))
			x, err := r.p.Publish(r.options())
			require.NoError(t, err)
			pass(0)
			x.Remove()
			require.Equal(t, PostEnded, x.Status().State)
			r.net.script(silent)
			x, err = r.p.Publish(r.options())
			require.NoError(t, err)
			pass(time.Second)
			x.Remove()
			pass(32 * time.Second)
			require.Equal(t, PostEnded, x.Status().State)
			require.Len(t, r.sent(), 2)
			require.Zero(t, r.p.count)
		})
	})
}

func TestPublisherConfig(t *testing.T) {
	_, err := NewPublisher(PublisherConfig{})
	require.ErrorIs(t, err, ErrConfig)
	bubble(t, func(t *testing.T) {
		r := newPress(t, func(c *PublisherConfig) {
			c.Node, c.Limits.Total = "n1", 1
			c.Route = func(_, to sip.URI) (Hop, error) {
				return Hop{Target: ua.Target{URI: sip.URI{Scheme: "sip", Host: "pres.example"}}}, nil
			}
		})
		stop := runUntilStop(t, r.p.Run)
		x, err := r.p.Publish(r.options())
		require.NoError(t, err)
		_, err = r.p.Publish(r.options())
		require.ErrorIs(t, err, ErrLimit)
		pass(0)
		req := r.net.one(t)
		require.Equal(t, "pres.example", req.target.URI.Host)
		require.True(t, strings.HasSuffix(sip.CallID(req.Request), "@n1"))
		require.ErrorIs(t, x.Update("", nil), ErrConfig)
		stop()
		_, err = r.p.Publish(r.options())
		require.ErrorIs(t, err, ErrClosed)
		for _, change := range []func(*PostOptions){
			func(o *PostOptions) { o.Owner = nil }, func(o *PostOptions) { o.Body = nil }, func(o *PostOptions) { o.ContentType = "" },
			func(o *PostOptions) { o.To = sip.URI{} }, func(o *PostOptions) { o.Package = "" }, func(o *PostOptions) { o.ETag = "a b" },
		} {
			o := r.options()
			change(&o)
			_, err := r.p.Publish(o)
			require.ErrorIs(t, err, ErrConfig)
		}
	})
}

// TestRemovedBeforeSent: what is not wanted any more when its turn comes is not sent.
func TestRemovedBeforeSent(t *testing.T) {
	bubble(t, func(t *testing.T) {
		r := newPress(t)
		x, err := r.p.Publish(r.options())
		require.NoError(t, err)
		x.Remove()
		st := newStation(t)
		w, err := st.s.Subscribe(st.options())
		require.NoError(t, err)
		w.Unsubscribe()
		defer runUntilStop(t, r.p.Run)()
		defer st.run()()
		pass(time.Hour)
		require.Empty(t, r.net.requests())
		require.Empty(t, st.net.requests())
		require.Equal(t, PostEnded, x.Status().State)
		require.Equal(t, WatchTerminated, w.Status().State)
		require.Zero(t, r.p.count)
		require.Zero(t, st.s.Len())
	})
}

func TestPostingRouteErrors(t *testing.T) {
	bubble(t, func(t *testing.T) {
		fail := fmt.Errorf("no such domain: %w", sip.Status{Code: 404})
		r := newPress(t, func(c *PublisherConfig) {
			c.Route = func(_, to sip.URI) (Hop, error) { return Hop{}, fail }
		})
		defer runUntilStop(t, r.p.Run)()
		x, err := r.p.Publish(r.options())
		require.NoError(t, err)
		pass(0)
		require.Equal(t, PostEnded, x.Status().State)
		require.Equal(t, 404, x.Status().Code)
		fail = errDisk
		x, err = r.p.Publish(r.options())
		require.NoError(t, err)
		pass(0)
		require.Equal(t, PostWaiting, x.Status().State)
		require.ErrorIs(t, x.Status().Err, errDisk)
	})
}
