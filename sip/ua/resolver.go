package ua

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"net/netip"
	"slices"
	"strings"
	"time"

	"github.com/miekg/dns"

	"github.com/stoxgate/stoxgate/sip"
)

// Dest is one address to send to.
type Dest struct {
	Transport string // udp, tcp, tls
	Addr      netip.AddrPort
	Name      string // the domain of the URI, for which a certificate must be valid
}

func (d Dest) String() string { return d.Transport + "://" + d.Addr.String() }

// Transports tells what can be sent over. UDP4 and UDP6 tell for which address
// families there is a socket.
type Transports struct{ UDP, UDP4, UDP6, TCP, TLS bool }

func (t Transports) has(transport string) bool {
	switch transport {
	case "udp":
		return t.UDP
	case "tcp":
		return t.TCP
	case "tls":
		return t.TLS
	}
	return false
}

// ResolverConfig is the configuration of a Resolver.
type ResolverConfig struct {
	// Servers are "address:port" of recursive resolvers; empty: /etc/resolv.conf.
	Servers []string
	// Hosts is the hosts file; empty: /etc/hosts.
	Hosts string
	// Timeout of one query to one server, default 2 s; each server is asked twice.
	Timeout time.Duration
}

// Resolver locates SIP servers (RFC 3263): NAPTR, SRV, A and AAAA with a cache,
// and remembers which addresses failed. It is safe for concurrent use.
type Resolver struct {
	dns    *dnsClient
	blocks *blocklist
}

// NewResolver makes a resolver. What cannot be read of the system's files shows
// when something is resolved.
func NewResolver(cfg ResolverConfig) *Resolver {
	return &Resolver{dns: newDNSClient(cfg), blocks: newBlocklist()}
}

// Resolve lists the addresses of a next hop, the best first; addresses that failed
// lately come last. There is at least one without an error. Errors are ErrResolve.
func (r *Resolver) Resolve(ctx context.Context, uri sip.URI, can Transports) ([]Dest, error) {
	list, err := r.resolve(ctx, uri, can)
	if err != nil {
		return nil, fmt.Errorf("%w: %s: %w", ErrResolve, uri.Host, err)
	}
	list = slices.DeleteFunc(list, func(d Dest) bool {
		return d.Transport == "udp" && (d.Addr.Addr().Is4() && !can.UDP4 || d.Addr.Addr().Is6() && !can.UDP6)
	})
	if len(list) == 0 {
		return nil, fmt.Errorf("%w: %s: no address that can be reached from here", ErrResolve, uri.Host)
	}
	return r.blocks.order(list), nil
}

var errTransportUnknown = errors.New("transport cannot be used")

func (r *Resolver) resolve(ctx context.Context, uri sip.URI, can Transports) ([]Dest, error) {
	if !uri.IsSIP() {
		return nil, fmt.Errorf("no SIP location for %s: URIs", uri.Scheme)
	}
	host := uri.Host
	if maddr, ok := uri.Params.Get("maddr"); ok && maddr != "" {
		host = strings.ToLower(maddr) // RFC 3263 §4: the target is maddr if present
	}
	transport, err := transportOf(uri, can)
	if err != nil {
		return nil, err
	}
	name := strings.TrimSuffix(uri.Host, ".")
	port := uint16(uri.Port)
	if a, err := netip.ParseAddr(strings.Trim(host, "[]")); err == nil {
		return []Dest{address(uri, a, transport, can)}, nil
	}
	host = strings.TrimSuffix(host, ".")
	if port != 0 || r.dns.local(host) {
		// §4.2: a port means A and AAAA only; a name of the hosts file has nothing else.
		t := cmp.Or(transport, defaultTransport(uri, can))
		return r.hosts(ctx, host, cmp.Or(port, defaultPort(t)), t, name)
	}
	if transport != "" {
		return r.byService(ctx, host, name, []service{{transport, srvName(transport, host)}}, transport)
	}
	services, err := r.naptr(ctx, host, uri.Scheme == "sips", can)
	if err != nil {
		return nil, err
	}
	if len(services) == 0 {
		services = wellKnown(host, uri.Scheme == "sips", can)
	}
	return r.byService(ctx, host, name, services, defaultTransport(uri, can))
}

