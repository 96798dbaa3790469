package siptest

import (
	"fmt"
	"net"
	"strings"
	"sync"
	"time"

	"github.com/miekg/dns"
)

// Failure is how the DNS server fails on purpose.
type Failure int

const (
	// Healthy answers from the records.
	Healthy Failure = iota
	// ServFail answers SERVFAIL.
	ServFail
	// Refused answers REFUSED.
	Refused
	// NoAnswer loses the query.
	NoAnswer
	// Truncated answers over UDP with the TC bit and no records; TCP is healthy.
	Truncated
	// WrongID answers with the id of another query.
	WrongID
)

// Query is one question that the server was asked.
type Query struct {
	Name    string // lower case, with the final dot
	Type    string // "SRV", "NAPTR", …
	Network string // "udp" or "tcp"
	At      time.Time
}

// DNS is a DNS server on a loopback port (UDP and TCP) with records set by the
// test. It is authoritative for everything: a name without records is NXDOMAIN,
// a name without records of the type asked has an empty answer.
type DNS struct {
	udp, tcp *dns.Server
	addr     string
	wg       sync.WaitGroup

	mu      sync.Mutex
	records map[string][]dns.RR // by lower case name
	failure map[string]Failure  // by lower case name, "" = every name
	queries []Query
}

// NewDNS starts the server.
func NewDNS() (*DNS, error) {
	d := &DNS{records: map[string][]dns.RR{}, failure: map[string]Failure{}}
	for try := 0; ; try++ { // the TCP port of the UDP socket may be taken
		pc, err := net.ListenPacket("udp", "127.0.0.1:0")
		if err != nil {
			return nil, fmt.Errorf("siptest: dns: %w", err)
		}
		ln, err := net.Listen("tcp", pc.LocalAddr().String())
		if err != nil {
			_ = pc.Close()
			if try < 10 {
				continue
			}
			return nil, fmt.Errorf("siptest: dns: %w", err)
		}
		d.addr = pc.LocalAddr().String()
		d.udp = &dns.Server{PacketConn: pc, Handler: d.handler("udp")}
		d.tcp = &dns.Server{Listener: ln, Handler: d.handler("tcp")}
		break
	}
	var started sync.WaitGroup
	for _, s := range []*dns.Server{d.udp, d.tcp} {
		started.Add(1)
		s.NotifyStartedFunc = started.Done
		d.wg.Go(func() { _ = s.ActivateAndServe() })
	}
	started.Wait()
	return d, nil
}

// StartDNS is NewDNS for tests.
func StartDNS(t TB) *DNS {
	t.Helper()
	d, err := NewDNS()
	if err != nil {
		t.Fatalf("%v", err)
	}
	t.Cleanup(func() { _ = d.Close() })
	return d
}

// Addr is host:port of the server.
func (d *DNS) Addr() string { return d.addr }

// Close stops the server.
func (d *DNS) Close() error {
	err := d.udp.Shutdown()
	if e := d.tcp.Shutdown(); err == nil {
		err = e
	}
	d.wg.Wait()
	return err
}

// Add adds records in zone file form: "sip.example.test. 60 IN A 127.0.0.1".
func (d *DNS) Add(records ...string) error {
	var rrs []dns.RR
	for _, s := range records {
		rr, err := dns.NewRR(s)
		if err != nil {
			return fmt.Errorf("siptest: dns: %q: %w", s, err)
		}
		if rr == nil {
			return fmt.Errorf("siptest: dns: %q is no record", s)
		}
		rrs = append(rrs, rr)
	}
	d.mu.Lock()
	defer d.mu.Unlock()
	for _, rr := range rrs {
		name := strings.ToLower(rr.Header().Name)
		d.records[name] = append(d.records[name], rr)
	}
	return nil
}

// Host adds an A or AAAA record for each address, with a TTL in seconds.
func (d *DNS) Host(name string, ttl int, addrs ...string) error {
	for _, a := range addrs {
		kind := "A"
		if strings.Contains(a, ":") {
			kind = "AAAA"
		}
		if err := d.Add(fmt.Sprintf("%s %d IN %s %s", dns.Fqdn(name), ttl, kind, a)); err != nil {
			return err
		}
	}
	return nil
}

// SRV adds an SRV record; name is like _sip._udp.example.test.
func (d *DNS) SRV(name string, ttl, priority, weight, port int, target string) error {
	return d.Add(fmt.Sprintf("%s %d IN SRV %d %d %d %s", dns.Fqdn(name), ttl, priority, weight, port, dns.Fqdn(target)))
}

// NAPTR adds a NAPTR record with flag "s" and no regular expression, as RFC 3263
// §4.1 uses them; service is like SIP+D2U.
func (d *DNS) NAPTR(name string, ttl, order, preference int, service, replacement string) error {
	return d.Add(fmt.Sprintf(`%s %d IN NAPTR %d %d "s" %q "" %s`, dns.Fqdn(name), ttl, order, preference, service, dns.Fqdn(replacement)))
}

// Remove removes all records of a name.
func (d *DNS) Remove(name string) {
	d.mu.Lock()
	defer d.mu.Unlock()
	delete(d.records, strings.ToLower(dns.Fqdn(name)))
}

// Fail sets how questions for a name fail ("" = every name); Healthy ends it.
func (d *DNS) Fail(name string, f Failure) {
	if name != "" {
		name = strings.ToLower(dns.Fqdn(name))
	}
	d.mu.Lock()
	defer d.mu.Unlock()
	d.failure[name] = f
}

// Queries returns what was asked so far.
func (d *DNS) Queries() []Query {
	d.mu.Lock()
	defer d.mu.Unlock()
	return append([]Query(nil), d.queries...)
}

// ForgetQueries empties the query log.
func (d *DNS) ForgetQueries() {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.queries = nil
}

func (d *DNS) handler(network string) dns.HandlerFunc {
	return func(w dns.ResponseWriter, req *dns.Msg) {
		m := new(dns.Msg)
		m.SetReply(req)
		m.Authoritative = true
		if len(req.Question) != 1 {
			m.Rcode = dns.RcodeFormatError
			_ = w.WriteMsg(m)
			return
		}
		switch d.answer(m, req.Question[0], network) {
		case NoAnswer:
			return
		case WrongID:
			m.Id++
		}
		_ = w.WriteMsg(m)
	}
}

// answer fills m and returns the failure that applies.
func (d *DNS) answer(m *dns.Msg, q dns.Question, network string) Failure {
	name := strings.ToLower(q.Name)
	d.mu.Lock()
	defer d.mu.Unlock()
	d.queries = append(d.queries, Query{name, dns.TypeToString[q.Qtype], network, time.Now()})
	f := d.failure[name]
	if f == Healthy {
		f = d.failure[""]
	}
	switch f {
	case ServFail:
		m.Rcode = dns.RcodeServerFailure
		return f
	case Refused:
		m.Rcode = dns.RcodeRefused
		return f
	case NoAnswer:
		return f
	case Truncated:
		if network == "udp" {
			m.Truncated = true
			return f
		}
	}
	records, ok := d.records[name]
	if !ok {
		m.Rcode = dns.RcodeNameError
	}
	for _, rr := range records {
		if rr.Header().Rrtype == q.Qtype || rr.Header().Rrtype == dns.TypeCNAME {
			m.Answer = append(m.Answer, rr)
			if c, ok := rr.(*dns.CNAME); ok { // one step, as resolvers return it
				for _, t := range d.records[strings.ToLower(c.Target)] {
					if t.Header().Rrtype == q.Qtype {
						m.Answer = append(m.Answer, t)
					}
				}
			}
		}
	}
	return f
}
