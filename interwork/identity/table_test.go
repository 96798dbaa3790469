package identity

import (
	"context"
	"crypto/md5"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"runtime"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/rs/zerolog"
	"go.uber.org/goleak"

	"github.com/stoxgate/stoxgate/interwork/store"
	"github.com/stoxgate/stoxgate/sip"
	"github.com/stoxgate/stoxgate/xmpp"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

var german = Numbers{Region: "DE"}

func aor(t testing.TB, text string) sip.URI {
	t.Helper()
	u, err := ParseAOR(text)
	if err != nil {
		t.Fatal(err)
	}
	return u
}

func jid(text string) xmpp.JID { return xmpp.MustJID(text) }

func openStore(t testing.TB, dir string, shared bool) *store.Store {
	t.Helper()
	s, err := store.Open(context.Background(), store.Config{Dir: dir, Shared: shared})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = s.Close() })
	return s
}

func newTable(t testing.TB, s *store.Store) *Table {
	t.Helper()
	tab, err := New(context.Background(), Config{
		Store: s, Numbers: german, Component: "sip.harbor.example", Poll: 5 * time.Millisecond, Log: zerolog.New(zerolog.NewTestWriter(t)),
	})
	if err != nil {
		t.Fatal(err)
	}
	return tab
}

func add(t testing.TB, tab *Table, id Identity, password string) *Identity {
	t.Helper()
	got, err := tab.Add(context.Background(), id, password)
	if err != nil {
		t.Fatal(err)
	}
	return got
}

// eventually waits for a condition that another goroutine brings about.
func eventually(t testing.TB, what string, cond func() bool) {
	t.Helper()
	deadline := time.After(10 * time.Second)
	tick := time.NewTicker(2 * time.Millisecond)
	defer tick.Stop()
	for !cond() {
		select {
		case <-tick.C:
		case <-deadline:
			t.Fatalf("not within 10 s: %s", what)
		}
	}
}

func all(tab *Table) []*Identity {
	list, _ := tab.List("", "", 1<<30)
	return list
}

func mira(t testing.TB) Identity {
	return Identity{
		ID: "mira", JID: jid("Mira@chat.harbor.example/desk"), AORs: []sip.URI{aor(t, "Mira@Voice.quay.example:5060;x=y"), aor(t, "sips:100@pbx.example")},
		Numbers: []string{"030 123456", "+49 (0)30-123456", "+4930999999"}, Name: " Mira Müller ", Trunk: "carrier", Policy: AllowAll,
	}
}

func TestAddNormalises(t *testing.T) {
	tab := newTable(t, openStore(t, t.TempDir(), false))
	got := add(t, tab, mira(t), "geheim")
	if got.JID != jid("mira@chat.harbor.example") || got.Name != "Mira Müller" || !slices.Equal(got.Numbers, []string{"+4930123456", "+4930999999"}) {
		t.Errorf("%+v", got)
	}
	if len(got.AORs) != 2 || got.AORs[0].String() != "sip:Mira@voice.quay.example" || got.AORs[1].String() != "sip:100@pbx.example" {
		t.Errorf("%v", got.AORs)
	}
}

