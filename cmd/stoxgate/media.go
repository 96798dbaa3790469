package main

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"strings"
	"time"

	"github.com/stoxgate/stoxgate/cmd/stoxgate/internal/config"
	"github.com/stoxgate/stoxgate/interwork"
	"github.com/stoxgate/stoxgate/interwork/call"
	"github.com/stoxgate/stoxgate/interwork/relay"
	"github.com/stoxgate/stoxgate/xmpp"
)

// callConfig translates the section on media into what calls take.
func callConfig(c *config.Config) (interwork.CallConfig, error) {
	m := &c.Media
	out := interwork.CallConfig{
		Disabled: !m.Enabled, Max: m.MaxCalls, PerUser: m.CallsPerUser, Keep: c.Calls.Keep.D(), KeepMost: c.Calls.Most,
		Settings: call.Settings{
			Codecs:    m.Codecs,
			SIP:       map[string]relay.Protection{"sdes": relay.SDES, "dtls": relay.DTLS}[m.Encryption],
			Deadlines: call.Deadlines{Ring: m.RingTimeout.D(), Talk: m.MaxTime.D()},
		},
		Relay: relay.Config{
			Ports: relay.PortRange{Min: uint16(m.Ports.First), Max: uint16(m.Ports.Last)}, ICEPort: uint16(max(m.ICEPort, 0)), ShareICE: m.ICEPort == config.ICEPortAuto,
			MediaTimeout: m.Timeout.D(), ConnectTimeout: m.ConnectTimeout.D(),
		},
	}
	if out.Keep == 0 {
		out.Keep = -1 // none
	}
	if out.Disabled {
		return out, nil
	}
	if m.TURNFrom != "" {
		server, err := xmpp.ParseJID(string(m.TURNFrom))
		if err != nil {
			return out, fmt.Errorf("media.turn_from: %w", err)
		}
		out.Services = server
	}
	var err error
	out.Relay.Addresses, out.Relay.Advertise, err = mediaAddresses(c)
	return out, err
}

// mediaLookup bounds the look-up of a name in media.address at the start.
const mediaLookup = 5 * time.Second

// errNoAddress tells that media cannot be received for an address that is to be offered.
var errNoAddress = errors.New("no address of this machine")

// mediaAddresses are the local addresses for media, one of a family at most, and what
// peers are told instead of them. The family that is named first is preferred.
func mediaAddresses(c *config.Config) (local, advertise []netip.Addr, err error) {
	key, public, err := publicAddresses(c)
	if err != nil {
		return nil, nil, err
	}
	var listen []netip.Addr
	for _, h := range c.Media.Listen {
		a, err := netip.ParseAddr(string(h))
		if err != nil {
			return nil, nil, fmt.Errorf("media.listen: %w", err)
		}
		listen = append(listen, a.Unmap())
	}
	if len(public)+len(listen) == 0 {
		return defaultAddresses(c), nil, nil
	}
	for _, a := range public {
		own, given := ofFamily(listen, a)
		switch {
		case given:
		case ownAddress(a):
			own = a
		case len(listen) > 0:
			return nil, nil, fmt.Errorf("%s: %w receives what is sent to %s; name one of that family in media.listen", key, errNoAddress, a)
		default:
			if own, given = interfaceAddress(c, a.Is6()); !given {
				return nil, nil, fmt.Errorf("%s: %w is of the family of %s; name the one that receives for it in media.listen", key, errNoAddress, a)
			}
		}
		local = append(local, own)
		if own != a {
			advertise = append(advertise, a)
		}
	}
	for _, a := range listen {
		if _, given := ofFamily(public, a); !given {
			local = append(local, a)
		}
	}
	return local, advertise, nil
}

// ofFamily finds the address of the family of a.
func ofFamily(list []netip.Addr, a netip.Addr) (netip.Addr, bool) {
	for _, b := range list {
		if b.Is4() == a.Is4() {
			return b, true
		}
	}
	return netip.Addr{}, false
}

// publicAddresses are those to be offered, none when they are those of the interfaces, and
// the key that says so.
func publicAddresses(c *config.Config) (key string, list []netip.Addr, err error) {
	key, hosts := "media.address", c.Media.Address
	if len(hosts) == 0 && c.SIP.Advertise != "" {
		key, hosts = "sip.advertise", []config.Host{c.SIP.Advertise}
	}
	for _, h := range hosts {
		a, err := netip.ParseAddr(strings.Trim(string(h), "[]"))
		if err != nil {
			if a, err = lookUp(string(h)); err != nil {
				return key, nil, fmt.Errorf("%s: no address of %s: %w", key, h, err)
			}
		}
		list = append(list, a.Unmap())
	}
	return key, list, nil
}

// lookUp finds the IPv4 address of a name, or its IPv6 address if it has no other.
func lookUp(name string) (netip.Addr, error) {
	ctx, cancel := context.WithTimeout(context.Background(), mediaLookup)
	defer cancel()
	list, err := net.DefaultResolver.LookupNetIP(ctx, "ip", name)
	if err != nil {
		return netip.Addr{}, err
	}
	if len(list) == 0 {
		return netip.Addr{}, errNoAddress
	}
	for _, a := range list {
		if a.Unmap().Is4() {
			return a, nil
		}
	}
	return list[0], nil
}

// ownAddress tells whether an interface of this machine has the address.
func ownAddress(a netip.Addr) bool {
	if a.IsLoopback() {
		return true
	}
	list, err := net.InterfaceAddrs()
	if err != nil {
		return false
	}
	for _, i := range list {
		if p, err := netip.ParsePrefix(i.String()); err == nil && p.Addr().Unmap() == a {
			return true
		}
	}
	return false
}

// defaultAddresses are where media are received when nothing is said: of each family that
// SIP listens on, where SIP is or the interface that leads out.
func defaultAddresses(c *config.Config) (list []netip.Addr) {
	for _, l := range c.SIP.Listen {
		at, err := netip.ParseAddr(l.Host)
		if err != nil {
			continue
		}
		if _, have := ofFamily(list, at.Unmap()); have {
			continue
		}
		if a, ok := interfaceAddress(c, at.Unmap().Is6()); ok {
			list = append(list, a)
		}
	}
	if len(list) == 0 {
		if a, ok := interfaceAddress(c, false); ok {
			return []netip.Addr{a}
		}
		return []netip.Addr{netip.AddrFrom4([4]byte{127, 0, 0, 1})}
	}
	return list
}

// outside are addresses that lead out of most networks: those kept for documentation.
var outside = map[bool]string{false: "192.0.2.1", true: "2001:db8::1"}

// interfaceAddress is where media of a family are received: where SIP is, when that is one
// address, else the interface that leads out; false: there is none.
func interfaceAddress(c *config.Config, six bool) (netip.Addr, bool) {
	for _, l := range c.SIP.Listen {
		if a, err := netip.ParseAddr(l.Host); err == nil && !a.IsUnspecified() && a.Unmap().Is6() == six {
			return a.Unmap(), true
		}
	}
	// Connecting a UDP socket sends nothing; it asks the routing table.
	conn, err := net.Dial("udp", net.JoinHostPort(outside[six], "9"))
	if err != nil {
		return netip.Addr{}, false
	}
	defer conn.Close()
	a := conn.LocalAddr().(*net.UDPAddr).AddrPort().Addr().Unmap()
	return a, !a.IsLinkLocalUnicast()
}
