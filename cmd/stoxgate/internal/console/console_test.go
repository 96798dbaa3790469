package console

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/rs/zerolog"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/stoxgate/stoxgate/interwork/journal"
)

// call sends one request to the handler; header is name, value, ….
func call(s *Server, method, path, body string, header ...string) *httptest.ResponseRecorder {
	r := httptest.NewRequest(method, path, strings.NewReader(body))
	r.Host = "localhost:8780"
	if body != "" {
		r.Header.Set("Content-Type", "application/json")
	}
	for i := 0; i+1 < len(header); i += 2 {
		if header[i] == "Host" {
			r.Host = header[i+1]
			continue
		}
		r.Header.Set(header[i], header[i+1])
	}
	w := httptest.NewRecorder()
	s.Handler().ServeHTTP(w, r)
	return w
}

func detail(t *testing.T, w *httptest.ResponseRecorder) string {
	t.Helper()
	assert.Equal(t, problemType, w.Header().Get("Content-Type"))
	var p Problem
	require.NoError(t, json.Unmarshal(w.Body.Bytes(), &p))
	assert.Equal(t, w.Code, p.Status)
	return p.Detail
}

func TestTokenIsNeededOffLoopback(t *testing.T) {
	_, err := New(Config{Listen: "0.0.0.0:8780", Sources: newGateway().sources()})
	require.ErrorIs(t, err, ErrOpen)
	for listen, loopback := range map[string]bool{
		"127.0.0.1:1": true, "[::1]:1": true, "localhost:1": true, "127.9.9.9:1": true, "[::ffff:127.0.0.1]:1": true,
		":1": false, "[::]:1": false, "192.0.2.1:1": false, "example.org:1": false, "localhost.example.org:1": false,
	} {
		assert.Equal(t, loopback, loopbackAddress(listen), listen)
	}
}

func TestAuthorization(t *testing.T) {
	s := newServer(t, newGateway(), testToken)
	basic := func(password string) string {
		r := httptest.NewRequest("GET", "/", nil)
		r.SetBasicAuth("anybody", password)
		return r.Header.Get("Authorization")
	}
	for _, tc := range []struct {
		path, authorization string
		want                int
	}{
		{"/healthz", "", 200},
		{"/readyz", "", 401},
		{"/metrics", "", 401},
		{"/", "", 401},
		{"/api/v1/status", "", 401},
		{"/static/page.js", "", 401},
		{"/nowhere", "", 401},
		{"/api/v1/status", "Bearer " + testToken, 200},
		{"/api/v1/status", "bearer  " + testToken, 200},
		{"/api/v1/status", "Bearer " + testToken + "x", 401},
		{"/api/v1/status", "Bearer", 401},
		{"/api/v1/status", "Token " + testToken, 401},
		{"/api/v1/status", basic(testToken), 200},
		{"/api/v1/status", basic("wrong"), 401},
		{"/api/v1/status", "Basic ???", 401},
		{"/nowhere", "Bearer " + testToken, 404},
	} {
		w := call(s, "GET", tc.path, "", "Authorization", tc.authorization, "Host", "gateway.example:8780")
		assert.Equal(t, tc.want, w.Code, "%s with %q", tc.path, tc.authorization)
		if tc.want == 401 {
			assert.Contains(t, w.Header().Get("WWW-Authenticate"), "Bearer")
			assert.Contains(t, detail(t, w), "http.token")
		}
	}
}

// Without a token a page on another site must not reach the console, neither
// through its own name for 127.0.0.1 nor by a form.
func TestLoopbackIsNotOpenToWebPages(t *testing.T) {
	s := newServer(t, newGateway(), "")
	assert.Equal(t, 421, call(s, "GET", "/api/v1/status", "", "Host", "rebound.example:8780").Code)
	assert.Equal(t, 200, call(s, "GET", "/api/v1/status", "", "Host", "[::1]:8780").Code)
	assert.Equal(t, 200, call(s, "GET", "/healthz", "", "Host", "anything").Code)
	w := call(s, "POST", "/api/v1/identities", `{"jid":"a@b"}`, "Sec-Fetch-Site", "cross-site")
	assert.Equal(t, 403, w.Code)
	assert.Contains(t, detail(t, w), "another site")
	assert.Equal(t, 403, call(s, "DELETE", "/api/v1/identities/x", "", "Origin", "https://evil.example").Code)
	assert.Equal(t, 201, call(s, "POST", "/api/v1/identities", `{"jid":"a@b"}`, "Origin", "http://localhost:8780").Code)
}

