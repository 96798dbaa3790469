package store

import (
	order "cmp"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"
)

// clock is a time that tests move.
type clock struct {
	mu sync.Mutex
	t  time.Time
}

func newClock() *clock { return &clock{t: time.UnixMilli(1_700_000_000_000).UTC()} }

func (c *clock) now() time.Time {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.t
}

func (c *clock) advance(d time.Duration) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.t = c.t.Add(d)
}

func allIdentities(t testing.TB, s *Store, after int64) []IdentityRow {
	t.Helper()
	var list []IdentityRow
	if err := s.Identities(t.Context(), after, func(r IdentityRow) error {
		list = append(list, r)
		return nil
	}); err != nil {
		t.Fatal(err)
	}
	slices.SortFunc(list, func(a, b IdentityRow) int {
		return order.Or(order.Compare(a.Version, b.Version), strings.Compare(a.ID, b.ID))
	})
	return list
}

func TestIdentities(t *testing.T) {
	engines(t, func(t *testing.T, cfg Config) {
		s := open(t, cfg)
		ctx := t.Context()
		mira := IdentityRow{
			ID: "mira", JID: "mira@chat.example", AORs: []string{"sip:mira@sip.example", "sip:100@pbx.example"},
			Numbers: []string{"+4930123456"}, Name: "Mira Müller, \"M\"", Trunk: "carrier", CallOut: true, ShowCallerID: true,
			Credentials: []CredentialRow{{User: "mira", Realm: "sip.example", MD5: "00", SHA256: "11"}, {User: "a b", Realm: "x"}},
			Keys:        []string{"xmpp:mira@chat.example", "sip:mira@sip.example", "sip:100@pbx.example", "sip:100@pbx.example"},
		}
		otto := IdentityRow{ID: "otto", JID: "otto@chat.example", CallIn: true, Keys: []string{"xmpp:otto@chat.example"}}
		diff := func(want, got []IdentityRow) string {
			return cmp.Diff(want, got, cmpopts.IgnoreFields(IdentityRow{}, "Keys"))
		}
		var err error
		if mira.Version, err = s.PutIdentity(ctx, mira); err != nil {
			t.Fatal(err)
		}
		if otto.Version, err = s.PutIdentity(ctx, otto); err != nil {
			t.Fatal(err)
		}
		if mira.Version != 1 || otto.Version != 2 {
			t.Errorf("versions %d and %d", mira.Version, otto.Version)
		}
		if d := diff([]IdentityRow{mira, otto}, allIdentities(t, s, 0)); d != "" {
			t.Error(d)
		}
		if d := diff([]IdentityRow{otto}, allIdentities(t, s, 1)); d != "" {
			t.Error(d)
		}

		// No address has two owners, of whatever kind, and nothing of the change is kept.
		for _, row := range []IdentityRow{
			{ID: "eva", Keys: []string{"sip:eva@sip.example", "sip:100@pbx.example"}},
			{ID: "otto", Keys: []string{"xmpp:otto@chat.example", "sip:100@pbx.example"}},
		} {
			_, err := s.PutIdentity(ctx, row)
			var conflict *ConflictError
			if !errors.As(err, &conflict) || !errors.Is(err, ErrConflict) || conflict.Owner != "mira" || conflict.Key != "sip:100@pbx.example" {
				t.Errorf("%+v: %v", row, err)
			}
		}
		if v, err := s.IdentitiesVersion(ctx); err != nil || v != 2 {
			t.Errorf("version %d, %v", v, err)
		}

		// A removed one stays as a mark; its addresses are free. A trade in one change works.
		mira.AORs, mira.Keys = mira.AORs[1:], []string{"xmpp:mira@chat.example", "sip:100@pbx.example"}
		eva := IdentityRow{ID: "eva", AORs: []string{"sip:mira@sip.example"}, JID: otto.JID, Keys: []string{"sip:mira@sip.example", otto.Keys[0]}}
		v, err := s.ChangeIdentities(ctx, []IdentityRow{eva, mira}, []string{"otto", "nobody"})
		if err != nil || v != 3 {
			t.Fatal(v, err)
		}
		want := []IdentityRow{
			{ID: "eva", Version: 3, AORs: []string{"sip:mira@sip.example"}, JID: "otto@chat.example"},
			mira,
			{ID: "otto", Version: 3, Removed: true},
		}
		want[1].Version = 3
		if d := diff(want, allIdentities(t, s, 2)); d != "" {
			t.Error(d)
		}
		if v, err := s.PutIdentity(ctx, IdentityRow{ID: "otto", JID: "back@chat.example"}); err != nil || v != 4 {
			t.Error(v, err)
		}
		if got := allIdentities(t, s, 3); len(got) != 1 || got[0].Removed || got[0].JID != "back@chat.example" {
			t.Error(got)
		}
		if v, err := s.DeleteIdentity(ctx, "eva"); err != nil || v != 5 {
			t.Error(v, err)
		}
		for _, bad := range []IdentityRow{{}, {ID: "a\x00b"}, {ID: "x", Name: "\xff"}, {ID: "x", AORs: []string{"sip:\xff@h"}}, {ID: "x", Keys: []string{"\x00"}}} {
			if _, err := s.PutIdentity(ctx, bad); !errors.Is(err, ErrInvalid) {
				t.Errorf("%q: %v", bad.ID, err)
			}
		}
	})
}