func TestLookups(t *testing.T) {
	dir := t.TempDir()
	s := openStore(t, dir, false)
	tab := newTable(t, s)
	add(t, tab, mira(t), "geheim")
	add(t, tab, Identity{ID: "phone", AORs: []sip.URI{aor(t, "otto@voice.quay.example")}}, "")
	check := func(tab *Table) {
		t.Helper()
		for what, find := range map[string]func() (*Identity, bool){
			"jid":        func() (*Identity, bool) { return tab.ByJID(jid("mira@chat.harbor.example")) },
			"full jid":   func() (*Identity, bool) { return tab.ByJID(jid("mira@chat.harbor.example/phone")) },
			"aor":        func() (*Identity, bool) { return tab.ByAOR(aor(t, "Mira@voice.quay.example")) },
			"other case": func() (*Identity, bool) { return tab.ByAOR(aor(t, "sip:%4dIRA@VOICE.quay.example;gr=x")) },
			"second aor": func() (*Identity, bool) { return tab.ByAOR(aor(t, "sips:100@pbx.example")) },
			"number":     func() (*Identity, bool) { return tab.ByNumber("+4930999999") },
			"id":         func() (*Identity, bool) { return tab.Get("mira") },
			"login":      func() (*Identity, bool) { return tab.ByUser("Mira", "voice.quay.example") },
			"login id":   func() (*Identity, bool) { return tab.ByUser("mira", "pbx.example") },
		} {
			if id, ok := find(); !ok || id.ID != "mira" {
				t.Errorf("not found by %s", what)
			}
		}
		for what, find := range map[string]func() (*Identity, bool){
			"jid":         func() (*Identity, bool) { return tab.ByJID(jid("mira@elsewhere.example")) },
			"zero jid":    func() (*Identity, bool) { return tab.ByJID(xmpp.JID{}) },
			"aor":         func() (*Identity, bool) { return tab.ByAOR(aor(t, "mira@pbx.example")) },
			"zero aor":    func() (*Identity, bool) { return tab.ByAOR(sip.URI{}) },
			"number":      func() (*Identity, bool) { return tab.ByNumber("+49301234567") },
			"id":          func() (*Identity, bool) { return tab.Get("") },
			"realm":       func() (*Identity, bool) { return tab.ByUser("mira", "other.example") },
			"other user":  func() (*Identity, bool) { return tab.ByUser("100", "voice.quay.example") },
			"no password": func() (*Identity, bool) { return tab.ByUser("otto", "voice.quay.example") },
		} {
			if id, ok := find(); ok {
				t.Errorf("found %s by wrong %s", id.ID, what)
			}
		}
		m, _ := tab.Get("mira")
		if !m.Owns(aor(t, "mira@voice.quay.example")) || !m.Owns(sip.URI{Scheme: "tel", User: "+49-30-123456"}) || m.Owns(aor(t, "otto@voice.quay.example")) {
			t.Error("Owns is wrong")
		}
	}
	check(tab)
	check(newTable(t, openStore(t, dir, true)))
	check(newTable(t, s))
	memory := newTable(t, nil)
	for _, id := range all(tab) {
		add(t, memory, *id, "")
	}
	check(memory)
}

func TestHA1(t *testing.T) {
	tab := newTable(t, openStore(t, t.TempDir(), false))
	id := add(t, tab, mira(t), "geheim")
	for _, c := range []struct{ user, realm string }{
		{"Mira", "voice.quay.example"}, {"100", "pbx.example"}, {"mira", "voice.quay.example"}, {"mira", "pbx.example"},
	} {
		text := []byte(c.user + ":" + c.realm + ":geheim")
		m, sh := md5.Sum(text), sha256.Sum256(text)
		if got, ok := tab.HA1(c.user, c.realm, "MD5"); !ok || got != hex.EncodeToString(m[:]) {
			t.Errorf("%v MD5: %q", c, got)
		}
		if got, ok := tab.HA1(c.user, c.realm, "SHA-256"); !ok || got != hex.EncodeToString(sh[:]) {
			t.Errorf("%v SHA-256: %q", c, got)
		}
	}
	for _, c := range [][3]string{{"mira", "pbx.example", "SHA-512-256"}, {"mira", "x", "MD5"}, {"nobody", "pbx.example", "MD5"}, {"", "", ""}} {
		if got, ok := tab.HA1(c[0], c[1], c[2]); ok || got != "" {
			t.Errorf("%v: %q", c, got)
		}
	}

	// An update without a password keeps what still fits; one with it makes all anew.
	changed := *id
	changed.Credentials = nil
	changed.AORs = []sip.URI{aor(t, "mira@new.example"), id.AORs[1]}
	got, err := tab.Update(t.Context(), changed, "")
	if err != nil || len(got.Credentials) != 2 {
		t.Fatalf("%v, %+v", err, got)
	}
	if _, ok := tab.HA1("100", "pbx.example", "MD5"); !ok {
		t.Error("a credential that fits is lost")
	}
	if _, ok := tab.HA1("mira", "voice.quay.example", "MD5"); ok {
		t.Error("a credential of an address that is gone is left")
	}
	if got, err = tab.Update(t.Context(), *got, "neu"); err != nil || len(got.Credentials) != 3 {
		t.Fatalf("%v, %+v", err, got)
	}
	got2 := *got
	got2.Credentials = []Credential{}
	if got, err = tab.Update(t.Context(), got2, ""); err != nil || got.HasPassword() {
		t.Fatalf("%v, %+v", err, got)
	}
}

