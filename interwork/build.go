package interwork

import (
	"context"
	"crypto/tls"
	"fmt"
	"net"
	"net/netip"
	"slices"
	"strings"
	"time"

	"github.com/stoxgate/stoxgate/interwork/identity"
	"github.com/stoxgate/stoxgate/interwork/store"
	"github.com/stoxgate/stoxgate/mapping"
	"github.com/stoxgate/stoxgate/sip"
	"github.com/stoxgate/stoxgate/sip/dialog"
	"github.com/stoxgate/stoxgate/sip/registrar"
	"github.com/stoxgate/stoxgate/sip/ua"
	"github.com/stoxgate/stoxgate/xmpp/component"
	"github.com/stoxgate/stoxgate/xmpp/disco"
)

// build makes the parts of the gateway and ties them together.
func (g *Gateway) build(ctx context.Context) error {
	g.flows.init()
	g.caps = newCapsCache()
	g.pairs = newPairs(g)
	g.loads.limit, g.loads.wg = loadsAtOnce, &g.work
	g.receipts = &receipts{store: g.store}
	g.avatars = newAvatars(g)

	link, err := component.New(g.cfg.XMPP, g)
	if err != nil {
		return fmt.Errorf("interwork: %w", err)
	}
	g.xmpp = link
	g.deliverer = newDeliverer(g.workCtx, link, g.self, &g.work)

	cfg := g.cfg.SIP
	cfg.Auth = authenticator{g}
	cfg.Accept = mapping.AcceptedTypes()
	cfg.Supported = append(append(cfg.Supported, "path", "outbound", "gruu", eventList), dialog.Supported()...)
	cfg.Events = []string{presencePackage, winfoPackage}
	cfg.Options = g.optionsStatus
	if g.ua, err = ua.New(cfg); err != nil {
		return fmt.Errorf("interwork: %w", err)
	}
	g.ua.Handle(sip.MESSAGE, g.sipMessage)

	rows := bindingRows{g.store}
	g.registrar, err = registrar.New(ctx, registrar.Config{
		Domain: g.isOurs, Allowed: g.mayRegister, Store: rows, Alive: g.ua.Alive, Log: g.log,
		MinExpires: g.cfg.RegisterMin, DefaultExpires: g.cfg.RegisterDefault, MaxExpires: g.cfg.RegisterMax,
	})
	if err != nil {
		return fmt.Errorf("interwork: %w", err)
	}
	if g.cfg.Registrar {
		g.ua.Handle(sip.REGISTER, g.registrar.Handle)
	}
	g.router = newRouter(g.cfg.SIPDomains, g.cfg.Trunks, g.table, g)
	if err := g.buildAddresses(); err != nil {
		return err
	}
	if err := g.buildEvents(); err != nil {
		return err
	}
	if err := g.buildCalls(); err != nil {
		return err
	}
	if err := g.buildPublications(); err != nil {
		return err
	}
	if err := g.buildPosters(); err != nil {
		return err
	}
	g.gates, g.seeder = newGates(g), newSeeder(g)
	g.disco = disco.NewResponder(disco.Config{Version: g.cfg.Version, Started: g.started, Resolve: g.addresses.Prompt})
	return nil
}

func (g *Gateway) buildAddresses() error {
	var err error
	g.addresses, err = identity.NewAddresses(identity.AddressConfig{
		Component: g.self.Domain(), SIPDomains: g.cfg.SIPDomains, Table: g.table, Region: g.cfg.Region, Emergency: g.cfg.Emergency,
		ENUM: g.cfg.ENUM, ENUMZone: g.cfg.ENUMZone,
	})
	if err != nil {
		return fmt.Errorf("interwork: %w", err)
	}
	return nil
}

// buildTrunks makes a registration or a prober for every trunk. It needs the listeners,
// for a registration tells where we can be reached.
func (g *Gateway) buildTrunks(ctx context.Context) error {
	for i := range g.cfg.Trunks {
		t := &g.cfg.Trunks[i]
		target := t.target()
		if !t.Register {
			p, err := registrar.NewProber(registrar.ProberConfig{
				Name: t.Name, URI: t.URI, From: sip.URI{Scheme: "sip", User: "stoxgate", Host: g.cfg.SIPDomains[0]}, Target: target, Sender: g.ua, Log: g.log,
			})
			if err != nil {
				return fmt.Errorf("interwork: trunk %s: %w", t.Name, err)
			}
			g.trunks = append(g.trunks, probedTrunk{t, p})
			continue
		}
		c, err := registrar.NewClient(registrar.ClientConfig{
			Name: t.Name, AOR: sip.URI{Scheme: "sip", User: sip.EscapeUser(t.Username), Host: t.URI.Host}, Target: target,
			Contact: g.ua.Contact(sip.EscapeUser(t.Username), t.transport(), g.peerOf(ctx, t)), Sender: g.ua, Log: g.log,
		})
		if err != nil {
			return fmt.Errorf("interwork: trunk %s: %w", t.Name, err)
		}
		t.client.Store(c)
		g.trunks = append(g.trunks, registeredTrunk{t, c})
	}
	return nil
}

// peerLookup bounds the look-up of a trunk's address at the start.
const peerLookup = 3 * time.Second

