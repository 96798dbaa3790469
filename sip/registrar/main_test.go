package registrar

import (
	"context"
	"errors"
	"net/netip"
	"strconv"
	"strings"
	"sync"
	"testing"

	"github.com/stretchr/testify/require"
	"go.uber.org/goleak"

	"github.com/stoxgate/stoxgate/sip"
	"github.com/stoxgate/stoxgate/sip/ua"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// memoryStore is Bindings in memory, able to fail.
type memoryStore struct {
	mu   sync.Mutex
	rows map[[2]string]Row
	fail func(op, id string) error
}

func newMemoryStore() *memoryStore { return &memoryStore{rows: map[[2]string]Row{}} }

var errDisk = errors.New("disk full")

func (s *memoryStore) failing(op, id string) error {
	if s.fail == nil {
		return nil
	}
	return s.fail(op, id)
}

func (s *memoryStore) Put(_ context.Context, r Row) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if err := s.failing("put", r.ID); err != nil {
		return err
	}
	s.rows[[2]string{r.AOR, r.ID}] = r
	return nil
}

func (s *memoryStore) Delete(_ context.Context, aor, id string) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if err := s.failing("delete", id); err != nil {
		return err
	}
	delete(s.rows, [2]string{aor, id})
	return nil
}

func (s *memoryStore) All(_ context.Context, f func(Row) error) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if err := s.failing("all", ""); err != nil {
		return err
	}
	for _, r := range s.rows {
		if err := f(r); err != nil {
			return err
		}
	}
	return nil
}

func (s *memoryStore) ids() []string {
	s.mu.Lock()
	defer s.mu.Unlock()
	var out []string
	for k := range s.rows {
		out = append(out, k[1])
	}
	return out
}

const domain = "sip.example.org"

var otto = sip.URI{Scheme: "sip", User: "otto", Host: domain}

func testConfig() Config {
	return Config{
		Domain:  func(h string) bool { return h == domain },
		Allowed: func(aor sip.URI, user string) bool { return aor.User == user },
	}
}

// sender is where a REGISTER comes from in tests without sockets.
type sender struct {
	transport string
	source    string
	id        uint64 // of the connection
}

func (s sender) flow() ua.Flow {
	f := ua.Flow{Transport: s.transport, Local: netip.MustParseAddrPort("192.0.2.1:5060"), Remote: netip.MustParseAddrPort(s.source)}
	if s.transport != "udp" {
		f.ID = s.id
	}
	return f
}

var udpPhone = sender{transport: "udp", source: "192.0.2.9:5060"}

// register builds a REGISTER from header lines; a line replaces the default of
// its name, "Name:" removes it.
func register(t testing.TB, lines ...string) *sip.Request {
	t.Helper()
	headers := [][2]string{
		{"Via", "SIP/2.0/UDP 192.0.2.9:5060;branch=z9hG4bK1"},
		{"Max-Forwards", "70"},
		{"From", "<sip:otto@" + domain + ">;tag=1"},
		{"To", "<sip:otto@" + domain + ">"},
		{"Call-ID", "c1"},
		{"CSeq", "1 REGISTER"},
	}
	uri := "sip:" + domain
	for _, l := range lines {
		name, value, _ := strings.Cut(l, ":")
		value = strings.TrimSpace(value)
		if name == "URI" {
			uri = value
			continue
		}
		set := false
		for i := range headers {
			if headers[i][0] == name && name != "Contact" && name != "Via" && name != "Path" {
				headers[i][1], set = value, true
			}
		}
		if !set {
			headers = append(headers, [2]string{name, value})
		}
	}
	raw := "REGISTER " + uri + " SIP/2.0\r\n"
	for _, h := range headers {
		if h[1] != "" {
			raw += h[0] + ": " + h[1] + "\r\n"
		}
	}
	msg, err := sip.ParseMessage([]byte(raw + "Content-Length: 0\r\n\r\n"))
	require.NoError(t, err, raw)
	return msg.(*sip.Request)
}

// submit is Handle without digest.
func submit(r *Registrar, req *sip.Request, from sender) *sip.Status {
	aor, s := parseAOR(req, r.cfg.Domain)
	if s != nil {
		return s
	}
	return r.accept(req, aor, from.transport, netip.MustParseAddrPort(from.source), from.flow())
}

// contactsOf are the Contact values of an answer.
func contactsOf(s *sip.Status) []string { return valuesOf(s, "Contact") }

func valuesOf(s *sip.Status, name string) []string {
	var out []string
	for _, h := range s.Headers {
		if strings.EqualFold(h.Name(), name) {
			out = append(out, h.Value())
		}
	}
	return out
}

// newRegistrar makes a registrar that runs until stop, or until the test ends.
func newRegistrar(t testing.TB, cfg Config) (r *Registrar, stop func()) {
	t.Helper()
	r, err := New(context.Background(), cfg)
	require.NoError(t, err)
	ctx, cancel := context.WithCancel(context.Background())
	ended := make(chan error, 1)
	go func() { ended <- r.Run(ctx) }()
	stop = sync.OnceFunc(func() {
		cancel()
		require.NoError(t, <-ended)
	})
	t.Cleanup(stop)
	return r, stop
}

func uris(list []Binding) []string {
	var out []string
	for _, b := range list {
		out = append(out, b.Contact.String())
	}
	return out
}

func cseq(n int) string { return "CSeq: " + strconv.Itoa(n) + " REGISTER" }
