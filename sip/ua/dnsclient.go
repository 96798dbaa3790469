package ua

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"os"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/miekg/dns"
)

// Life of cache entries. The floor keeps a TTL of 0 from costing a query per
// message, the ceilings keep a mistake in a zone from lasting.
const (
	ttlFloor       = time.Second
	ttlCeiling     = time.Hour
	negativeFor    = 30 * time.Second // without a SOA to say better
	negativeMax    = 5 * time.Minute
	failureFor     = 3 * time.Second // SERVFAIL and silence
	maxCached      = 10_000
	hostsCheck     = 5 * time.Second
	queryTimeout   = 2 * time.Second
	queriesPerName = 2
)

// dnsClient asks recursive resolvers and remembers what they said.
type dnsClient struct {
	servers []string
	system  *dns.ClientConfig // of /etc/resolv.conf; for its search list
	timeout time.Duration
	now     func() time.Time
	files   hostsFile

	mu     sync.Mutex
	cache  map[question]*answer
	flight map[question]*flight
}

type question struct {
	name  string
	qtype uint16
}

// answer is a cached result; records is empty when the name has none of the type.
type answer struct {
	records []dns.RR
	err     error
	expires time.Time
}

// flight is a query that several callers wait for. It ends with the last of them.
type flight struct {
	done    chan struct{}
	ans     *answer
	waiting int // under the client's lock
	cancel  context.CancelFunc
}

func newDNSClient(cfg ResolverConfig) *dnsClient {
	c := &dnsClient{
		servers: cfg.Servers, timeout: cfg.Timeout, now: time.Now,
		cache: map[question]*answer{}, flight: map[question]*flight{},
	}
	c.files.path = cfg.Hosts
	if c.files.path == "" {
		c.files.path = "/etc/hosts"
	}
	if c.timeout <= 0 {
		c.timeout = queryTimeout
	}
	if len(c.servers) == 0 {
		if conf, err := dns.ClientConfigFromFile("/etc/resolv.conf"); err == nil {
			c.system = conf
			for _, s := range conf.Servers {
				c.servers = append(c.servers, net.JoinHostPort(s, conf.Port))
			}
		}
	}
	return c
}

// local tells whether a name is found in the hosts file, so that no server is to
// be asked for NAPTR and SRV.
func (c *dnsClient) local(host string) bool { return len(c.files.lookup(host, c.now())) > 0 }

var errNoAddress = errors.New("no address")

// addresses lists the addresses of a host, families alternating. A name without a
// dot is tried with the search list of resolv.conf too, as other programs do.
func (c *dnsClient) addresses(ctx context.Context, host string) ([]netip.Addr, error) {
	if a := c.files.lookup(host, c.now()); len(a) > 0 {
		return a, nil
	}
	names := []string{host}
	if c.system != nil && !strings.Contains(host, ".") {
		names = c.system.NameList(host)
	}
	var last error
	for _, name := range names {
		list, err := c.hostAddresses(ctx, strings.TrimSuffix(name, "."))
		if len(list) > 0 {
			return list, nil
		}
		if err != nil {
			last = err
		}
	}
	if last == nil {
		last = errNoAddress
	}
	return nil, fmt.Errorf("%s: %w", host, last)
}

func (c *dnsClient) hostAddresses(ctx context.Context, host string) ([]netip.Addr, error) {
	var six, four []netip.Addr
	var err6, err4 error
	done := make(chan struct{})
	go func() {
		defer close(done)
		var ans *answer
		if ans, err6 = c.lookup(ctx, host, dns.TypeAAAA); err6 == nil {
			for _, rr := range ans.records {
				if a, ok := rr.(*dns.AAAA); ok {
					if ip, ok := netip.AddrFromSlice(a.AAAA); ok {
						six = append(six, ip)
					}
				}
			}
		}
	}()
	var ans *answer
	if ans, err4 = c.lookup(ctx, host, dns.TypeA); err4 == nil {
		for _, rr := range ans.records {
			if a, ok := rr.(*dns.A); ok {
				if ip, ok := netip.AddrFromSlice(a.A); ok {
					four = append(four, ip.Unmap())
				}
			}
		}
	}
	<-done
	return alternate(four, six), errors.Join(err4, err6)
}