func TestHealthAndReadiness(t *testing.T) {
	g := newGateway()
	s := newServer(t, g, "")
	w := call(s, "GET", "/healthz", "")
	assert.Equal(t, "ok\n", w.Body.String())
	w = call(s, "GET", "/readyz", "")
	assert.Equal(t, 200, w.Code)
	assert.JSONEq(t, `{"ready":true,"xmpp":"ok","sip":"ok","store":"ok"}`, w.Body.String())

	g.set(func(r *Report) {
		r.XMPP.Up, r.XMPP.Error = false, "connection refused"
		r.SIP[0].Up = false
		r.Store = Store{Error: "disk full"}
	})
	w = call(s, "GET", "/readyz", "")
	assert.Equal(t, 503, w.Code)
	assert.JSONEq(t, `{"ready":false,"xmpp":"no connection to 127.0.0.1:5347: connection refused",
		"sip":"udp://127.0.0.1:5060 is not open","store":"cannot be written: disk full"}`, w.Body.String())
	g.set(func(r *Report) { r.SIP = nil })
	assert.Contains(t, call(s, "GET", "/readyz", "").Body.String(), "no listener")
	assert.Contains(t, call(s, "GET", "/api/v1/status", "").Body.String(), `"sip":[]`)
	assert.Equal(t, 200, call(s, "GET", "/healthz", "").Code)
	assert.Contains(t, call(s, "GET", "/metrics", "").Body.String(), "stoxgate_test_total 0")
}

func TestIdentities(t *testing.T) {
	g := newGateway()
	s := newServer(t, g, "")
	w := call(s, "POST", "/api/v1/identities", `{"jid":"mira@chat.example","aors":["sip:mira@sip.example.org"],"password":"geheim"}`)
	require.Equal(t, 201, w.Code, w.Body)
	assert.Equal(t, "/api/v1/identities/id1", w.Header().Get("Location"))
	assert.JSONEq(t, `{"id":"id1","jid":"mira@chat.example","aors":["sip:mira@sip.example.org"],"numbers":[],
		"logins":["mira@sip.example.org"],"call_out":true,"call_in":true,"show_caller_id":true}`, w.Body.String())

	w = call(s, "POST", "/api/v1/identities", `{"jid":"mira@chat.example"}`)
	assert.Equal(t, 409, w.Code)
	assert.Contains(t, detail(t, w), "belongs to another identity")
	assert.Equal(t, 422, call(s, "POST", "/api/v1/identities", `{}`).Code)
	for body, want := range map[string]string{
		`{"jid":1}`:                      "cannot unmarshal",
		`{"jdi":"a@b"}`:                  `unknown field \"jdi\"`,
		`{"jid":"a@b"} {}`:               "more than one JSON value",
		`{`:                              "unexpected EOF",
		`{"name":"` + big(70_000) + `"}`: "request body too large",
	} {
		w := call(s, "POST", "/api/v1/identities", body)
		assert.Contains(t, []int{400, 413}, w.Code)
		assert.Contains(t, w.Body.String(), want)
	}
	assert.Equal(t, 415, call(s, "POST", "/api/v1/identities", "jid=a", "Content-Type", "application/x-www-form-urlencoded").Code)

	assert.Equal(t, 200, call(s, "GET", "/api/v1/identities/id1", "").Code)
	assert.Equal(t, 200, call(s, "GET", "/api/v1/identities/sip:mira@sip.example.org", "").Code)
	assert.Equal(t, 404, call(s, "GET", "/api/v1/identities/nobody", "").Code)
	w = call(s, "PUT", "/api/v1/identities/id1", `{"jid":"mira@chat.example","call_out":false}`)
	assert.Contains(t, w.Body.String(), `"call_out":false`)
	assert.Equal(t, 404, call(s, "PUT", "/api/v1/identities/nobody", `{}`).Code)
	assert.Equal(t, 400, call(s, "PUT", "/api/v1/identities/id1", `[]`).Code)

	for _, jid := range []string{"b@x", "c@x", "d@x"} {
		require.Equal(t, 201, call(s, "POST", "/api/v1/identities", `{"jid":"`+jid+`"}`).Code)
	}
	var page IdentityPage
	require.NoError(t, json.Unmarshal(call(s, "GET", "/api/v1/identities?limit=2&search=@x", "").Body.Bytes(), &page))
	assert.Equal(t, "id3", page.Next, "more than two are left")
	assert.Equal(t, 4, page.Total)
	require.NoError(t, json.Unmarshal(call(s, "GET", "/api/v1/identities?limit=2&after=id3", "").Body.Bytes(), &page))
	assert.Equal(t, "d@x", page.Identities[0].JID)
	assert.Contains(t, call(s, "GET", "/api/v1/identities?search=nothing", "").Body.String(), `"identities":[]`)
	assert.Equal(t, 400, call(s, "GET", "/api/v1/identities?limit=0", "").Code)

	w = call(s, "DELETE", "/api/v1/identities/id1", "")
	assert.Equal(t, 204, w.Code)
	assert.Empty(t, w.Body.String())
	assert.Equal(t, 404, call(s, "DELETE", "/api/v1/identities/id1", "").Code)
	assert.Equal(t, 405, call(s, "PATCH", "/api/v1/identities/id2", "").Code)
}

