package config

import (
	"errors"
	"fmt"
	"net"
	"net/netip"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/nyaruka/phonenumbers"
	"golang.org/x/net/idna"

	"github.com/stoxgate/stoxgate/sip"
)

// scalar is a value that is written as one word. set reads it, kind names the
// type for the reference.
type scalar interface {
	set(text string) error
	kind() string
}

// Duration is a length of time, written as in Go plus d for days: 1h30m, 7d.
type Duration time.Duration

// D returns the duration as the standard library has it.
func (d Duration) D() time.Duration { return time.Duration(d) }

func (d Duration) String() string { return time.Duration(d).String() }

func (*Duration) kind() string { return "duration" }

func (d *Duration) set(text string) error {
	if days, ok := strings.CutSuffix(text, "d"); ok {
		n, err := strconv.ParseUint(days, 10, 16)
		if err != nil {
			return fmt.Errorf("%q is not a duration such as 90s, 15m, 24h or 7d", text)
		}
		*d = Duration(time.Duration(n) * 24 * time.Hour)
		return nil
	}
	v, err := time.ParseDuration(text)
	if err != nil || v < 0 {
		return fmt.Errorf("%q is not a duration such as 90s, 15m, 24h or 7d", text)
	}
	*d = Duration(v)
	return nil
}

// Size is a number of bytes, written with or without a unit: 65535, 64KiB, 1MB.
type Size int64

func (*Size) kind() string { return "size" }

var sizeUnits = []struct {
	suffix string
	factor int64
}{
	{"KiB", 1 << 10},
	{"MiB", 1 << 20},
	{"GiB", 1 << 30},
	{"kB", 1e3},
	{"KB", 1e3},
	{"MB", 1e6},
	{"GB", 1e9},
	{"B", 1},
	{"", 1},
}

func (s *Size) set(text string) error {
	for _, u := range sizeUnits {
		number, ok := strings.CutSuffix(text, u.suffix)
		if !ok {
			continue
		}
		n, err := strconv.ParseInt(strings.TrimSpace(number), 10, 64)
		if err != nil || n < 0 || n > (1<<62)/u.factor {
			break
		}
		*s = Size(n * u.factor)
		return nil
	}
	return fmt.Errorf("%q is not a size such as 65535, 64KiB or 1MB", text)
}

// Secret prints as ***, so that it cannot slip into a log.
type Secret string

func (Secret) String() string { return "***" }

// GoString keeps %#v silent as well.
func (Secret) GoString() string { return "***" }

// MarshalText keeps encoders silent as well.
func (Secret) MarshalText() ([]byte, error) { return []byte("***"), nil }

func (*Secret) kind() string { return "secret" }

func (s *Secret) set(text string) error {
	*s = Secret(text)
	return nil
}

// Path is the name of a file or folder; relative names start at the folder of
// the configuration file.
type Path string

func (*Path) kind() string { return "path" }

func (p *Path) set(text string) error {
	if strings.ContainsRune(text, 0) {
		return errors.New("a path cannot hold a zero byte")
	}
	*p = Path(text)
	return nil
}

// Host is an IP address or a host name without a port.
type Host string

func (*Host) kind() string { return "host" }

func (h *Host) set(text string) error {
	if a, err := netip.ParseAddr(strings.Trim(text, "[]")); err == nil {
		*h = Host(a.String())
		return nil
	}
	if _, _, err := net.SplitHostPort(text); err == nil {
		return fmt.Errorf("%q has a port; give the address alone", text)
	}
	if err := hostName(text); err != nil {
		return err
	}
	*h = Host(strings.ToLower(text))
	return nil
}

func hostName(text string) error {
	ascii, err := idna.Lookup.ToASCII(strings.TrimSuffix(text, "."))
	if err != nil || ascii == "" || len(ascii) > 253 || strings.ContainsAny(ascii, " :/@,;") {
		return fmt.Errorf("%q is not a host name or IP address", text)
	}
	return nil
}

// Domain is a domain name in lower case, or an IP address where a network has
// no names; IPv6 stands in brackets then.
type Domain string

func (*Domain) kind() string { return "domain" }