// alternate mixes two lists, beginning with a: IPv4 first, because it is what SIP
// peers mostly have.
func alternate(a, b []netip.Addr) []netip.Addr {
	out := make([]netip.Addr, 0, len(a)+len(b))
	for i := range max(len(a), len(b)) {
		if i < len(a) {
			out = append(out, a[i])
		}
		if i < len(b) {
			out = append(out, b[i])
		}
	}
	return out
}

// lookup answers from the cache or asks. A name that does not exist is an answer
// without records.
func (c *dnsClient) lookup(ctx context.Context, name string, qtype uint16) (*answer, error) {
	q := question{strings.ToLower(name), qtype}
	c.mu.Lock()
	if a := c.cache[q]; a != nil && c.now().Before(a.expires) {
		c.mu.Unlock()
		return a, a.err
	}
	f := c.flight[q]
	if f == nil {
		f = &flight{done: make(chan struct{})}
		c.flight[q] = f
		var fctx context.Context
		fctx, f.cancel = context.WithCancel(context.WithoutCancel(ctx))
		go c.fly(fctx, q, f)
	}
	f.waiting++
	c.mu.Unlock()
	select {
	case <-f.done:
		return f.ans, f.ans.err
	case <-ctx.Done():
	}
	c.mu.Lock()
	if f.waiting--; f.waiting == 0 {
		f.cancel()
		if c.flight[q] == f {
			delete(c.flight, q)
		}
	}
	c.mu.Unlock()
	return nil, context.Cause(ctx)
}

func (c *dnsClient) fly(ctx context.Context, q question, f *flight) {
	defer f.cancel()
	f.ans = c.ask(ctx, q)
	c.mu.Lock()
	if c.flight[q] == f {
		delete(c.flight, q)
	}
	if ctx.Err() == nil { // else nobody waits and it says nothing about the name
		if len(c.cache) >= maxCached {
			c.evict()
		}
		c.cache[q] = f.ans
	}
	c.mu.Unlock()
	close(f.done)
}

// evict makes room: what has expired, or else any eighth; c.mu is held.
func (c *dnsClient) evict() {
	now := c.now()
	for q, a := range c.cache {
		if now.After(a.expires) {
			delete(c.cache, q)
		}
	}
	if n := len(c.cache); n >= maxCached {
		for q := range c.cache {
			delete(c.cache, q)
			if n--; n < maxCached*7/8 {
				break
			}
		}
	}
}

// ask queries the servers in turn.
func (c *dnsClient) ask(ctx context.Context, q question) *answer {
	fail := func(err error) *answer {
		return &answer{err: fmt.Errorf("%s %s: %w", dns.TypeToString[q.qtype], q.name, err), expires: c.now().Add(failureFor)}
	}
	if len(c.servers) == 0 {
		return fail(errors.New("no DNS server is configured"))
	}
	if _, ok := dns.IsDomainName(q.name); !ok {
		return fail(errors.New("not a domain name"))
	}
	m := new(dns.Msg)
	m.SetQuestion(dns.Fqdn(q.name), q.qtype)
	m.SetEdns0(1232, false)
	var last error
	for range queriesPerName {
		for _, server := range c.servers {
			r, err := c.exchange(ctx, m, server)
			switch {
			case ctx.Err() != nil:
				return fail(context.Cause(ctx))
			case err != nil:
				last = err
			case r.Rcode == dns.RcodeSuccess || r.Rcode == dns.RcodeNameError:
				return c.answerOf(q, r)
			default:
				last = fmt.Errorf("server says %s", dns.RcodeToString[r.Rcode])
			}
		}
	}
	return fail(last)
}