func big(n int) string { return strings.Repeat("x", n) }

func TestIdentitiesCSV(t *testing.T) {
	g := newGateway()
	s := newServer(t, g, "")
	w := call(s, "POST", "/api/v1/identities.csv?dry_run=true", "a@x\n", "Content-Type", "text/csv")
	assert.JSONEq(t, `{"added":1,"updated":0,"unchanged":0}`, w.Body.String())
	assert.Equal(t, 400, call(s, "POST", "/api/v1/identities.csv?dry_run=perhaps", "a@x\n", "Content-Type", "text/csv").Code)
	w = call(s, "POST", "/api/v1/identities.csv", "a@x\nb@x\n", "Content-Type", "text/csv; charset=utf-8")
	assert.JSONEq(t, `{"added":2,"updated":0,"unchanged":0}`, w.Body.String())
	w = call(s, "GET", "/api/v1/identities.csv", "")
	assert.Equal(t, "a@x\nb@x\n", w.Body.String())
	assert.Contains(t, w.Header().Get("Content-Type"), "text/csv")
	assert.Equal(t, 409, call(s, "POST", "/api/v1/identities.csv", "a@x\n", "Content-Type", "text/csv").Code)
	assert.Equal(t, 422, call(s, "POST", "/api/v1/identities.csv", "a,b\nc\n", "Content-Type", "text/csv").Code)
	assert.Equal(t, 415, call(s, "POST", "/api/v1/identities.csv", "a@x").Code)
	w = call(s, "POST", "/api/v1/identities.csv", big(100_000), "Content-Type", "text/csv")
	assert.Equal(t, 200, w.Code, "the import has a bound of its own")
	g.broken = errors.New("disk full")
	assert.PanicsWithError(t, http.ErrAbortHandler.Error(), func() { call(s, "GET", "/api/v1/identities.csv", "") })
}

func TestListsAndFailures(t *testing.T) {
	g := newGateway()
	s := newServer(t, g, "")
	assert.Contains(t, call(s, "GET", "/api/v1/registrations", "").Body.String(), `"contact":"sip:otto@192.0.2.7:5060"`)
	assert.Contains(t, call(s, "GET", "/api/v1/trunks", "").Body.String(), `"name":"carrier"`)
	assert.JSONEq(t, `{"pending":3,"queued":1,"oldest":"2026-11-20T12:00:00Z"}`, call(s, "GET", "/api/v1/outbox", "").Body.String())
	assert.Contains(t, call(s, "GET", "/api/v1/outbox/entries?after=1&limit=1", "").Body.String(), `[{"seq":2,`)
	assert.Equal(t, "[]\n", call(s, "GET", "/api/v1/outbox/entries?after=9", "").Body.String())
	for _, query := range []string{"after=x", "after=-1", "limit=0", "limit=10001"} {
		assert.Equal(t, 400, call(s, "GET", "/api/v1/outbox/entries?"+query, "").Code, query)
	}
	g.broken = errors.New("disk full")
	for _, path := range []string{"registrations", "trunks", "outbox", "outbox/entries"} {
		w := call(s, "GET", "/api/v1/"+path, "")
		assert.Equal(t, 500, w.Code)
		assert.Equal(t, "disk full", detail(t, w))
	}
	page := call(s, "GET", "/", "")
	assert.Equal(t, 200, page.Code)
	assert.Contains(t, page.Body.String(), "outbox: disk full")
}

