package registrar

import (
	"net/netip"
	"strconv"
	"strings"
	"time"

	"github.com/stoxgate/stoxgate/sip"
	"github.com/stoxgate/stoxgate/sip/ua"
)

// optionTags are the extensions that a REGISTER may require.
var optionTags = []string{"path", "outbound", "gruu"}

// registration is a REGISTER as the rules need it.
type registration struct {
	aor      sip.URI
	callID   string
	cseq     uint32
	star     bool
	contacts []contact
	path     []sip.NameAddr
	outbound bool // flows are to be kept apart by reg-id
	gruu     bool

	transport string // lower case
	source    netip.AddrPort
	direct    bool // the phone itself is our peer: no proxy in between
	rport     bool
	flow      ua.Flow
	userAgent string
}

// contact is one Contact value.
type contact struct {
	uri      sip.URI
	params   sip.Params
	expires  time.Duration
	q        int
	instance string
	regID    int
}

// parseAOR is the part that must be known before authentication: whose bindings
// are meant (RFC 3261 §10.3 steps 1, 2 and 5).
func parseAOR(req *sip.Request, ours func(host string) bool) (sip.URI, *sip.Status) {
	if s := sip.RefuseSIPS(req); s != nil {
		return sip.URI{}, s
	}
	var unsupported []string
	for _, tag := range sip.Tokens(req, "Require") {
		if !containsFold(optionTags, tag) {
			unsupported = append(unsupported, tag)
		}
	}
	if unsupported != nil {
		return sip.URI{}, refuse(420, "", "Unsupported", strings.Join(unsupported, ", "))
	}
	to, err := sip.ToOf(req)
	if err != nil {
		return sip.URI{}, refuse(400, "Bad To")
	}
	if to.URI.Scheme != "sip" || to.URI.User == "" {
		return sip.URI{}, refuse(404, "")
	}
	if to.URI.Params.Has("gr") { // RFC 5627 §5.1: a GRUU is no AOR
		return sip.URI{}, refuse(403, "")
	}
	aor := to.URI.AOR()
	if !ours(aor.Host) {
		return sip.URI{}, refuse(404, "Domain Not Served")
	}
	// A phone may know us by address only, then the Request-URI has that.
	host := sip.RequestURI(req).AOR().Host
	if !isAddress(host) && host != aor.Host && !ours(host) {
		return sip.URI{}, refuse(404, "Domain Not Served")
	}
	return aor, nil
}

// parseRegistration reads the rest. fallback is the expiry when none is asked for.
func parseRegistration(req *sip.Request, aor sip.URI, fallback time.Duration, ours func(string) bool) (registration, *sip.Status) {
	r := registration{aor: aor, callID: sip.CallID(req), userAgent: sip.Value(req, "User-Agent")}
	r.cseq, _ = sip.CSeq(req)
	r.gruu = sip.HasToken(req, "Supported", "gruu") || sip.HasToken(req, "Require", "gruu")
	vias := sip.Values(req, "Via")
	r.direct = len(vias) == 1 && !strings.Contains(vias[0], ",")
	if via := req.Via(); via != nil {
		r.rport = via.Params.Has("rport")
	}
	if s := r.parsePath(req); s != nil {
		return r, s
	}

	list, star, err := sip.Contacts(req)
	if err != nil {
		return r, refuse(400, "Bad Contact")
	}
	header := sip.Value(req, "Expires")
	r.star = star
	if star { // §10.3 step 6
		if len(list) > 0 || strings.TrimSpace(header) != "0" {
			return r, refuse(400, "Bad Wildcard Contact")
		}
		return r, nil
	}
	if header != "" {
		fallback = parseExpires(header, fallback)
	}
	for _, n := range list {
		c, s := parseContact(n, aor, fallback, ours)
		if s != nil {
			return r, s
		}
		r.contacts = append(r.contacts, c)
	}
	return r, r.checkOutbound(req)
}