func (d *Domain) set(text string) error {
	if strings.Contains(text, "@") {
		return fmt.Errorf("%q is an address; give the domain alone", text)
	}
	if a, err := netip.ParseAddr(strings.Trim(text, "[]")); err == nil {
		*d = Domain(a.String())
		if a.Is6() {
			*d = Domain("[" + a.String() + "]")
		}
		return nil
	}
	if err := hostName(text); err != nil {
		return fmt.Errorf("%q is not a domain", text)
	}
	*d = Domain(strings.ToLower(strings.TrimSuffix(text, ".")))
	return nil
}

// HostPort is an address to connect to.
type HostPort struct {
	Host string // without brackets
	Port int
}

func (h HostPort) String() string {
	if h.Port == 0 {
		return ""
	}
	return net.JoinHostPort(h.Host, strconv.Itoa(h.Port))
}

func (*HostPort) kind() string { return "host:port" }

func (h *HostPort) set(text string) error {
	host, port, err := net.SplitHostPort(text)
	if err != nil {
		return fmt.Errorf("%q is not host:port", text)
	}
	var name Host
	if err := name.set(host); err != nil {
		return err
	}
	if h.Port, err = portNumber(port); err != nil {
		return err
	}
	h.Host = string(name)
	return nil
}

func portNumber(text string) (int, error) {
	n, err := strconv.ParseUint(text, 10, 16)
	if err != nil || n == 0 {
		return 0, fmt.Errorf("%q is not a port between 1 and 65535", text)
	}
	return int(n), nil
}

// HTTPListen is the address of the console, or off.
type HTTPListen struct {
	HostPort
}

// Off reports that there shall be no console.
func (h HTTPListen) Off() bool { return h.Port == 0 }

func (*HTTPListen) kind() string { return "address:port" }

func (h *HTTPListen) set(text string) error {
	if text == "off" {
		*h = HTTPListen{}
		return nil
	}
	if host, port, err := net.SplitHostPort(text); err == nil && host == "" { // ":8780"
		text = net.JoinHostPort("::", port)
	}
	return h.HostPort.set(text)
}

// Transports in the order of the reference.
var transports = []string{"udp", "tcp", "tls", "ws", "wss"}

var defaultPorts = map[string]int{"udp": 5060, "tcp": 5060, "tls": 5061, "ws": 80, "wss": 443}

// Listen is a SIP listener.
type Listen struct {
	Transport string // udp, tcp, tls, ws or wss
	Host      string // IP address or host name, without brackets
	Port      int
}

func (l Listen) String() string {
	return l.Transport + "://" + net.JoinHostPort(l.Host, strconv.Itoa(l.Port))
}

// Secure reports whether the listener needs a certificate.
func (l Listen) Secure() bool { return l.Transport == "tls" || l.Transport == "wss" }

func (*Listen) kind() string { return "listen URL" }

func (l *Listen) set(text string) error {
	u, err := url.Parse(text)
	if err != nil || u.Host == "" {
		return fmt.Errorf("%q is not a listen URL such as udp://0.0.0.0:5060", text)
	}
	if !slices.Contains(transports, u.Scheme) {
		return suggestion{fmt.Errorf("%q: unknown transport %q", text, u.Scheme), didYouMeanOr(u.Scheme, transports)}
	}
	if u.Path != "" && u.Path != "/" || u.User != nil || u.RawQuery != "" || u.Fragment != "" {
		return fmt.Errorf("%q: a listen URL has transport, address and port, nothing else", text)
	}
	var host Host
	if err := host.set(u.Hostname()); err != nil {
		return err
	}
	port := defaultPorts[u.Scheme]
	if p := u.Port(); p != "" {
		if port, err = portNumber(p); err != nil {
			return err
		}
	}
	*l = Listen{Transport: u.Scheme, Host: string(host), Port: port}
	return nil
}

// Prefix is a network in CIDR form; a bare address is a network of one.
type Prefix struct{ netip.Prefix }

func (*Prefix) kind() string { return "network" }