func TestLogLevel(t *testing.T) {
	g := newGateway()
	s := newServer(t, g, "")
	assert.JSONEq(t, `{"level":"info"}`, call(s, "GET", "/api/v1/log", "").Body.String())
	assert.JSONEq(t, `{"level":"debug"}`, call(s, "PUT", "/api/v1/log", `{"level":"debug"}`).Body.String())
	assert.Equal(t, "debug", g.Level())
	assert.Equal(t, 422, call(s, "PUT", "/api/v1/log", `{"level":"loud"}`).Code)
	assert.Equal(t, 400, call(s, "PUT", "/api/v1/log", `{}{}`).Code)
}

func TestFlowsAndLadders(t *testing.T) {
	g := newGateway()
	s := newServer(t, g, "")
	assert.Equal(t, "[]\n", call(s, "GET", "/api/v1/flows", "").Body.String())
	g.message("m-1")
	g.message("m-2")
	w := call(s, "GET", "/api/v1/flows?limit=1", "")
	assert.Contains(t, w.Body.String(), `[{"id":"m-2"`)
	assert.Contains(t, w.Body.String(), `"summary":"message <chat>"`, "JSON is not escaped for HTML")
	w = call(s, "GET", "/api/v1/flows/m-1", "")
	var rows []journal.Row
	require.NoError(t, json.Unmarshal(w.Body.Bytes(), &rows))
	require.Len(t, rows, 2)
	assert.Equal(t, "MESSAGE", rows[1].Summary)

	w = call(s, "GET", "/api/v1/flows/m-1/ladder.txt?width=80&ascii=true", "")
	assert.Contains(t, w.Body.String(), "message <chat>")
	assert.NotContains(t, w.Body.String(), "─")
	w = call(s, "GET", "/api/v1/flows/m-1/ladder.svg", "")
	assert.Equal(t, "image/svg+xml", w.Header().Get("Content-Type"))
	assert.Contains(t, w.Body.String(), "message &lt;chat&gt;")
	for path, want := range map[string]int{
		"flows/x": 404, "flows/x/ladder.svg": 404, "flows/x/ladder.txt": 404, "flows?limit=x": 400, "journal?limit=0": 400,
		"flows/m-1/ladder.txt?width=1": 400, "flows/m-1/ladder.txt?ascii=maybe": 400,
		"journal/live?raw=x": 400, "journal/live?recent=-1": 400,
	} {
		assert.Equal(t, want, call(s, "GET", "/api/v1/"+path, "").Code, path)
	}
	assert.Equal(t, 400, call(s, "GET", "/api/v1/journal/live", "", "Last-Event-ID", "x").Code)
	require.NoError(t, json.Unmarshal(call(s, "GET", "/api/v1/journal?limit=3", "").Body.Bytes(), &rows))
	assert.Len(t, rows, 3)
}

func TestPage(t *testing.T) {
	g := newGateway()
	s := newServer(t, g, "")
	assert.Contains(t, call(s, "GET", "/", "").Body.String(), "Nothing has happened yet")
	g.message(`m-"><script>alert(1)</script>`)
	g.set(func(r *Report) {
		r.Warnings = []string{"<b>careful</b>"}
		r.XMPP.Up, r.XMPP.Error = false, "refused"
	})
	w := call(s, "GET", "/", "")
	assert.Equal(t, "text/html; charset=utf-8", w.Header().Get("Content-Type"))
	assert.Contains(t, w.Header().Get("Content-Security-Policy"), "default-src 'none'")
	for _, want := range []string{"message &lt;chat&gt;", "&lt;b&gt;careful", "not connected", "refused", "carrier", "sip.example.org"} {
		assert.Contains(t, w.Body.String(), want)
	}
	assert.NotContains(t, w.Body.String(), "<script>alert")
	w = call(s, "GET", "/overview", "")
	assert.Contains(t, w.Body.String(), "message &lt;chat&gt;")
	assert.NotContains(t, w.Body.String(), "<html")
	for file, media := range map[string]string{"page.js": "text/javascript", "style.css": "text/css", "icon.svg": "image/svg+xml"} {
		w := call(s, "GET", "/static/"+file, "")
		assert.Contains(t, w.Header().Get("Content-Type"), media)
		assert.NotEmpty(t, w.Body.String())
		assert.NotContains(t, w.Body.String(), "https://", "nothing from outside")
	}
	assert.Equal(t, 404, call(s, "GET", "/static/index.html", "").Code)
	assert.Equal(t, 404, call(s, "GET", "/static/..%2fpage.go", "").Code)
	assert.Equal(t, 404, call(s, "GET", "/nowhere", "").Code)
}