func (c *dnsClient) exchange(ctx context.Context, m *dns.Msg, server string) (*dns.Msg, error) {
	r, err := c.query(ctx, "udp", m, server)
	if err == nil && r.Truncated {
		r, err = c.query(ctx, "tcp", m, server)
	}
	return r, err
}

func (c *dnsClient) query(ctx context.Context, network string, m *dns.Msg, server string) (*dns.Msg, error) {
	client := dns.Client{Net: network, Timeout: c.timeout}
	conn, err := client.DialContext(ctx, server)
	if err != nil {
		return nil, err
	}
	defer conn.Close()
	// The library looks at the deadline of a context, not at its end.
	defer context.AfterFunc(ctx, func() { _ = conn.Close() })()
	r, _, err := client.ExchangeWithConn(m, conn)
	return r, err
}

// answerOf keeps the records of the type, whatever CNAMEs led to them.
func (c *dnsClient) answerOf(q question, r *dns.Msg) *answer {
	a := &answer{}
	ttl := ttlCeiling
	for _, rr := range r.Answer {
		ttl = min(ttl, time.Duration(rr.Header().Ttl)*time.Second)
		if rr.Header().Rrtype == q.qtype {
			a.records = append(a.records, rr)
		}
	}
	if len(a.records) == 0 {
		ttl = negativeFor
		for _, rr := range r.Ns {
			if soa, ok := rr.(*dns.SOA); ok { // RFC 2308 §5
				ttl = min(time.Duration(min(soa.Minttl, soa.Hdr.Ttl))*time.Second, negativeMax)
			}
		}
	}
	a.expires = c.now().Add(max(ttl, ttlFloor))
	return a
}

// hostsFile is /etc/hosts, read again when it has changed.
type hostsFile struct {
	path string

	mu      sync.Mutex
	checked time.Time
	changed time.Time
	size    int64
	m       map[string][]netip.Addr
}

// lookup finds a name; localhost needs no file (RFC 6761 §6.3).
func (h *hostsFile) lookup(name string, now time.Time) []netip.Addr {
	name = strings.ToLower(strings.TrimSuffix(name, "."))
	h.mu.Lock()
	defer h.mu.Unlock()
	if h.checked.IsZero() || now.Sub(h.checked) > hostsCheck {
		h.checked = now
		h.reload()
	}
	if a := h.m[name]; a != nil {
		return a
	}
	if name == "localhost" || strings.HasSuffix(name, ".localhost") {
		return []netip.Addr{netip.AddrFrom4([4]byte{127, 0, 0, 1}), netip.IPv6Loopback()}
	}
	return nil
}

func (h *hostsFile) reload() {
	st, err := os.Stat(h.path)
	if err != nil {
		h.m = nil
		return
	}
	if h.m != nil && st.ModTime().Equal(h.changed) && st.Size() == h.size {
		return
	}
	f, err := os.Open(h.path)
	if err != nil {
		h.m = nil
		return
	}
	defer f.Close()
	h.changed, h.size = st.ModTime(), st.Size()
	m := map[string][]netip.Addr{}
	for sc := bufio.NewScanner(f); sc.Scan(); {
		line, _, _ := strings.Cut(sc.Text(), "#")
		fields := strings.Fields(line)
		if len(fields) < 2 {
			continue
		}
		a, err := netip.ParseAddr(fields[0])
		if err != nil {
			continue
		}
		for _, name := range fields[1:] {
			name = strings.ToLower(strings.TrimSuffix(name, "."))
			m[name] = append(m[name], a.Unmap())
		}
	}
	for name, list := range m {
		// As for DNS: IPv4 before IPv6.
		slices.SortStableFunc(list, func(a, b netip.Addr) int {
			switch {
			case a.Is4() == b.Is4():
				return 0
			case a.Is4():
				return -1
			}
			return 1
		})
		m[name] = list
	}
	h.m = m
}