// address is the destination of a URI whose target is an address.
func address(uri sip.URI, a netip.Addr, transport string, can Transports) Dest {
	d := Dest{Transport: cmp.Or(transport, defaultTransport(uri, can)), Name: strings.TrimSuffix(uri.Host, ".")}
	d.Addr = netip.AddrPortFrom(a.Unmap(), cmp.Or(uint16(uri.Port), defaultPort(d.Transport)))
	return d
}

// transportOf is the transport that the URI asks for, "" for none (§4.1).
func transportOf(uri sip.URI, can Transports) (string, error) {
	t := strings.ToLower(uri.Params.Value("transport"))
	if uri.Scheme == "sips" && (t == "" && !can.TLS || t == "udp") {
		return "", fmt.Errorf("%w: sips needs TLS", errTransportUnknown)
	}
	switch t {
	case "":
		return "", nil
	case "tcp":
		if uri.Scheme == "sips" {
			t = "tls"
		}
	case "udp", "tls":
	default: // ws and wss too: nobody can connect to a browser
		return "", fmt.Errorf("%w: %q", errTransportUnknown, t)
	}
	if !can.has(t) {
		return "", fmt.Errorf("%w: %q", errTransportUnknown, t)
	}
	return t, nil
}

// defaultTransport is UDP for sip and TLS for sips (§4.1), TCP without a UDP
// listener.
func defaultTransport(uri sip.URI, can Transports) string {
	switch {
	case uri.Scheme == "sips":
		return "tls"
	case can.UDP:
		return "udp"
	}
	return "tcp"
}

func defaultPort(transport string) uint16 {
	if transport == "tls" {
		return 5061
	}
	return 5060
}

// service is a SRV name to ask for and the transport it stands for.
type service struct{ transport, name string }

func srvName(transport, host string) string {
	switch transport {
	case "tls":
		return "_sips._tcp." + host
	case "tcp":
		return "_sip._tcp." + host
	}
	return "_sip._udp." + host
}

// wellKnown is what to ask for without NAPTR (§4.1), the safer first.
func wellKnown(host string, sips bool, can Transports) (list []service) {
	for _, t := range [...]string{"tls", "tcp", "udp"} {
		if can.has(t) && (!sips || t == "tls") {
			list = append(list, service{t, srvName(t, host)})
		}
	}
	return list
}

// naptr asks for the services of a domain, in its order (§4.1). A domain without
// NAPTR gives none; an error is one that makes going on pointless.
func (r *Resolver) naptr(ctx context.Context, host string, sips bool, can Transports) ([]service, error) {
	ans, err := r.dns.lookup(ctx, host, dns.TypeNAPTR)
	if err != nil {
		if ctx.Err() != nil {
			return nil, err
		}
		return nil, nil // servers that know no NAPTR exist; SRV and A may still work
	}
	var records []*dns.NAPTR
	for _, rr := range ans.records {
		if n, ok := rr.(*dns.NAPTR); ok && strings.EqualFold(n.Flags, "s") {
			records = append(records, n)
		}
	}
	slices.SortStableFunc(records, func(a, b *dns.NAPTR) int {
		return cmp.Or(cmp.Compare(a.Order, b.Order), cmp.Compare(a.Preference, b.Preference))
	})
	var list []service
	for _, n := range records {
		t := ""
		switch strings.ToUpper(n.Service) {
		case "SIPS+D2T":
			t = "tls"
		case "SIP+D2T":
			t = "tcp"
		case "SIP+D2U":
			t = "udp"
		}
		if t != "" && can.has(t) && (!sips || t == "tls") {
			list = append(list, service{t, strings.TrimSuffix(n.Replacement, ".")})
		}
		if len(list) == maxServices {
			break
		}
	}
	return list, nil
}

