package avatar

import (
	"context"
	"encoding/base64"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/netip"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"time"

	"golang.org/x/net/idna"
)

// What a fetch may cost.
const (
	fetchTime    = 10 * time.Second // in all, the body included
	dialTime     = 5 * time.Second  // for the look-up and the connection
	headerTime   = 5 * time.Second  // for the handshake, and from the request to the header
	headerBytes  = 16 << 10
	maxRedirects = 3
	maxURI       = 1024
	// lowestPort keeps well-known ports of other protocols out of reach, but for 443.
	lowestPort = 1024
)

// Why nothing was fetched.
var (
	errURI       = errors.New("avatar: URI is not one that is fetched")
	errAddress   = errors.New("avatar: no public address")
	errRedirects = errors.New("avatar: too many redirects")
	errGone      = errors.New("avatar: the picture is gone")
	errStatus    = errors.New("avatar: unexpected status")
)

// Resolver looks up the addresses of a name; net.DefaultResolver is one.
type Resolver interface {
	LookupNetIP(ctx context.Context, network, host string) ([]netip.Addr, error)
}

// validators are what a server gave with a picture, to ask whether it is still the same.
type validators struct{ tag, modified string }

// fetched is what came; picture is nil when it is still the same.
type fetched struct {
	picture *Picture
	validators
}

// fetcher gets pictures from the web by the policy of the package.
type fetcher struct {
	named    []string // host or host:port, in lower case
	max      int
	resolver Resolver
	own      func() []netip.Addr
	open     dialFunc // to hosts that are named
	strict   dialFunc // to addresses of others
	client   http.Client
}

type dialFunc func(ctx context.Context, network, address string) (net.Conn, error)

// newFetcher makes a fetcher; named are hosts, with or without a port, that may have any
// address and port and be asked by http.
func newFetcher(named []string, max int, r Resolver) *fetcher {
	f := &fetcher{max: max, resolver: r, own: interfaces, open: new(net.Dialer).DialContext}
	f.strict = (&net.Dialer{Control: f.control}).DialContext
	for _, h := range named {
		host, port, err := net.SplitHostPort(h)
		if err != nil {
			host, port = h, ""
		}
		if host, err = hostName(host); err == nil && port != "" {
			host = net.JoinHostPort(host, port)
		}
		f.named = append(f.named, host)
	}
	f.client = http.Client{
		CheckRedirect: f.redirect,
		Transport: &http.Transport{ // no Proxy: the environment has no say
			DialContext: f.dial, DisableKeepAlives: true, DisableCompression: true,
			TLSHandshakeTimeout: headerTime, ResponseHeaderTimeout: headerTime, MaxResponseHeaderBytes: headerBytes,
		},
	}
	return f
}

// check reads a URI and tells whether it may be fetched, as far as it shows.
func (f *fetcher) check(uri string) (*url.URL, error) {
	if len(uri) > maxURI {
		return nil, fmt.Errorf("%w: longer than %d bytes", errURI, maxURI)
	}
	u, err := url.Parse(uri)
	if err != nil {
		return nil, fmt.Errorf("%w: no URL", errURI) // the error would quote it
	}
	return u, f.allow(u)
}

// allow is check for one that was read already; it puts the host into its ASCII form.
func (f *fetcher) allow(u *url.URL) error {
	host, err := hostName(u.Hostname())
	if err != nil {
		return err
	}
	port := u.Port()
	if u.Host = host; port != "" || strings.Contains(host, ":") {
		u.Host = strings.TrimSuffix(net.JoinHostPort(host, port), ":")
	}
	u.Fragment, u.RawFragment = "", ""
	named := f.isNamed(host, portOf(u))
	switch n, err := strconv.ParseUint(portOf(u), 10, 16); {
	case u.User != nil:
		return fmt.Errorf("%w: it holds credentials", errURI)
	case err != nil || n == 0 || !named && n != 443 && n < lowestPort:
		return fmt.Errorf("%w: port", errURI)
	case u.Scheme == "https", u.Scheme == "http" && named:
		return nil
	}
	return fmt.Errorf("%w: scheme", errURI)
}

// hostName is the form in which hosts are compared.
func hostName(s string) (string, error) {
	if a, err := netip.ParseAddr(s); err == nil {
		return a.String(), nil
	}
	ascii, err := idna.Lookup.ToASCII(strings.ToLower(strings.TrimSuffix(s, ".")))
	if err != nil || ascii == "" {
		return "", fmt.Errorf("%w: host", errURI)
	}
	return ascii, nil
}

func portOf(u *url.URL) string {
	switch p := u.Port(); {
	case p != "":
		return p
	case u.Scheme == "http":
		return "80"
	}
	return "443"
}

func (f *fetcher) isNamed(host, port string) bool {
	return slices.Contains(f.named, host) || slices.Contains(f.named, net.JoinHostPort(host, port))
}

// redirect judges where a server sends us as if the document had named it.
func (f *fetcher) redirect(r *http.Request, via []*http.Request) error {
	if len(via) > maxRedirects {
		return errRedirects
	}
	r.Header.Del("Referer") // it would tell the query to another host
	return f.allow(r.URL)
}