// The command line edits while the daemon serves; both see the other's changes.
func TestShared(t *testing.T) {
	engines(t, func(t *testing.T, cfg Config) {
		daemon := open(t, cfg)
		shared := cfg
		shared.Shared = true
		tool := open(t, shared)
		if _, err := tool.PutIdentity(t.Context(), IdentityRow{ID: "mira", Keys: []string{"k"}}); err != nil {
			t.Fatal(err)
		}
		if v, err := daemon.IdentitiesVersion(t.Context()); err != nil || v != 1 {
			t.Fatal(v, err)
		}
		if _, err := daemon.PutIdentity(t.Context(), IdentityRow{ID: "eva", Keys: []string{"k"}}); !errors.Is(err, ErrConflict) {
			t.Fatal(err)
		}
		if err := tool.Append(entry(1), nil); !errors.Is(err, ErrShared) {
			t.Error(err)
		}
		if _, err := tool.Pending(t.Context(), 0, 1); !errors.Is(err, ErrShared) {
			t.Error(err)
		}
		if err := tool.PutReceipt("k", nil, time.Hour); !errors.Is(err, ErrShared) {
			t.Error(err)
		}

		// Both write at once: nobody fails.
		var wg sync.WaitGroup
		for i := range 30 {
			wg.Go(func() {
				if _, err := tool.PutIdentity(t.Context(), IdentityRow{ID: fmt.Sprint("t", i)}); err != nil {
					t.Error(err)
				}
			})
			wg.Go(func() {
				if _, err := daemon.PutIdentity(t.Context(), IdentityRow{ID: fmt.Sprint("d", i)}); err != nil {
					t.Error(err)
				}
			})
			appendAll(t, daemon, entry(i))
		}
		wg.Wait()
		if v, err := daemon.IdentitiesVersion(t.Context()); err != nil || v != 61 {
			t.Error(v, err)
		}
		shut(t, tool)
		shut(t, daemon)

		// Without a daemon the tool makes the database itself.
		if cfg.Dir != "" {
			shared.Dir = filepath.Join(t.TempDir(), "new", "dir")
			tool = open(t, shared)
			if _, err := tool.PutIdentity(t.Context(), IdentityRow{ID: "mira"}); err != nil {
				t.Fatal(err)
			}
		}
	})
}

func TestLock(t *testing.T) {
	engines(t, func(t *testing.T, cfg Config) {
		s := open(t, cfg)
		_, err := Open(t.Context(), cfg)
		if !errors.Is(err, ErrLocked) {
			t.Fatalf("second open: %v", err)
		}
		if cfg.Dir != "" && !strings.Contains(err.Error(), fmt.Sprint("process ", os.Getpid())) {
			t.Errorf("does not tell the process: %v", err)
		}
		shut(t, s)
		shut(t, open(t, cfg))
	})
}

func TestNewerSchema(t *testing.T) {
	engines(t, func(t *testing.T, cfg Config) {
		s := open(t, cfg)
		if _, err := s.db.Exec(`INSERT INTO schema_version (version, applied) VALUES (99, 0)`); err != nil {
			t.Fatal(err)
		}
		shut(t, s)
		for _, shared := range []bool{false, true} {
			cfg.Shared = shared
			if _, err := Open(t.Context(), cfg); !errors.Is(err, ErrNewerSchema) || !strings.Contains(err.Error(), "version 99") {
				t.Errorf("shared %v: %v", shared, err)
			}
		}
	})
}

// An older schema is not changed under the feet of a daemon.
func TestSharedDoesNotMigrateUnderADaemon(t *testing.T) {
	cfg := Config{Dir: t.TempDir()}
	s := open(t, cfg)
	if _, err := s.db.Exec(`DELETE FROM schema_version`); err != nil {
		t.Fatal(err)
	}
	cfg.Shared = true
	if _, err := Open(t.Context(), cfg); !errors.Is(err, ErrLocked) {
		t.Errorf("got %v", err)
	}
}