// byService asks for all SRV names at once and lists their targets service by
// service. Without any SRV record, the host itself on the default port is it.
func (r *Resolver) byService(ctx context.Context, host, name string, services []service, fallback string) ([]Dest, error) {
	type result struct {
		list  []Dest
		found bool
		err   error
	}
	results := make([]result, len(services))
	done := make(chan int, len(services))
	for i, s := range services {
		go func() {
			results[i].list, results[i].found, results[i].err = r.srv(ctx, s, name)
			done <- i
		}()
	}
	for range services {
		<-done // bounded: every query has its timeout
	}
	var list []Dest
	var firstErr error
	found := false
	for _, res := range results {
		list = append(list, res.list...)
		found = found || res.found
		if firstErr == nil {
			firstErr = res.err
		}
	}
	switch {
	case len(list) > 0:
		return list, nil
	case found:
		return nil, cmp.Or(firstErr, errors.New("the domain offers no SIP service"))
	}
	list, err := r.hosts(ctx, host, defaultPort(fallback), fallback, name)
	return list, err
}

// A zone is foreign: it must not cost more look-ups than these.
const (
	maxServices = 8              // of NAPTR
	maxRecords  = 2 * maxTargets // of one SRV name, some of which may lead nowhere
)

// srv lists the addresses behind one SRV name. found tells that it exists, even
// if it says that there is no service (target ".", RFC 2782).
func (r *Resolver) srv(ctx context.Context, s service, name string) (list []Dest, found bool, err error) {
	ans, err := r.dns.lookup(ctx, s.name, dns.TypeSRV)
	if err != nil {
		return nil, false, err
	}
	var records []*dns.SRV
	for _, rr := range ans.records {
		if v, ok := rr.(*dns.SRV); ok {
			records = append(records, v)
		}
	}
	records = orderSRV(records)
	for _, v := range records[:min(len(records), maxRecords)] {
		if len(list) >= maxTargets {
			break // nobody tries more
		}
		target := strings.TrimSuffix(strings.ToLower(v.Target), ".")
		if target == "" || v.Port == 0 {
			continue
		}
		hosts, herr := r.hosts(ctx, target, v.Port, s.transport, name)
		if herr != nil {
			err = herr
			continue
		}
		list = append(list, hosts...)
	}
	return list, len(records) > 0, err
}

// orderSRV sorts by priority and draws by weight within one (RFC 2782).
func orderSRV(records []*dns.SRV) []*dns.SRV {
	rest := slices.Clone(records)
	slices.SortStableFunc(rest, func(a, b *dns.SRV) int {
		// Weight 0 first, so that it can be drawn at all.
		return cmp.Or(cmp.Compare(a.Priority, b.Priority), cmp.Compare(a.Weight, b.Weight))
	})
	out := make([]*dns.SRV, 0, len(rest))
	for len(rest) > 0 {
		n, sum := 0, 0
		for n < len(rest) && rest[n].Priority == rest[0].Priority {
			sum += int(rest[n].Weight)
			n++
		}
		draw, pick := rand.IntN(sum+1), 0
		for i, run := 0, 0; i < n; i++ {
			run += int(rest[i].Weight)
			if run >= draw {
				pick = i
				break
			}
		}
		out = append(out, rest[pick])
		rest = slices.Delete(rest, pick, pick+1)
	}
	return out
}

// hosts lists the addresses of one host. IPv6 and IPv4 alternate, so that a family
// that does not work costs one attempt and not half of them (RFC 8305 §4).
func (r *Resolver) hosts(ctx context.Context, host string, port uint16, transport, name string) ([]Dest, error) {
	addrs, err := r.dns.addresses(ctx, host)
	if err != nil {
		return nil, err
	}
	list := make([]Dest, len(addrs))
	for i, a := range addrs {
		list[i] = Dest{Transport: transport, Addr: netip.AddrPortFrom(a, port), Name: name}
	}
	return list, nil
}

// Block remembers that an address failed: it is tried last for that long, by
// default 32 s (RFC 3263 §4.3, RFC 3261 §21.5.4).
func (r *Resolver) Block(d Dest, wait time.Duration) { r.blocks.add(d, wait) }

// Blocked tells whether an address failed lately.
func (r *Resolver) Blocked(d Dest) bool { return r.blocks.has(d) }