// dial connects to a host that is named, or to a public address of any other.
func (f *fetcher) dial(ctx context.Context, network, address string) (net.Conn, error) {
	host, port, err := net.SplitHostPort(address)
	if err != nil {
		return nil, fmt.Errorf("%w: %w", errAddress, err)
	}
	ctx, cancel := context.WithTimeout(ctx, dialTime) // that of the request does not end it
	defer cancel()
	if f.isNamed(host, port) {
		return f.open(ctx, network, address)
	}
	number, err := strconv.ParseUint(port, 10, 16)
	if err != nil {
		return nil, fmt.Errorf("%w: %w", errAddress, err)
	}
	addrs, err := f.lookup(ctx, host)
	if err != nil {
		return nil, err
	}
	err = errAddress
	for _, a := range addrs {
		if !f.reachable(a) {
			continue
		}
		var c net.Conn
		if c, err = f.strict(ctx, network, netip.AddrPortFrom(a.Unmap(), uint16(number)).String()); err == nil {
			return c, nil
		}
	}
	return nil, err
}

func (f *fetcher) lookup(ctx context.Context, host string) ([]netip.Addr, error) {
	if a, err := netip.ParseAddr(host); err == nil {
		return []netip.Addr{a}, nil
	}
	return f.resolver.LookupNetIP(ctx, "ip", host)
}

func (f *fetcher) reachable(a netip.Addr) bool {
	return public(a) && !slices.Contains(f.own(), a.Unmap())
}

// control looks at the address that is really dialled, whatever was looked up.
func (f *fetcher) control(_, address string, _ syscall.RawConn) error {
	a, err := netip.ParseAddrPort(address)
	if err != nil || !f.reachable(a.Addr()) {
		return errAddress
	}
	return nil
}

// fetch gets a picture. An error that is errGone, or tells true to final, is a word on the
// picture; any other is about now.
func (f *fetcher) fetch(ctx context.Context, uri string, v validators) (fetched, error) {
	u, err := f.check(uri)
	if err != nil {
		return fetched{}, err
	}
	ctx, cancel := context.WithTimeout(ctx, fetchTime)
	defer cancel()
	r, err := http.NewRequestWithContext(ctx, http.MethodGet, u.String(), http.NoBody)
	if err != nil {
		return fetched{}, fmt.Errorf("%w: no URL", errURI)
	}
	r.Header.Set("User-Agent", "stoxgate")
	r.Header.Set("Accept", "image/png, image/jpeg, image/gif, image/webp")
	if v.tag != "" {
		r.Header.Set("If-None-Match", v.tag)
	}
	if v.modified != "" {
		r.Header.Set("If-Modified-Since", v.modified)
	}
	res, err := f.client.Do(r)
	if err != nil {
		return fetched{}, withoutURL(err)
	}
	defer res.Body.Close()
	out := fetched{validators: validators{bounded(res.Header.Get("ETag")), bounded(res.Header.Get("Last-Modified"))}}
	switch {
	case res.StatusCode == http.StatusNotModified && v != (validators{}):
		return fetched{validators: v}, nil
	case res.StatusCode == http.StatusNotFound, res.StatusCode == http.StatusGone:
		return fetched{}, errGone
	case res.StatusCode != http.StatusOK:
		return fetched{}, fmt.Errorf("%w: %d", errStatus, res.StatusCode)
	case res.ContentLength > int64(f.max):
		return fetched{}, fmt.Errorf("%w: %d, at most %d", errTooLarge, res.ContentLength, f.max)
	}
	data, err := io.ReadAll(io.LimitReader(res.Body, int64(f.max)+1))
	if err != nil {
		return fetched{}, withoutURL(err)
	}
	out.picture, err = inspect(data, f.max)
	return out, err
}

// bounded leaves a header out that is too long to be kept.
func bounded(s string) string {
	if len(s) > 128 {
		return ""
	}
	return strings.Clone(s)
}

// withoutURL takes the URL out of an error of net/http, whose query may be a secret.
func withoutURL(err error) error {
	if e := (*url.Error)(nil); errors.As(err, &e) {
		return e.Err
	}
	return err
}

// final tells whether asking again soon would bring the same.
func final(err error) bool {
	for _, e := range []error{errURI, errAddress, errRedirects, errTooLarge, errType, errDimensions} {
		if errors.Is(err, e) {
			return true
		}
	}
	return false
}

// dataURI reads a picture that is in its URI itself (RFC 2397); ok is false for others.
func dataURI(uri string, max int) (p *Picture, ok bool) {
	rest, ok := strings.CutPrefix(uri, "data:")
	if !ok {
		return nil, false
	}
	kind, text, _ := strings.Cut(rest, ",")
	if !strings.HasSuffix(kind, ";base64") {
		return nil, true // a picture in percent encoding is nothing that anybody writes
	}
	if data, err := base64.StdEncoding.DecodeString(text); err == nil {
		p, _ = inspect(data, max)
	}
	return p, true
}

// shown is a URI as the log may have it.
func shown(uri string) string {
	if strings.HasPrefix(uri, "data:") {
		return "data:"
	}
	u, err := url.Parse(uri)
	if err != nil || u.Host == "" {
		return "?"
	}
	return u.Scheme + "://" + u.Host + u.EscapedPath()
}