func TestUnique(t *testing.T) {
	tab := newTable(t, openStore(t, t.TempDir(), false))
	first := add(t, tab, mira(t), "x")
	for _, c := range []struct {
		id      Identity
		address string
	}{
		{Identity{ID: "a", JID: jid("mira@chat.harbor.example")}, "xmpp:mira@chat.harbor.example"},
		{Identity{ID: "a", AORs: []sip.URI{aor(t, "a@x.example"), aor(t, "MIRA@voice.quay.example")}}, "sip:MIRA@voice.quay.example"},
		{Identity{ID: "a", Numbers: []string{"0049 30 999999"}}, "tel:+4930999999"},
	} {
		_, err := tab.Add(t.Context(), c.id, "")
		var taken *TakenError
		if !errors.Is(err, ErrTaken) || !errors.As(err, &taken) || taken.Owner != "mira" || taken.Address != c.address {
			t.Errorf("%v: %v", c.id, err)
		}
		if err == nil || !strings.Contains(err.Error(), `"mira"`) {
			t.Errorf("does not name the owner: %v", err)
		}
	}
	if _, err := tab.Add(t.Context(), Identity{ID: "mira", JID: jid("b@chat.example")}, ""); !errors.Is(err, ErrExists) {
		t.Error(err)
	}
	// The id of one is no login for the address of another.
	if _, err := tab.Add(t.Context(), Identity{ID: "100", AORs: []sip.URI{aor(t, "b@pbx.example")}}, "y"); !errors.Is(err, ErrTaken) {
		t.Error(err)
	}
	if _, err := tab.Add(t.Context(), Identity{ID: "100", AORs: []sip.URI{aor(t, "b@other.example")}}, "y"); err != nil {
		t.Error(err)
	}
	if _, err := tab.Update(t.Context(), Identity{ID: "none", JID: jid("b@chat.example")}, ""); !errors.Is(err, ErrUnknown) {
		t.Error(err)
	}
	if err := tab.Remove(t.Context(), "none"); !errors.Is(err, ErrUnknown) {
		t.Error(err)
	}
	if tab.Len() != 2 {
		t.Errorf("%d identities", tab.Len())
	}

	// What is removed is free.
	if err := tab.Remove(t.Context(), "mira"); err != nil {
		t.Fatal(err)
	}
	if _, ok := tab.ByNumber("+4930123456"); ok {
		t.Error("a number of nobody")
	}
	again := *first
	again.ID = "m2"
	add(t, tab, again, "z")
}

