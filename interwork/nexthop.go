package interwork

import (
	"slices"
	"strings"
	"sync/atomic"

	"github.com/stoxgate/stoxgate/interwork/cause"
	"github.com/stoxgate/stoxgate/interwork/identity"
	"github.com/stoxgate/stoxgate/mapping"
	"github.com/stoxgate/stoxgate/sip"
	"github.com/stoxgate/stoxgate/sip/registrar"
	"github.com/stoxgate/stoxgate/sip/ua"
	"github.com/stoxgate/stoxgate/xmpp"
)

// Trunk is a named next hop for SIP requests.
type Trunk struct {
	Name     string
	URI      sip.URI  // where requests go
	Numbers  []string // number prefixes that go there: "+49", "+"; longest match wins
	Domains  []string // SIP domains that go there; "*" takes what nothing else took
	Username string   // digest user, also of the registration
	Password string
	Realm    string // "" accepts the challenge's
	Register bool   // register there (RFC 3261 §10.2) instead of probing with OPTIONS
	Publish  bool   // it is a presence server: publish XMPP users of its domains there (RFC 3903)

	client *atomic.Pointer[registrar.Client] // its registration, once there is one
}

// hop is one way to reach a SIP user.
type hop struct {
	target   ua.Target
	ruri     sip.URI // Request-URI on this way
	contact  bool    // a registered contact of one device
	resource string  // the resource that stands for that device
	others   []hop   // further flows to the same device, for when this one fails
}

// router finds the next hop of a SIP address: registered contacts, then the identity's
// trunk, then the trunk whose numbers or domains match, then RFC 3263.
type router struct {
	ours      map[string]bool // SIP domains that are ours
	trunks    map[string]*Trunk
	byPrefix  []trunkRule // numbers, longest first
	byDomain  map[string]*Trunk
	fallback  *Trunk // the trunk of "*"
	table     *identity.Table
	locations interface{ Hops(aor sip.URI) []hop }
}

type trunkRule struct {
	prefix string
	trunk  *Trunk
}

func (r *router) isOurs(host string) bool { return r.ours[strings.ToLower(host)] }

// hops gives the ways to uri, to be used side by side (the devices of a user); from is
// the XMPP user for whom the request goes out, whose own trunk comes first.
func (r *router) hops(uri sip.URI, from xmpp.JID) ([]hop, *cause.Cause) {
	if hops := r.locations.Hops(uri); len(hops) > 0 {
		return hops, nil
	}
	if t := r.trunkFor(uri, from); t != nil {
		return []hop{t.hop(uri)}, nil
	}
	if r.isOurs(uri.Host) {
		if _, known := r.table.ByAOR(uri); known {
			return nil, cause.Offline()
		}
		return nil, cause.NotFound("No such SIP user")
	}
	return []hop{{target: ua.Target{URI: uri}, ruri: uri}}, nil
}

func (r *router) trunkFor(uri sip.URI, from xmpp.JID) *Trunk {
	number := numberOf(uri)
	if number != "" {
		if id, ok := r.table.ByJID(from); ok && id.Trunk != "" {
			if t := r.trunks[id.Trunk]; t != nil {
				return t
			}
		}
		for _, rule := range r.byPrefix {
			if strings.HasPrefix(number, rule.prefix) {
				return rule.trunk
			}
		}
	}
	if r.isOurs(uri.Host) {
		return nil
	}
	if t := r.byDomain[strings.ToLower(uri.Host)]; t != nil {
		return t
	}
	return r.fallback
}

// numberOf gives the digits of a URI that carries a telephone number, with "+" when it
// is a global one, else "". Local ones are emergency numbers and short codes, when those
// are let through.
func numberOf(uri sip.URI) string {
	if uri.User == "" || uri.User[0] != '+' && (uri.User[0] < '0' || uri.User[0] > '9') {
		return "" // most users; it is asked for every message
	}
	n, err := mapping.NumberFromURI(uri)
	if err != nil {
		return ""
	}
	return n.Digits
}

func (t *Trunk) hop(uri sip.URI) hop {
	h := hop{target: t.target(), ruri: uri}
	if numberOf(uri) != "" {
		// RFC 3261 §19.1.6: a number is asked of the trunk's own domain.
		h.ruri.Scheme, h.ruri.Host, h.ruri.Port = t.URI.Scheme, t.URI.Host, t.URI.Port
		h.ruri.Params.Set("user", "phone")
	}
	return h
}

func (t *Trunk) target() ua.Target {
	target := ua.Target{URI: t.URI}
	if c := t.client.Load(); c != nil {
		target.Routes = c.Status().ServiceRoute // RFC 3608 §5
	}
	if t.Username != "" {
		target.Credentials = &ua.Credentials{Username: t.Username, Password: t.Password, Realm: t.Realm}
	}
	return target
}

// transport is how requests go to the trunk.
func (t *Trunk) transport() string {
	if v := strings.ToLower(t.URI.Params.Value("transport")); v != "" {
		return v
	}
	return "udp"
}

func newRouter(domains []string, trunks []Trunk, table *identity.Table, locations interface{ Hops(aor sip.URI) []hop }) *router {
	r := &router{
		ours: make(map[string]bool), trunks: make(map[string]*Trunk), byDomain: make(map[string]*Trunk), table: table, locations: locations,
	}
	for _, d := range domains {
		r.ours[strings.ToLower(d)] = true
	}
	for i := range trunks {
		t := &trunks[i]
		t.client = &atomic.Pointer[registrar.Client]{}
		r.trunks[t.Name] = t
		for _, p := range t.Numbers {
			r.byPrefix = append(r.byPrefix, trunkRule{p, t})
		}
		for _, d := range t.Domains {
			if d == "*" {
				r.fallback = t
				continue
			}
			r.byDomain[strings.ToLower(d)] = t
		}
	}
	slices.SortStableFunc(r.byPrefix, func(a, b trunkRule) int { return len(b.prefix) - len(a.prefix) })
	return r
}

// numbers reports whether telephone numbers have a way.
func (r *router) numbers() bool { return len(r.byPrefix) > 0 }