func (p *Prefix) set(text string) error {
	if a, err := netip.ParseAddr(text); err == nil {
		p.Prefix = netip.PrefixFrom(a, a.BitLen())
		return nil
	}
	v, err := netip.ParsePrefix(text)
	if err != nil {
		return fmt.Errorf("%q is not a network such as 10.0.0.0/8 or 2001:db8::/32", text)
	}
	if v != v.Masked() {
		return suggestion{fmt.Errorf("%q has bits set behind its length", text), fmt.Sprintf("did you mean %q?", v.Masked())}
	}
	p.Prefix = v
	return nil
}

// PortRange is a range of ports, both ends included.
type PortRange struct{ First, Last int }

func (r PortRange) String() string { return fmt.Sprintf("%d-%d", r.First, r.Last) }

func (*PortRange) kind() string { return "port range" }

func (r *PortRange) set(text string) error {
	first, last, ok := strings.Cut(text, "-")
	a, errA := portNumber(strings.TrimSpace(first))
	b, errB := portNumber(strings.TrimSpace(last))
	if !ok || errA != nil || errB != nil || a > b {
		return fmt.Errorf("%q is not a port range such as 20000-29999", text)
	}
	*r = PortRange{a, b}
	return nil
}

// ICEPort is the port that all XMPP clients share, or how it is found.
type ICEPort int

// ICEPorts that are no number.
const (
	ICEPortOff  ICEPort = 0  // each call has its own
	ICEPortAuto ICEPort = -1 // the first of media.ports that is free
)

func (*ICEPort) kind() string { return "port, auto or off" }

func (p *ICEPort) set(text string) error {
	switch text {
	case "auto":
		*p = ICEPortAuto
	case "off", "0":
		*p = ICEPortOff
	default:
		n, err := portNumber(text)
		if err != nil {
			return fmt.Errorf("%q is not a port between 1 and 65535, auto or off", text)
		}
		*p = ICEPort(n)
	}
	return nil
}

// SIPURI is a next hop.
type SIPURI struct{ sip.URI }

func (*SIPURI) kind() string { return "SIP URI" }

func (u *SIPURI) set(text string) error {
	v, err := sip.ParseURI(text)
	if err != nil {
		if !strings.HasPrefix(text, "sip:") {
			return suggestion{fmt.Errorf("%q is not a SIP URI", text), fmt.Sprintf("did you mean %q?", "sip:"+text)}
		}
		return fmt.Errorf("%q is not a SIP URI: %w", text, err)
	}
	switch v.Scheme {
	case "sip":
	case "sips":
		return suggestion{errors.New("sips: is not supported"), "write sip: and ;transport=tls"}
	default:
		return fmt.Errorf("%q is not a SIP URI", text)
	}
	if t, ok := v.Params.Get("transport"); ok && !slices.Contains(transports, strings.ToLower(t)) {
		return suggestion{fmt.Errorf("unknown transport %q", t), didYouMeanOr(t, transports)}
	}
	u.URI = v
	return nil
}

// Transport returns the transport that the URI asks for, in lower case; "" when
// it leaves the choice to DNS.
func (u SIPURI) Transport() string { return strings.ToLower(u.Params.Value("transport")) }

// Region is an ISO 3166 country code in upper case.
type Region string

func (*Region) kind() string { return "country" }

func (r *Region) set(text string) error {
	code := strings.ToUpper(text)
	if len(code) != 2 || phonenumbers.GetCountryCodeForRegion(code) == 0 {
		return fmt.Errorf("%q is not a two-letter country code such as DE", text)
	}
	*r = Region(code)
	return nil
}

// suggestion is an error that knows what was probably meant.
type suggestion struct {
	error
	hint string
}

func (s suggestion) Unwrap() error { return s.error }

// didYouMeanOr returns the closest word, or all of them.
func didYouMeanOr(written string, words []string) string {
	if hint := didYouMean(written, words); hint != "" {
		return hint
	}
	return "use " + oneOf(words)
}

// oneOf writes "a, b or c".
func oneOf(words []string) string {
	if len(words) == 1 {
		return words[0]
	}
	return strings.Join(words[:len(words)-1], ", ") + " or " + words[len(words)-1]
}