func TestPanicIsAnswered(t *testing.T) {
	g := newGateway()
	s := newServer(t, g, "")
	s.cfg.Sources.Trunks = nil
	w := call(s, "GET", "/api/v1/trunks", "")
	assert.Equal(t, 500, w.Code)
	assert.Contains(t, detail(t, w), "the log has the particulars")
}

func TestLiveStream(t *testing.T) {
	g := newGateway()
	g.message("m-1")
	s, _ := start(t, g, testToken)
	get := func(ctx context.Context, query string, header ...string) *http.Response {
		req, err := http.NewRequestWithContext(ctx, "GET", "http://"+s.Addr().String()+"/api/v1/journal/live"+query, nil)
		require.NoError(t, err)
		req.Header.Set("Authorization", "Bearer "+testToken)
		for i := 0; i+1 < len(header); i += 2 {
			req.Header.Set(header[i], header[i+1])
		}
		tr := &http.Transport{}
		t.Cleanup(tr.CloseIdleConnections)
		res, err := tr.RoundTrip(req)
		require.NoError(t, err)
		return res
	}
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	res := get(ctx, "", "Last-Event-ID", "1")
	defer res.Body.Close()
	assert.Equal(t, "text/event-stream", res.Header.Get("Content-Type"))
	lines := bufio.NewScanner(res.Body)
	next := func() string {
		require.True(t, lines.Scan(), lines.Err())
		return lines.Text()
	}
	assert.Equal(t, "retry: 2000", next())
	assert.Empty(t, next())
	assert.Equal(t, "event: entry", next())
	assert.Equal(t, "id: 2", next())
	assert.Contains(t, next(), `data: {"seq":2,`)
	assert.Empty(t, next())
	g.message("m-2")
	assert.Equal(t, "event: entry", next())
	assert.Equal(t, "id: 3", next())
}

func TestClient(t *testing.T) {
	g := newGateway()
	s, c := start(t, g, testToken)
	ctx := t.Context()
	require.NoError(t, c.Alive(ctx))
	report, err := c.Status(ctx)
	require.NoError(t, err)
	assert.True(t, report.Ready)

	added, err := c.Add(ctx, IdentityInput{JID: "mira@chat.example", AORs: []string{"sip:mira@sip.example.org"}})
	require.NoError(t, err)
	_, err = c.Add(ctx, IdentityInput{JID: "mira@chat.example"})
	require.ErrorIs(t, err, ErrConflict)
	require.EqualError(t, err, "conflict: mira@chat.example belongs to another identity")
	_, err = c.Add(ctx, IdentityInput{})
	require.ErrorIs(t, err, ErrInvalid)
	got, err := c.Get(ctx, "mira@chat.example")
	require.NoError(t, err)
	assert.Equal(t, added, got)
	_, err = c.Get(ctx, "a/b?c")
	require.ErrorIs(t, err, ErrNotFound)
	_, err = c.Update(ctx, added.ID, IdentityInput{JID: "mira@chat.example", Name: "Mira"})
	require.NoError(t, err)
	page, err := c.List(ctx, IdentityQuery{Search: "Mira", Limit: 10, After: "a"})
	require.NoError(t, err)
	require.Len(t, page.Identities, 1)
	result, err := c.Import(ctx, strings.NewReader("otto@x\n"), false)
	require.NoError(t, err)
	assert.Equal(t, ImportResult{Added: 1}, result)
	var csv strings.Builder
	require.NoError(t, c.Export(ctx, &csv))
	assert.Equal(t, "mira@chat.example\notto@x\n", csv.String())
	require.NoError(t, c.Remove(ctx, added.ID))

	g.message("m-1")
	entries, err := c.Flow(ctx, "m-1")
	require.NoError(t, err)
	assert.Len(t, entries, 2)
	flows, err := c.Flows(ctx, 5)
	require.NoError(t, err)
	assert.Equal(t, "m-1", flows[0].ID)

	stranger := NewClient(s.Addr().String(), "wrong")
	defer stranger.Close()
	require.ErrorIs(t, stranger.Remove(ctx, "x"), ErrUnauthorized)
	require.NoError(t, stranger.Alive(ctx))
	nobody := NewClient("127.0.0.1:1", "")
	defer nobody.Close()
	require.ErrorIs(t, nobody.Alive(ctx), ErrUnreachable)
}

