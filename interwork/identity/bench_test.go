package identity

import (
	"fmt"
	"runtime"
	"strings"
	"testing"

	"github.com/stoxgate/stoxgate/interwork/store"
	"github.com/stoxgate/stoxgate/sip"
	"github.com/stoxgate/stoxgate/xmpp"
)

// crowd fills a table in memory with people who have a JID, a number, a name, a trunk and
// that many SIP addresses (1 or 2) with the credentials of the id in the realm of each.
func crowd(tb testing.TB, n, addresses int) *Table {
	tb.Helper()
	tab, err := New(tb.Context(), Config{})
	if err != nil {
		tb.Fatal(err)
	}
	e := tab.cur.Load().edit()
	for i := range n {
		c := strings.Repeat("0a", 16)
		r := store.IdentityRow{
			ID: fmt.Sprintf("user%06d", i), JID: fmt.Sprintf("user%06d@chat.harbor.example", i), Name: fmt.Sprintf("User Number %d", i), Trunk: "carrier", CallOut: true, CallIn: true, ShowCallerID: true,
			AORs:    []string{fmt.Sprintf("sip:user%06d@voice.quay.example", i), fmt.Sprintf("sip:1%06d@pbx.example", i)},
			Numbers: []string{fmt.Sprintf("+4930%07d", i)},
		}
		r.AORs = r.AORs[:addresses]
		for _, realm := range []string{"voice.quay.example", "pbx.example"}[:addresses] {
			r.Credentials = append(r.Credentials, store.CredentialRow{User: r.ID, Realm: realm, MD5: c, SHA256: c + c})
		}
		id, err := fromRow(r)
		if err != nil {
			tb.Fatal(err)
		}
		e.add(id)
	}
	tab.cur.Store(e.done(1))
	return tab
}

// heapOf tells how many bytes of heap 100 000 identities take with all their indexes.
func heapOf(tb testing.TB, addresses int) uint64 {
	var before, after runtime.MemStats
	runtime.GC()
	runtime.GC()
	runtime.ReadMemStats(&before)
	tab := crowd(tb, crowdSize, addresses)
	runtime.GC()
	runtime.GC()
	runtime.ReadMemStats(&after)
	runtime.KeepAlive(tab)
	return after.HeapAlloc - before.HeapAlloc
}

const crowdSize = 100_000

func BenchmarkMemory(b *testing.B) {
	for _, n := range []int{1, 2} {
		b.Run(fmt.Sprint(n), func(b *testing.B) {
			var heap uint64
			for b.Loop() {
				heap = heapOf(b, n)
			}
			b.ReportMetric(float64(heap)/crowdSize, "B/identity")
		})
	}
}

func TestMemory(t *testing.T) {
	if testing.Short() {
		t.Skip("makes 100 000 identities")
	}
	if heap := heapOf(t, 1); heap >= 100e6 {
		t.Errorf("100 000 identities take %d bytes", heap)
	}
}

func BenchmarkLookup(b *testing.B) {
	tab := crowd(b, crowdSize, 2)
	j := xmpp.MustJID("user012345@chat.harbor.example/desk")
	u := sip.URI{Scheme: "sip", User: "user054321", Host: "voice.quay.example", Params: sip.Params{{Name: "gr", Value: "x"}}}
	for name, f := range map[string]func() bool{
		"JID":    func() bool { _, ok := tab.ByJID(j); return ok },
		"AOR":    func() bool { _, ok := tab.ByAOR(u); return ok },
		"Number": func() bool { _, ok := tab.ByNumber("+49300077777"); return ok },
		"Login":  func() bool { _, ok := tab.ByUser("user054321", "voice.quay.example"); return ok },
		"Miss":   func() bool { _, ok := tab.ByNumber("+49300"); return !ok },
	} {
		b.Run(name, func(b *testing.B) {
			b.ReportAllocs()
			for b.Loop() {
				if !f() {
					b.Fatal("wrong")
				}
			}
		})
	}
}

// Lookups of the hot path make no garbage.
func TestLookupAllocs(t *testing.T) {
	tab := crowd(t, 100, 2)
	j := xmpp.MustJID("user000001@chat.harbor.example/desk")
	u := sip.URI{Scheme: "sip", User: "user000001", Host: "voice.quay.example"}
	if n := testing.AllocsPerRun(100, func() {
		tab.ByJID(j)
		tab.ByAOR(u)
		tab.ByNumber("+49300000001")
	}); n != 0 {
		t.Errorf("%v allocations", n)
	}
}

func BenchmarkAddresses(b *testing.B) {
	a, err := NewAddresses(AddressConfig{Component: component, Table: crowd(b, crowdSize, 2), Region: "DE"})
	if err != nil {
		b.Fatal(err)
	}
	jids := map[string]xmpp.JID{
		"user": xmpp.MustJID("otto@" + component), "escaped": xmpp.MustJID(`user054321\40voice.quay.example@` + component), "number": xmpp.MustJID("+442079460148@" + component),
	}
	for name, j := range jids {
		b.Run("ToSIP/"+name, func(b *testing.B) {
			b.ReportAllocs()
			for b.Loop() {
				if _, err := a.ToSIP(j); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
	for name, text := range map[string]string{"identity": "sip:user054321@voice.quay.example", "rfc": "sip:mira@chat.harbor.example", "number": "sip:+49300077777@" + component + ";user=phone"} {
		u := aor(b, text)
		b.Run("ToXMPP/"+name, func(b *testing.B) {
			b.ReportAllocs()
			for b.Loop() {
				if _, err := a.ToXMPP(u); err != nil {
					b.Fatal(err)
				}
			}
		})
		b.Run("CallerToXMPP/"+name, func(b *testing.B) {
			b.ReportAllocs()
			for b.Loop() {
				if _, err := a.CallerToXMPP(u); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}

// BenchmarkEdit is one update in a table of 100 000, without the database.
func BenchmarkEdit(b *testing.B) {
	tab := crowd(b, crowdSize, 2)
	id, _ := tab.Get("user012345")
	b.ReportAllocs()
	for b.Loop() {
		if _, err := tab.Update(b.Context(), *id, ""); err != nil {
			b.Fatal(err)
		}
	}
}

// BenchmarkLoad reads a table of 20 000 from SQLite, as a start does.
func BenchmarkLoad(b *testing.B) {
	dir := b.TempDir()
	s := openStore(b, dir, false)
	var rows []store.IdentityRow
	for _, id := range all(crowd(b, 20_000, 2)) {
		rows = append(rows, toRow(id))
	}
	if _, err := s.ChangeIdentities(b.Context(), rows, nil); err != nil {
		b.Fatal(err)
	}
	for b.Loop() {
		if tab := newTable(b, s); tab.Len() != 20_000 {
			b.Fatal(tab.Len())
		}
	}
}