func TestOpenErrors(t *testing.T) {
	if _, err := Open(t.Context(), Config{}); !errors.Is(err, ErrInvalid) {
		t.Errorf("no place: %v", err)
	}
	file := filepath.Join(t.TempDir(), "file")
	if err := os.WriteFile(file, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	if _, err := Open(t.Context(), Config{Dir: file}); err == nil {
		t.Error("a file was taken for a directory")
	}
	if _, err := Open(t.Context(), Config{URL: "postgres://nobody@127.0.0.1:1/none?connect_timeout=2"}); err == nil {
		t.Error("no server, but no error")
	}
	dir := t.TempDir()
	if err := os.WriteFile(filepath.Join(dir, sqliteFile), []byte(strings.Repeat("this is no database ", 300)), 0o600); err != nil {
		t.Fatal(err)
	}
	if _, err := Open(t.Context(), Config{Dir: dir}); err == nil {
		t.Error("no database, but no error")
	}
}

// The file holds digest secrets.
func TestSQLiteFileMode(t *testing.T) {
	cfg := Config{Dir: filepath.Join(t.TempDir(), "d")}
	open(t, cfg)
	for _, name := range []string{"", sqliteFile, sqliteFile + "-wal", sqliteFile + "-shm", lockFile} {
		fi, err := os.Stat(filepath.Join(cfg.Dir, name))
		if err != nil || fi.Mode().Perm()&0o077 != 0 {
			t.Errorf("%s: %v %v", name, fi.Mode(), err)
		}
	}
}

func TestBindings(t *testing.T) {
	engines(t, func(t *testing.T, cfg Config) {
		c := newClock()
		cfg.now = c.now
		s := open(t, cfg)
		ctx := t.Context()
		b := BindingRow{
			AOR: "sip:otto@sip.example", ID: "<urn:uuid:1>;1", Node: "main", Contact: "sip:otto@192.0.2.7:5060", Path: "<sip:edge;lr>",
			Instance: "<urn:uuid:1>", RegID: 1, Q: 500, CallID: "c@h", CSeq: 4294967295, UserAgent: "baresip v1", Transport: "tcp",
			Source: "192.0.2.7:5060", Updated: c.now(), Expires: c.now().Add(time.Hour),
		}
		short := BindingRow{AOR: b.AOR, ID: "2", Expires: c.now().Add(time.Minute)}
		for _, x := range []BindingRow{b, short, b} {
			if err := s.PutBinding(ctx, x); err != nil {
				t.Fatal(err)
			}
		}
		short.Node = "main"
		all := func() (list []BindingRow) {
			if err := s.Bindings(ctx, func(b BindingRow) error { list = append(list, b); return nil }); err != nil {
				t.Fatal(err)
			}
			return list
		}
		if d := cmp.Diff([]BindingRow{short, b}, all()); d != "" {
			t.Error(d)
		}
		b.CSeq, b.Expires = 5, c.now().Add(2*time.Hour)
		if err := s.PutBinding(ctx, b); err != nil {
			t.Fatal(err)
		}
		c.advance(2 * time.Minute)
		shut(t, s)
		s = open(t, cfg)
		if d := cmp.Diff([]BindingRow{b}, all()); d != "" {
			t.Error(d)
		}
		if n := count(t, s, "bindings"); n != 1 {
			t.Errorf("%d rows: expired ones are not purged at start", n)
		}
		if err := s.PutBinding(ctx, BindingRow{AOR: "a", ID: "b", UserAgent: "odd\x00\xff"}); err != nil {
			t.Error("an odd User-Agent was refused:", err)
		}
		if err := errors.Join(s.DeleteBinding(ctx, b.AOR, b.ID), s.DeleteBinding(ctx, b.AOR, "none")); err != nil {
			t.Error(err)
		}
		if got := all(); len(got) != 0 {
			t.Error(got)
		}
		for _, bad := range []BindingRow{{}, {AOR: "a"}, {AOR: "a", ID: "\xff"}, {AOR: "a", ID: "b", CallID: "\x00"}} {
			if err := s.PutBinding(ctx, bad); !errors.Is(err, ErrInvalid) {
				t.Errorf("%+v: %v", bad, err)
			}
		}
	})
}

func TestMeta(t *testing.T) {
	engines(t, func(t *testing.T, cfg Config) {
		s := open(t, cfg)
		ctx := t.Context()
		if _, ok, err := s.Meta(ctx, "k"); ok || err != nil {
			t.Fatal(ok, err)
		}
		if err := errors.Join(s.SetMeta(ctx, "k", "1"), s.SetMeta(ctx, "k", "2")); err != nil {
			t.Fatal(err)
		}
		if v, ok, err := s.Meta(ctx, "k"); v != "2" || !ok || err != nil {
			t.Fatal(v, ok, err)
		}
		if err := s.SetMeta(ctx, "k", "\xff"); !errors.Is(err, ErrInvalid) {
			t.Error(err)
		}
		if n, err := s.Counter(ctx, "none"); n != 0 || err != nil {
			t.Error(n, err)
		}
	})
}