func TestClientFollows(t *testing.T) {
	g := newGateway()
	g.message("m-1")
	_, c := start(t, g, "")
	ctx, cancel := context.WithCancel(t.Context())
	var got []string
	err := c.Follow(ctx, Following{Recent: 1, Raw: true}, func(e journal.Entry) {
		got = append(got, e.Summary+string(e.Message))
		switch len(got) {
		case 1:
			g.message("m-2")
		case 3:
			cancel()
		}
	}, nil)
	require.ErrorIs(t, err, context.Canceled)
	assert.Equal(t, []string{"MESSAGE", "message <chat><message><body>[5 bytes]</body></message>", "MESSAGE"}, got)
}

func TestStreamEndsWithTheConsole(t *testing.T) {
	g := newGateway()
	s := newServer(t, g, "")
	require.NoError(t, s.Listen())
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan error, 1)
	go func() { done <- s.Run(ctx) }()
	c := NewClient(s.Addr().String(), "")
	defer c.Close()
	g.message("m-1")
	began := time.Now()
	require.NoError(t, c.Follow(t.Context(), Following{Recent: 1}, func(journal.Entry) { cancel() }, nil))
	require.NoError(t, <-done)
	assert.Less(t, time.Since(began), stopTimeout, "shutdown does not wait for streams")
}

func TestListenFails(t *testing.T) {
	a := newServer(t, newGateway(), "")
	require.NoError(t, a.Listen())
	defer a.listener.Close()
	b, err := New(Config{Listen: a.Addr().String(), Sources: newGateway().sources(), Log: zerolog.Nop()})
	require.NoError(t, err)
	defer b.endStream()
	assert.Nil(t, b.Addr())
	require.ErrorContains(t, b.Listen(), "address already in use")
	require.NoError(t, a.listener.Close())
	require.Error(t, a.Run(t.Context()), "the listener is gone")
}

func TestFormat(t *testing.T) {
	for d, want := range map[time.Duration]string{
		-time.Second: "0 s", 59 * time.Second: "59 s", 61 * time.Second: "1 min", 3*time.Hour + 5*time.Minute: "3 h 5 min", 49 * time.Hour: "2 days",
	} {
		assert.Equal(t, want, ago(d))
	}
	assert.Equal(t, "1 pair", plural(1, "pair", "pairs"))
	assert.Equal(t, "0 pairs", plural(0, "pair", "pairs"))
	for n, want := range map[int]string{5: "5 B", 2048: "2.0 KiB", 3 << 20: "3.0 MiB"} {
		assert.Equal(t, want, size(n))
	}
}

func FuzzReadEvents(f *testing.F) {
	f.Add("event: entry\nid: 1\ndata: {}\n\n: still here\n\nretry: 1\n\n")
	f.Fuzz(func(t *testing.T, stream string) {
		_ = readEvents(strings.NewReader(stream), func(string, string) error { return nil })
	})
}

func TestWatchers(t *testing.T) {
	s := newServer(t, newGateway(), "")
	w := call(s, "GET", "/api/v1/watchers?aor=sip:otto@sip.example.org", "")
	assert.Equal(t, 200, w.Code)
	assert.JSONEq(t, `[{"jid":"mira@chat.example","aor":"sip:otto@sip.example.org","watch":"asked","watch_since":"2026-11-20T12:00:00Z","share":"none"}]`, w.Body.String())
	assert.Equal(t, 422, call(s, "GET", "/api/v1/watchers", "").Code)
	assert.Equal(t, 204, call(s, "POST", "/api/v1/watchers", `{"jid":"mira@chat.example","aor":"sip:otto@sip.example.org","decision":"grant"}`).Code)
	assert.Equal(t, 404, call(s, "POST", "/api/v1/watchers", `{"jid":"mira@chat.example","aor":"sip:nora@sip.example.org","decision":"grant"}`).Code)
	assert.Equal(t, 400, call(s, "POST", "/api/v1/watchers", `[]`).Code)
}