// peerOf is an address of a trunk, to find the interface that leads there; none when its
// name is not known now.
func (g *Gateway) peerOf(ctx context.Context, t *Trunk) netip.Addr {
	if a, err := netip.ParseAddr(strings.Trim(t.URI.Host, "[]")); err == nil {
		return a
	}
	ctx, cancel := context.WithTimeout(ctx, peerLookup)
	defer cancel()
	list, err := net.DefaultResolver.LookupNetIP(ctx, "ip", t.URI.Host)
	if err != nil || len(list) == 0 {
		g.log.Warn().Err(err).Str("trunk", t.Name).Msg("address of the trunk not found, the contact may be wrong")
		return netip.Addr{}
	}
	return list[0].Unmap()
}

// trunkState is a trunk whose health is looked after.
type trunkState interface {
	Run(ctx context.Context) error
	status() TrunkStatus
}

type probedTrunk struct {
	trunk *Trunk
	*registrar.Prober
}

func (p probedTrunk) status() TrunkStatus {
	s := p.Status()
	return TrunkStatus{Name: p.trunk.Name, URI: p.trunk.URI.String(), State: s.State.String(), Detail: s.Err, Since: s.Since}
}

type registeredTrunk struct {
	trunk *Trunk
	*registrar.Client
}

func (r registeredTrunk) status() TrunkStatus {
	s := r.Status()
	return TrunkStatus{Name: r.trunk.Name, URI: r.trunk.URI.String(), State: s.State.String(), Detail: s.Err, Since: s.Since}
}

// isOurs reports whether a SIP domain is ours.
func (g *Gateway) isOurs(host string) bool {
	return slices.ContainsFunc(g.cfg.SIPDomains, func(d string) bool { return strings.EqualFold(d, host) })
}

// mayRegister: the digest user must be the identity that owns the AOR.
func (g *Gateway) mayRegister(aor sip.URI, user string) bool {
	id, ok := g.table.ByUser(user, aor.Host)
	return ok && id.Owns(aor)
}

// optionsStatus answers OPTIONS as an INVITE would be (RFC 3261 §11.2).
func (g *Gateway) optionsStatus(uri sip.URI) int {
	if uri.User == "" {
		return 200
	}
	if _, err := g.addresses.ToXMPP(uri); err != nil {
		return addressStatus(err).Code
	}
	if !g.xmpp.Up() {
		return 480
	}
	return 200
}

// authenticator tells the UA who may do what.
type authenticator struct{ g *Gateway }

func (a authenticator) HA1(user, realm, algorithm string) (string, bool) {
	return a.g.table.HA1(user, realm, algorithm)
}

// Trusted: a network that the operator named, or a client certificate that the
// operator's authority signed (the TLS configuration has verified it).
func (a authenticator) Trusted(addr netip.Addr, _ string, state *tls.ConnectionState) bool {
	if state != nil && len(state.VerifiedChains) > 0 {
		return true
	}
	return slices.ContainsFunc(a.g.cfg.Trusted, func(p netip.Prefix) bool { return p.Contains(addr.Unmap()) })
}

// bindingRows keeps the registrar's rows in the store; both packages are leaves of
// their own and have the same columns.
type bindingRows struct{ s *store.Store }

func (b bindingRows) Put(ctx context.Context, r registrar.Row) error {
	return b.s.PutBinding(ctx, store.BindingRow(r))
}

func (b bindingRows) Delete(ctx context.Context, aor, id string) error {
	return b.s.DeleteBinding(ctx, aor, id)
}

func (b bindingRows) All(ctx context.Context, f func(registrar.Row) error) error {
	return b.s.Bindings(ctx, func(r store.BindingRow) error { return f(registrar.Row(r)) })
}

// Hops gives the registered devices of an AOR.
func (g *Gateway) Hops(aor sip.URI) []hop {
	bindings := g.registrar.Lookup(aor)
	if len(bindings) == 0 {
		return nil
	}
	hops := make([]hop, 0, len(bindings))
	byInstance := make(map[string]int, len(bindings))
	for _, b := range bindings {
		h := hop{
			target: g.registrar.Target(b), ruri: b.Contact, contact: true,
			resource: mapping.DeviceResource(sip.NameAddr{URI: b.Contact, Params: contactParams(b)}),
		}
		if b.Instance != "" && b.RegID != 0 {
			// The flows of one phone are tried one after another (RFC 5626 §5.3).
			if i, ok := byInstance[b.Instance]; ok {
				hops[i].others = append(hops[i].others, h)
				continue
			}
			byInstance[b.Instance] = len(hops)
		}
		hops = append(hops, h)
	}
	return hops
}

func contactParams(b registrar.Binding) sip.Params {
	p := b.Params.Clone()
	if b.Instance != "" {
		p.Set("+sip.instance", "<"+b.Instance+">")
	}
	return p
}

// displayName is what XMPP users may be shown for a SIP address.
func (g *Gateway) displayName(uri sip.URI) string {
	if id, ok := g.table.ByAOR(uri); ok && id.Name != "" {
		return id.Name
	}
	if user, err := sip.UnescapeUser(uri.User); err == nil && user != "" {
		return user
	}
	return uri.Host
}

// capabilities is what can cross to a SIP user, as far as it is known.
func (g *Gateway) capabilities(uri sip.URI) disco.Capabilities {
	c := disco.Files
	if g.calls != nil {
		c |= disco.Audio
	}
	p, _ := g.caps.peek(uri.Key())
	if p.AcceptsIsComposing {
		c |= disco.ChatStates
	}
	if p.AcceptsCPIM && p.AcceptsIMDN {
		c |= disco.Receipts | disco.Markers
	}
	if p.AcceptsHTML {
		c |= disco.HTML
	}
	return c
}

var _ component.Handler = (*Gateway)(nil)