// parsePath is RFC 3327 §5.3.
func (r *registration) parsePath(req *sip.Request) *sip.Status {
	path, err := sip.NameAddrs(req, "Path")
	if err != nil {
		return refuse(400, "Bad Path")
	}
	if len(path) == 0 {
		return nil
	}
	if !sip.HasToken(req, "Supported", "path") && !sip.HasToken(req, "Require", "path") {
		return refuse(420, "", "Unsupported", "path")
	}
	for _, p := range path {
		if !p.URI.IsSIP() {
			return refuse(400, "Bad Path")
		}
	}
	r.path = path
	return nil
}

func parseContact(n sip.NameAddr, aor sip.URI, fallback time.Duration, ours func(string) bool) (contact, *sip.Status) {
	c := contact{uri: n.URI, q: 1000, expires: fallback}
	if !n.URI.IsSIP() || len(n.URI.Headers) > 0 {
		return c, refuse(400, "Bad Contact")
	}
	// A domain that is an address (a lab) is where its phones are as well.
	if host := n.URI.AOR().Host; !isAddress(host) && ours(host) {
		return c, refuse(403, "Contact Points To The Registrar")
	}
	for _, p := range n.Params {
		switch strings.ToLower(p.Name) {
		case "expires":
			c.expires = parseExpires(p.Value, time.Hour)
		case "q":
			c.q = parseQ(p.Value)
		case "+sip.instance":
			c.instance = strings.TrimSuffix(strings.TrimPrefix(p.Value, "<"), ">")
		case "reg-id":
			if id, err := strconv.ParseUint(p.Value, 10, 31); err == nil {
				c.regID = int(id)
			}
		case "pub-gruu", "temp-gruu", "temp-gruu-cookie": // only a registrar writes them
		default:
			c.params = append(c.params, p)
		}
	}
	if len(c.instance) > 128 || len(c.uri.String()) > 1024 || len(c.params.String()) > 1024 {
		return c, refuse(400, "Contact Too Long")
	}
	return c, nil
}

// checkOutbound is RFC 5626 §6.
func (r *registration) checkOutbound(req *sip.Request) *sip.Status {
	flows := 0
	for i := range r.contacts {
		if r.contacts[i].instance == "" {
			r.contacts[i].regID = 0 // "MUST ignore it"
		}
		if r.contacts[i].regID > 0 && r.contacts[i].expires > 0 {
			flows++
		}
	}
	if !sip.HasToken(req, "Supported", "outbound") && !sip.HasToken(req, "Require", "outbound") {
		for i := range r.contacts {
			r.contacts[i].regID = 0
		}
		return nil
	}
	if flows > 1 {
		return refuse(400, "More Than One Flow")
	}
	if flows > 0 && !r.direct { // the edge must have marked its Path
		if len(r.path) == 0 || !r.path[len(r.path)-1].URI.Params.Has("ob") {
			return refuse(439, "")
		}
	}
	r.outbound = flows > 0
	return nil
}

// parseExpires reads delta-seconds; what cannot be read counts as fallback
// (RFC 3261 §10.2.1.1), what is too large as the largest.
func parseExpires(s string, fallback time.Duration) time.Duration {
	n, err := strconv.ParseUint(strings.TrimSpace(s), 10, 64)
	if err != nil {
		return fallback
	}
	return time.Duration(min(n, 1<<32-1)) * time.Second
}

// parseQ reads a qvalue in thousandths; what cannot be read counts as 1.
func parseQ(s string) int {
	f, err := strconv.ParseFloat(strings.TrimSpace(s), 64)
	if err != nil || !(f >= 0 && f <= 1) {
		return 1000
	}
	return int(f*1000 + 0.5)
}

// refuse builds a status; headers are name and value in turn.
func refuse(code int, reason string, headers ...string) *sip.Status {
	s := &sip.Status{Code: code, Reason: reason}
	for i := 0; i+1 < len(headers); i += 2 {
		if h, err := sip.NewHeader(headers[i], headers[i+1]); err == nil {
			s.Headers = append(s.Headers, h)
		}
	}
	return s
}

func isAddress(host string) bool {
	_, err := netip.ParseAddr(strings.Trim(host, "[]"))
	return err == nil
}

func containsFold(list []string, s string) bool {
	for _, x := range list {
		if strings.EqualFold(x, s) {
			return true
		}
	}
	return false
}