func TestInvalid(t *testing.T) {
	tab := newTable(t, nil)
	for _, c := range []struct {
		id   Identity
		want string
	}{
		{Identity{ID: "a"}, "neither a JID"},
		{Identity{ID: "a b", JID: jid("a@b.example")}, "character ' '"},
		{Identity{ID: "a:b", JID: jid("a@b.example")}, "character ':'"},
		{Identity{ID: strings.Repeat("a", 129), JID: jid("a@b.example")}, "129 bytes"},
		{Identity{ID: "a", JID: jid("b.example")}, "has no user"},
		{Identity{ID: "a", JID: jid("a@sip.harbor.example")}, "own domain"},
		{Identity{ID: "a", AORs: []sip.URI{{Scheme: "tel", User: "+4930"}}}, "no address user@host"},
		{Identity{ID: "a", AORs: []sip.URI{{Scheme: "sip", Host: "h"}}}, "no address user@host"},
		{Identity{ID: "a", AORs: []sip.URI{{Scheme: "sip", User: "%ff", Host: "h"}}}, "UTF-8"},
		{Identity{ID: "a", AORs: []sip.URI{{Scheme: "sip", User: "%20a", Host: "h"}}}, "space"},
		{Identity{ID: "a", Numbers: []string{"12"}}, "number"},
		{Identity{ID: "a", Numbers: []string{"112"}}, "emergency"},
		{Identity{ID: "a", Numbers: []string{"+112"}}, "no E.164 number"},
		{Identity{ID: "a", Numbers: []string{"hello"}}, "not a usable telephone number"},
		{Identity{ID: "a", Numbers: []string{"+4930123456;ext=1"}}, "extension"},
		{Identity{ID: "a", JID: jid("a@b.example"), Name: "a\nb"}, "no line"},
		{Identity{ID: "a", JID: jid("a@b.example"), Trunk: strings.Repeat("x", 300)}, "no line"},
	} {
		_, err := tab.Add(t.Context(), c.id, "")
		if err == nil || !strings.Contains(err.Error(), c.want) || !errors.Is(err, ErrInvalid) {
			t.Errorf("%+v: %v", c.id, err)
		}
	}
	if _, err := tab.Add(t.Context(), Identity{JID: jid("a@b.example")}, "secret"); !errors.Is(err, ErrInvalid) || strings.Contains(err.Error(), "secret") {
		t.Error(err)
	}
	if _, err := New(t.Context(), Config{Numbers: Numbers{Region: "XX"}}); !errors.Is(err, ErrInvalid) {
		t.Error(err)
	}
}

func TestNewID(t *testing.T) {
	tab := newTable(t, nil)
	for _, c := range []struct {
		id   Identity
		want string
	}{
		{Identity{AORs: []sip.URI{aor(t, "Otto@a.example")}}, "otto"},
		{Identity{AORs: []sip.URI{aor(t, "otto@b.example")}}, "otto-2"},
		{Identity{AORs: []sip.URI{aor(t, "otto@c.example")}}, "otto-3"},
		{Identity{AORs: []sip.URI{aor(t, "sip:%C3%BCber%20all@c.example")}}, "ber-all"},
		{Identity{JID: jid("mira@chat.example")}, "mira"},
		{Identity{Numbers: []string{"+4930123456"}}, "+4930123456"},
	} {
		if got := add(t, tab, c.id, ""); got.ID != c.want {
			t.Errorf("got %q, want %q", got.ID, c.want)
		}
	}
	if got := add(t, tab, Identity{JID: jid("ü@chat.example")}, ""); len(got.ID) != 10 {
		t.Errorf("got %q", got.ID)
	}
}

func TestList(t *testing.T) {
	tab := newTable(t, nil)
	for i := range 25 {
		add(t, tab, Identity{ID: fmt.Sprintf("u%02d", i), Name: fmt.Sprint("Name ", i%2), JID: jid(fmt.Sprintf("j%d@chat.example", i))}, "")
	}
	var got []string
	pages := 0
	for after := ""; ; pages++ {
		page, next := tab.List("name 1", after, 5)
		for _, id := range page {
			got = append(got, id.ID)
		}
		if next == "" {
			break
		}
		after = next
	}
	if len(got) != 12 || !slices.IsSorted(got) || pages != 2 {
		t.Errorf("%d pages: %v", pages, got)
	}
	if page, next := tab.List("J7@chat", "", 5); len(page) != 1 || page[0].ID != "u07" || next != "" {
		t.Errorf("%v %q", page, next)
	}
	if page, next := tab.List("", "", 0); len(page) != 0 || next != "" {
		t.Errorf("%v %q", page, next)
	}
}

