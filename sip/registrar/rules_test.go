package registrar

import (
	"fmt"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"
)

// TestSingleRequests is one REGISTER at an empty registrar each.
func TestSingleRequests(t *testing.T) {
	const uuid = "urn:uuid:f81d4fae-7dec-11d0-a765-00a0c91e6bf6"
	for _, tc := range []struct {
		name     string
		lines    []string
		code     int
		contacts []string
		header   string // one more header of the answer …
		values   []string
	}{
		{"default expiry", []string{"Contact: <sip:otto@192.0.2.9>"}, 200, []string{"<sip:otto@192.0.2.9>;expires=3600"}, "", nil},
		{"expires header", []string{"Contact: <sip:otto@192.0.2.9>", "Expires: 300"}, 200, []string{"<sip:otto@192.0.2.9>;expires=300"}, "", nil},
		{"expires parameter first", []string{"Contact: <sip:otto@192.0.2.9>;expires=120", "Expires: 300"}, 200, []string{"<sip:otto@192.0.2.9>;expires=120"}, "", nil},
		{"expires too long", []string{"Contact: <sip:otto@192.0.2.9>", "Expires: 90000"}, 200, []string{"<sip:otto@192.0.2.9>;expires=7200"}, "", nil},
		{"expires beyond 32 bits", []string{"Contact: <sip:otto@192.0.2.9>", "Expires: 99999999999"}, 200, []string{"<sip:otto@192.0.2.9>;expires=7200"}, "", nil},
		{"expires unreadable", []string{"Contact: <sip:otto@192.0.2.9>;expires=soon"}, 200, []string{"<sip:otto@192.0.2.9>;expires=3600"}, "", nil},
		{"expires too short", []string{"Contact: <sip:otto@192.0.2.9>", "Expires: 59"}, 423, nil, "Min-Expires", []string{"60"}},
		{"one of two too short", []string{"Contact: <sip:a@192.0.2.9>, <sip:b@192.0.2.9>;expires=5"}, 423, nil, "Min-Expires", []string{"60"}},
		{"addr-spec form", []string{"Contact: sip:otto@192.0.2.9;expires=120"}, 200, []string{"<sip:otto@192.0.2.9>;expires=120"}, "", nil},
		{"nothing to remove", []string{"Contact: <sip:otto@192.0.2.9>", "Expires: 0"}, 200, nil, "", nil},
		{
			"q",
			[]string{"Contact: <sip:a@192.0.2.9>;q=0.3, <sip:b@192.0.2.9>;q=0.75", "Contact: <sip:c@192.0.2.9>;q=9"},
			200,
			[]string{"<sip:c@192.0.2.9>;expires=3600", "<sip:b@192.0.2.9>;expires=3600;q=0.75", "<sip:a@192.0.2.9>;expires=3600;q=0.3"},
			"", nil,
		},
		{
			"feature tags stay",
			[]string{`Contact: <sip:otto@192.0.2.9>;audio;methods="INVITE,MESSAGE"`},
			200,
			[]string{`<sip:otto@192.0.2.9>;audio;methods="INVITE,MESSAGE";expires=3600`},
			"", nil,
		},
		{"same contact twice", []string{"Contact: <sip:a@192.0.2.9>;q=0.1, <sip:a@192.0.2.9>;q=0.2"}, 200, []string{"<sip:a@192.0.2.9>;expires=3600;q=0.2"}, "", nil},
		{"query", nil, 200, nil, "", nil},
		{"wildcard at nothing", []string{"Contact: *", "Expires: 0"}, 200, nil, "", nil},
		{"wildcard without expires", []string{"Contact: *"}, 400, nil, "", nil},
		{"wildcard with time", []string{"Contact: *", "Expires: 60"}, 400, nil, "", nil},
		{"wildcard and more", []string{"Contact: *", "Contact: <sip:a@192.0.2.9>", "Expires: 0"}, 400, nil, "", nil},
		{"unreadable contact", []string{"Contact: <sip:a@192.0.2.9"}, 400, nil, "", nil},
		{"mail contact", []string{"Contact: <mailto:a@192.0.2.9>"}, 400, nil, "", nil},
		{"contact with headers", []string{"Contact: <sip:a@192.0.2.9?Subject=x>"}, 400, nil, "", nil},
		{"contact is an aor of ours", []string{"Contact: <sip:mira@sip.example.org>"}, 403, nil, "", nil},
		{"long instance", []string{fmt.Sprintf(`Contact: <sip:a@192.0.2.9>;+sip.instance="<urn:%0200d>"`, 1)}, 400, nil, "", nil},
		{"other domain", []string{"To: <sip:otto@elsewhere.example>", "Contact: <sip:a@192.0.2.9>"}, 404, nil, "", nil},
		{"other request-uri", []string{"URI: sip:elsewhere.example", "Contact: <sip:a@192.0.2.9>"}, 404, nil, "", nil},
		{"request-uri is our address", []string{"URI: sip:192.0.2.1:5060", "Contact: <sip:a@192.0.2.9>"}, 200, []string{"<sip:a@192.0.2.9>;expires=3600"}, "", nil},
		{"no user", []string{"To: <sip:sip.example.org>", "Contact: <sip:a@192.0.2.9>"}, 404, nil, "", nil},
		{"tel", []string{"To: <tel:+4930123>", "Contact: <sip:a@192.0.2.9>"}, 404, nil, "", nil},
		{"sips", []string{"To: <sips:otto@sip.example.org>", "Contact: <sip:a@192.0.2.9>"}, 416, nil, "", nil},
		{"gruu as aor", []string{"To: <sip:otto@sip.example.org;gr=x>", "Contact: <sip:a@192.0.2.9>"}, 403, nil, "", nil},
		{"unknown extension", []string{"Require: path, teleport", "Contact: <sip:a@192.0.2.9>"}, 420, nil, "Unsupported", []string{"teleport"}},

		{
			"path",
			[]string{"Supported: path", "Path: <sip:edge.example.net;lr>, <sip:10.0.0.1;lr>", "Contact: <sip:a@192.0.2.9>"},
			200,
			[]string{"<sip:a@192.0.2.9>;expires=3600"},
			"Path",
			[]string{"<sip:edge.example.net;lr>", "<sip:10.0.0.1;lr>"},
		},
		{"path unasked", []string{"Path: <sip:edge.example.net;lr>", "Contact: <sip:a@192.0.2.9>"}, 420, nil, "Unsupported", []string{"path"}},
		{"path unreadable", []string{"Supported: path", "Path: <sip:edge", "Contact: <sip:a@192.0.2.9>"}, 400, nil, "", nil},
		{"path of another scheme", []string{"Supported: path", "Path: <tel:1>", "Contact: <sip:a@192.0.2.9>"}, 400, nil, "", nil},

		{
			"gruu",
			[]string{"Supported: gruu", `Contact: <sip:a@192.0.2.9>;+sip.instance="<` + uuid + `>"`},
			200,
			[]string{`<sip:a@192.0.2.9>;expires=3600;+sip.instance="<` + uuid + `>";pub-gruu="sip:otto@sip.example.org;gr=` + uuid + `"`},
			"Supported",
			[]string{"gruu"},
		},
		{
			"gruu not asked",
			[]string{`Contact: <sip:a@192.0.2.9>;+sip.instance="<` + uuid + `>";pub-gruu="sip:mallory@x"`},
			200,
			[]string{`<sip:a@192.0.2.9>;expires=3600;+sip.instance="<` + uuid + `>"`},
			"Supported", nil,
		},
		{
			"outbound",
			[]string{"Supported: outbound", `Contact: <sip:a@192.0.2.9>;reg-id=1;+sip.instance="<` + uuid + `>"`},
			200,
			[]string{`<sip:a@192.0.2.9>;expires=3600;+sip.instance="<` + uuid + `>";reg-id=1`},
			"Require",
			[]string{"outbound"},
		},
		{
			"outbound not supported by the phone",
			[]string{`Contact: <sip:a@192.0.2.9>;reg-id=1;+sip.instance="<` + uuid + `>"`},
			200,
			[]string{`<sip:a@192.0.2.9>;expires=3600;+sip.instance="<` + uuid + `>"`},
			"Require", nil,
		},
		{
			"reg-id without instance",
			[]string{"Supported: outbound", "Contact: <sip:a@192.0.2.9>;reg-id=1"},
			200,
			[]string{"<sip:a@192.0.2.9>;expires=3600"},
			"Require", nil,
		},
		{
			"bad reg-id",
			[]string{"Supported: outbound", `Contact: <sip:a@192.0.2.9>;reg-id=0;+sip.instance="<` + uuid + `>"`},
			200,
			[]string{`<sip:a@192.0.2.9>;expires=3600;+sip.instance="<` + uuid + `>"`},
			"Require", nil,
		},
		{"two flows", []string{"Supported: outbound", `Contact: <sip:a@192.0.2.9>;reg-id=1;+sip.instance="<urn:a>", <sip:b@192.0.2.9>;reg-id=2;+sip.instance="<urn:a>"`}, 400, nil, "", nil},
		{"outbound behind a proxy that cannot", []string{
			"Via: SIP/2.0/UDP 192.0.2.77;branch=z9hG4bK2", "Supported: outbound, path", "Path: <sip:edge.example.net;lr>",
			`Contact: <sip:a@192.0.2.9>;reg-id=1;+sip.instance="<` + uuid + `>"`,
		}, 439, nil, "", nil},
		{
			"outbound behind an edge",
			[]string{
				"Via: SIP/2.0/UDP 192.0.2.77;branch=z9hG4bK2", "Supported: outbound, path", "Path: <sip:token@edge.example.net;lr;ob>",
				`Contact: <sip:a@192.0.2.9>;reg-id=1;+sip.instance="<` + uuid + `>"`,
			},
			200,
			[]string{`<sip:a@192.0.2.9>;expires=3600;+sip.instance="<` + uuid + `>";reg-id=1`},
			"Path",
			[]string{"<sip:token@edge.example.net;lr;ob>"},
		},
	} {
		t.Run(tc.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				r, stop := newRegistrar(t, testConfig())
				s := submit(r, register(t, tc.lines...), udpPhone)
				require.Equal(t, tc.code, s.Code, s.Error())
				require.Equal(t, tc.contacts, contactsOf(s))
				if tc.header != "" {
					require.Equal(t, tc.values, valuesOf(s, tc.header))
				}
				require.Len(t, r.Lookup(otto), len(tc.contacts))
				if tc.code == 200 {
					require.Equal(t, []string{time.Now().UTC().Format("Mon, 02 Jan 2006 15:04:05 GMT")}, valuesOf(s, "Date"))
				}
				stop()
			})
		})
	}
}

