package store

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/url"
	"os"
	"os/exec"
	"os/user"
	"path/filepath"
	"strconv"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"github.com/rs/zerolog"
	"go.uber.org/goleak"
)

func TestMain(m *testing.M) {
	if os.Getenv(crashEnv) != "" {
		crashChild() // never returns
	}
	opts := []goleak.Option{goleak.Cleanup(func(code int) {
		server.stop()
		os.Exit(code)
	})}
	goleak.VerifyTestMain(m, opts...)
}

// pgServer is one PostgreSQL for the whole test run, with a database per test.
type pgServer struct {
	once  sync.Once
	skip  string
	dir   string
	cmd   *exec.Cmd
	alive io.Closer // its input
	next  atomic.Int32
}

var server pgServer

const pgBin = "/usr/lib/postgresql/15/bin/"

func (p *pgServer) start() {
	if _, err := os.Stat(pgBin + "initdb"); err != nil {
		p.skip = "PostgreSQL is not installed (apt-get install postgresql-15)"
		return
	}
	dir, err := os.MkdirTemp("", "stoxgate-pg")
	if err != nil {
		p.skip = err.Error()
		return
	}
	p.dir = dir
	attr := &syscall.SysProcAttr{}
	if os.Getuid() == 0 { // the server refuses to run as root
		u, err := user.Lookup("postgres")
		if err != nil {
			p.skip = err.Error()
			return
		}
		uid, _ := strconv.Atoi(u.Uid)
		gid, _ := strconv.Atoi(u.Gid)
		if err := os.Chown(dir, uid, gid); err != nil {
			p.skip = err.Error()
			return
		}
		attr.Credential = &syscall.Credential{Uid: uint32(uid), Gid: uint32(gid)}
	}
	data := filepath.Join(dir, "data")
	initdb := exec.Command(pgBin+"initdb", "-D", data, "-A", "trust", "-U", "stoxgate", "-E", "UTF8", "--locale=C", "--no-sync")
	initdb.SysProcAttr, initdb.Dir = attr, dir
	if out, err := initdb.CombinedOutput(); err != nil {
		p.skip = fmt.Sprintf("initdb: %v: %s", err, out)
		return
	}
	// The shell ends the server when its input ends, also when this process dies.
	p.cmd = exec.Command("/bin/sh", "-c", `"$@" & p=$!; read _; kill -INT $p; wait $p`, "sh",
		pgBin+"postgres", "-D", data, "-k", dir, "-h", "", "-c", "fsync=off", "-c", "log_min_messages=fatal")
	p.cmd.SysProcAttr, p.cmd.Dir = attr, dir
	if p.alive, err = p.cmd.StdinPipe(); err == nil {
		err = p.cmd.Start()
	}
	if err != nil {
		p.skip, p.cmd = err.Error(), nil
		return
	}
	deadline := time.Now().Add(20 * time.Second)
	for {
		s, err := Open(context.Background(), Config{URL: p.url("postgres"), Shared: true})
		if err == nil {
			_ = s.Close()
			return
		}
		if time.Now().After(deadline) {
			p.skip = err.Error()
			return
		}
		<-time.After(20 * time.Millisecond)
	}
}

func (p *pgServer) stop() {
	if p.cmd != nil {
		_ = p.alive.Close()
		_ = p.cmd.Wait()
	}
	if p.dir != "" {
		_ = os.RemoveAll(p.dir)
	}
}

func (p *pgServer) url(db string) string {
	return "postgres://stoxgate@/" + db + "?" + url.Values{"host": {p.dir}}.Encode()
}

// database makes an empty database and returns its URL.
func (p *pgServer) database(t testing.TB) string {
	t.Helper()
	p.once.Do(p.start)
	if p.skip != "" {
		t.Skip(p.skip)
	}
	name := fmt.Sprintf("t%d", p.next.Add(1))
	db, err := postgres{url: p.url("postgres")}.open(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	defer db.Close()
	if _, err := db.Exec("CREATE DATABASE " + name); err != nil {
		t.Fatal(err)
	}
	return p.url(name)
}

// engines runs a test on both engines; fresh gives a place with nothing in it.
func engines(t *testing.T, f func(t *testing.T, fresh Config)) {
	t.Run("sqlite", func(t *testing.T) {
		f(t, Config{Dir: t.TempDir(), Log: zerolog.New(zerolog.NewTestWriter(t))})
	})
	t.Run("postgres", func(t *testing.T) {
		f(t, Config{URL: server.database(t), Log: zerolog.New(zerolog.NewTestWriter(t))})
	})
}

func open(t testing.TB, cfg Config) *Store {
	t.Helper()
	s, err := Open(context.Background(), cfg)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := s.Close(); err != nil && !errors.Is(err, ErrClosed) {
			t.Error(err)
		}
	})
	return s
}

func shut(t testing.TB, s *Store) {
	t.Helper()
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
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

// appendAll appends and waits for the commits; it returns the numbers.
func appendAll(t testing.TB, s *Store, entries ...OutboxEntry) []int64 {
	t.Helper()
	seqs := make([]int64, len(entries))
	var wg sync.WaitGroup
	for i, e := range entries {
		wg.Add(1)
		if err := s.Append(e, func(seq int64, err error) {
			if err != nil {
				t.Error(err)
			}
			seqs[i] = seq
			wg.Done()
		}); err != nil {
			t.Fatal(err)
		}
	}
	wg.Wait()
	return seqs
}

func pendingSeqs(t testing.TB, s *Store) []int64 {
	t.Helper()
	list, err := s.Pending(t.Context(), 0, 1<<30)
	if err != nil {
		t.Fatal(err)
	}
	seqs := make([]int64, len(list))
	for i := range list {
		seqs[i] = list[i].Seq
	}
	return seqs
}

func entry(n int) OutboxEntry {
	return OutboxEntry{
		Direction: X2S, Pair: "mira@chat.example|sip:otto@sip.example", Flow: fmt.Sprintf("f-%d", n),
		Payload: fmt.Appendf(nil, "<message id='m-%d'><body>hello</body></message>", n),
		Created: time.UnixMilli(1_700_000_000_000 + int64(n)).UTC(),
	}
}

func count(t testing.TB, s *Store, table string) int {
	t.Helper()
	var n int
	if err := s.db.QueryRowContext(t.Context(), "SELECT COUNT(*) FROM "+table).Scan(&n); err != nil {
		t.Fatal(err)
	}
	return n
}