// The daemon sees what the command line does, and the other way round.
func TestChangesByAnotherProcess(t *testing.T) {
	dir := t.TempDir()
	daemon := newTable(t, openStore(t, dir, false))
	ctx, cancel := context.WithCancel(t.Context())
	var wg sync.WaitGroup
	wg.Go(func() {
		if err := daemon.Run(ctx); err != nil {
			t.Error(err)
		}
	})
	defer wg.Wait()
	defer cancel()
	tool := newTable(t, openStore(t, dir, true))

	add(t, tool, mira(t), "geheim")
	eventually(t, "the daemon sees the new one", func() bool { _, ok := daemon.ByNumber("+4930999999"); return ok })

	// The tool's view is old; the database knows better.
	add(t, daemon, Identity{ID: "otto", JID: jid("otto@chat.example")}, "")
	_, err := tool.Add(t.Context(), Identity{ID: "eva", JID: jid("otto@chat.example")}, "")
	var taken *TakenError
	if !errors.As(err, &taken) || taken.Owner != "otto" {
		t.Fatal(err)
	}
	if _, ok := tool.Get("otto"); !ok {
		t.Error("the conflict did not bring the tool up to date")
	}
	if err := tool.Remove(t.Context(), "mira"); err != nil {
		t.Fatal(err)
	}
	eventually(t, "the daemon sees the removal", func() bool { return daemon.Len() == 1 })
	if _, ok := daemon.ByAOR(aor(t, "100@pbx.example")); ok {
		t.Error("an address of nobody")
	}
	// An edit upon an edit that was not seen yet.
	add(t, daemon, Identity{ID: "d1", JID: jid("d1@chat.example")}, "")
	add(t, tool, Identity{ID: "t1", JID: jid("t1@chat.example")}, "")
	if tool.Len() != 3 {
		t.Errorf("the tool sees %d", tool.Len())
	}
	eventually(t, "both see all", func() bool { return daemon.Len() == 3 })
	if d := cmp.Diff(all(daemon), all(tool), cmp.AllowUnexported(xmpp.JID{}), cmpEmpty); d != "" {
		t.Error(d)
	}
}

// Readers during edits always see a whole identity: who is found by one address has it.
func TestConcurrentEdits(t *testing.T) {
	tab := newTable(t, openStore(t, t.TempDir(), false))
	const people = 6
	address := func(p, i int) sip.URI { return aor(t, fmt.Sprintf("a%d-%d@x.example", p, i%2)) }
	ctx, cancel := context.WithCancel(t.Context())
	var readers, writers sync.WaitGroup
	for p := range people {
		id := Identity{ID: fmt.Sprint("p", p), AORs: []sip.URI{address(p, 0)}, JID: jid(fmt.Sprintf("p%d@chat.example", p))}
		add(t, tab, id, "")
		writers.Go(func() {
			for i := range 20 {
				id.AORs = []sip.URI{address(p, i)}
				if _, err := tab.Update(ctx, id, ""); err != nil {
					t.Error(err)
				}
				if i%5 == 4 {
					if err := tab.Remove(ctx, id.ID); err != nil {
						t.Error(err)
					}
					if _, err := tab.Add(ctx, id, ""); err != nil {
						t.Error(err)
					}
				}
			}
		})
	}
	for range 2 {
		readers.Go(func() {
			for p := 0; ctx.Err() == nil; p++ {
				for i := range 2 {
					u := address(p%people, i)
					if got, ok := tab.ByAOR(u); ok && !got.Owns(u) {
						t.Errorf("%s was found by %s", got.ID, u)
					}
				}
				if page, _ := tab.List("p", "", 3); len(page) > 3 {
					t.Error("page too long")
				}
				runtime.Gosched()
			}
		})
	}
	writers.Wait()
	cancel()
	readers.Wait()
	if tab.Len() != people {
		t.Errorf("%d identities", tab.Len())
	}
}

func TestNewPassword(t *testing.T) {
	a, b := NewPassword(), NewPassword()
	if a == b || len(a) != 24 || strings.Trim(a, passwordLetters) != "" || len(passwordLetters) != 32 {
		t.Errorf("%q %q, %d letters", a, b, len(passwordLetters))
	}
}