// step is one REGISTER of a sequence and what is registered after it.
type step struct {
	lines []string
	code  int
	left  []string
	wait  time.Duration // after it
}

func TestSequences(t *testing.T) {
	const a, b = "sip:a@192.0.2.9", "sip:b@192.0.2.9"
	many := func(n int) []string {
		var lines []string
		for i := range n {
			lines = append(lines, fmt.Sprintf("Contact: <sip:c%d@192.0.2.9>", i))
		}
		return lines
	}
	for _, tc := range []struct {
		name  string
		steps []step
	}{
		{"refresh", []step{
			{[]string{"Contact: <" + a + ">", "Expires: 100"}, 200, []string{a}, 90 * time.Second},
			{[]string{"Contact: <" + a + ">", "Expires: 100", cseq(2)}, 200, []string{a}, 90 * time.Second},
			{[]string{cseq(3)}, 200, []string{a}, 11 * time.Second},
			{[]string{cseq(4)}, 200, nil, 0},
		}},
		{"uri comparison", []step{ // §19.1.4: case of the host, escapes
			{[]string{"Contact: <sip:%61@Phone.Example.Net;transport=udp>"}, 200, []string{"sip:%61@phone.example.net;transport=udp"}, 0},
			{[]string{"Contact: <sip:a@phone.EXAMPLE.net;transport=UDP>", cseq(2)}, 200, []string{"sip:a@phone.example.net;transport=UDP"}, time.Second},
			{[]string{"Contact: <sip:a@phone.example.net>", cseq(3)}, 200, []string{"sip:a@phone.example.net", "sip:a@phone.example.net;transport=UDP"}, 0},
		}},
		{"comparison is not transitive", []step{
			{[]string{"Contact: <sip:a@192.0.2.9;x=1>"}, 200, []string{"sip:a@192.0.2.9;x=1"}, 0},
			{[]string{"Contact: <sip:a@192.0.2.9>", cseq(2)}, 200, []string{"sip:a@192.0.2.9"}, 0},
			{[]string{"Contact: <sip:a@192.0.2.9;x=2>", cseq(3)}, 200, []string{"sip:a@192.0.2.9;x=2"}, 0},
			{[]string{"Contact: <sip:a@192.0.2.9;x=1>", cseq(4)}, 200, []string{"sip:a@192.0.2.9;x=1"}, 0},
			{[]string{"Contact: <sip:a@192.0.2.9;x=2>", cseq(5)}, 200, []string{"sip:a@192.0.2.9;x=1", "sip:a@192.0.2.9;x=2"}, 0},
		}},
		{"two contacts, newest first", []step{
			{[]string{"Contact: <" + a + ">"}, 200, []string{a}, time.Second},
			{[]string{"Contact: <" + b + ">", "Call-ID: c2"}, 200, []string{b, a}, time.Second},
			{[]string{"Contact: <" + a + ">", cseq(2)}, 200, []string{a, b}, 0},
		}},
		{"q before age", []step{
			{[]string{"Contact: <" + a + ">;q=0.9"}, 200, []string{a}, time.Second},
			{[]string{"Contact: <" + b + ">;q=0.5", "Call-ID: c2"}, 200, []string{a, b}, 0},
		}},
		{"unregister one", []step{
			{[]string{"Contact: <" + a + ">, <" + b + ">"}, 200, []string{a, b}, 0},
			{[]string{"Contact: <" + a + ">;expires=0", cseq(2)}, 200, []string{b}, 0},
			{[]string{"Contact: <" + b + ">", "Expires: 0", cseq(3)}, 200, nil, 0},
		}},
		{"one goes, one comes", []step{
			{[]string{"Contact: <" + a + ">"}, 200, []string{a}, 0},
			{[]string{"Contact: <" + a + ">;expires=0, <" + b + ">", cseq(2)}, 200, []string{b}, 0},
		}},
		{"wildcard", []step{
			{[]string{"Contact: <" + a + ">"}, 200, []string{a}, 0},
			{[]string{"Contact: <" + b + ">", "Call-ID: c2"}, 200, []string{a, b}, 0},
			{[]string{"Contact: *", "Expires: 0", cseq(2)}, 200, nil, 0},
		}},
		{"wildcard out of order", []step{
			{[]string{"Contact: <" + a + ">", cseq(5)}, 200, []string{a}, 0},
			{[]string{"Contact: *", "Expires: 0", cseq(5)}, 400, []string{a}, 0},
			{[]string{"Contact: *", "Expires: 0", cseq(4), "Call-ID: other"}, 200, nil, 0},
		}},
		{"replay", []step{
			{[]string{"Contact: <" + a + ">", cseq(5)}, 200, []string{a}, 0},
			{[]string{"Contact: <" + a + ">", cseq(5)}, 400, []string{a}, 0},
			{[]string{"Contact: <" + a + ">;expires=0", cseq(4)}, 400, []string{a}, 0},
			{[]string{"Contact: <" + a + ">;expires=0", cseq(1), "Call-ID: rebooted"}, 200, nil, 0},
		}},
		{"all or nothing", []step{
			{[]string{"Contact: <" + a + ">", cseq(5)}, 200, []string{a}, 0},
			{[]string{"Contact: <" + b + ">, <" + a + ">", cseq(5)}, 400, []string{a}, 0},
			{[]string{"Contact: <" + a + ">;expires=0, <" + b + ">;expires=3", cseq(6)}, 423, []string{a}, 0},
		}},
		{"expired counts for nothing", []step{
			{[]string{"Contact: <" + a + ">", "Expires: 60", cseq(9)}, 200, []string{a}, 60 * time.Second},
			{[]string{"Contact: <" + a + ">", cseq(9)}, 200, []string{a}, 0},
		}},
		{"contact limit", []step{
			{many(10), 200, nil, 0},
			{[]string{"Contact: <" + a + ">", cseq(2)}, 403, nil, 0},
			{[]string{"Contact: <sip:c3@192.0.2.9>;expires=0, <" + a + ">", cseq(3)}, 200, nil, 0},
			{append(many(11), "Call-ID: c2"), 403, nil, 0},
		}},
		{"outbound: several flows of one phone", []step{
			{[]string{"Supported: outbound", `Contact: <` + a + `>;reg-id=1;+sip.instance="<urn:A>"`}, 200, []string{a}, time.Second},
			{[]string{"Supported: outbound", `Contact: <` + a + `>;reg-id=2;+sip.instance="<urn:A>"`, cseq(2)}, 200, []string{a, a}, time.Second},
			// The phone has a new address: the flow with the same reg-id is replaced.
			{[]string{"Supported: outbound", `Contact: <` + b + `>;reg-id=1;+sip.instance="<urn:a>"`, cseq(3)}, 200, []string{b, a}, 0},
			{[]string{"Supported: outbound", `Contact: <` + b + `>;reg-id=1;+sip.instance="<urn:A>"`, cseq(3)}, 400, []string{b, a}, 0},
			{[]string{"Supported: outbound", `Contact: <` + b + `>;reg-id=1;expires=0;+sip.instance="<urn:A>", <` + a + `>;reg-id=2;expires=0;+sip.instance="<urn:A>"`, cseq(4)}, 200, nil, 0},
		}},
		{"outbound replaces the same contact without", []step{
			{[]string{"Contact: <" + a + ">"}, 200, []string{a}, 0},
			{[]string{"Supported: outbound", `Contact: <` + a + `>;reg-id=1;+sip.instance="<urn:a>"`, cseq(2)}, 200, []string{a}, 0},
			{[]string{"Contact: <" + a + ">", cseq(3)}, 200, []string{a}, 0},
		}},
	} {
		t.Run(tc.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				store := newMemoryStore()
				cfg := testConfig()
				cfg.Store = store
				r, stop := newRegistrar(t, cfg)
				for i, st := range tc.steps {
					s := submit(r, register(t, st.lines...), udpPhone)
					require.Equal(t, st.code, s.Code, "step %d: %v", i+1, s.Error())
					got := uris(r.Lookup(otto))
					if tc.name != "contact limit" {
						require.Equal(t, st.left, got, "step %d", i+1)
					} else {
						require.Len(t, got, 10)
					}
					if s.Code == 200 {
						require.Len(t, contactsOf(s), len(got), "step %d", i+1)
					}
					require.Len(t, store.ids(), len(got), "step %d", i+1)
					time.Sleep(st.wait) // of the bubble: nobody waits
					synctest.Wait()
				}
				stop()
			})
		})
	}
}
