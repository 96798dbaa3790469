package main

import (
	"context"
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
		Disabled: !m.Enabled, Max: m.MaxCalls, PerUser: m.CallsPerUser,
		Settings: call.Settings{
			Codecs:    m.Codecs,
			SIP:       map[string]relay.Protection{"sdes": relay.SDES, "dtls": relay.DTLS}[m.Encryption],
			Deadlines: call.Deadlines{Ring: m.RingTimeout.D(), Talk: m.MaxTime.D()},
		},
		Relay: relay.Config{
			Ports: relay.PortRange{Min: uint16(m.Ports.First), Max: uint16(m.Ports.Last)}, ICEPort: uint16(m.ICEPort),
			MediaTimeout: m.Timeout.D(), ConnectTimeout: m.ConnectTimeout.D(),
		},
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
	public, err := mediaAddress(c)
	if err != nil {
		return out, err
	}
	local := public
	switch {
	case m.Listen != "":
		if local, err = netip.ParseAddr(string(m.Listen)); err != nil {
			return out, fmt.Errorf("media.listen: %w", err)
		}
	case !public.IsValid() || !ownAddress(public):
		local = interfaceAddress(c)
	}
	out.Relay.Addresses = []netip.Addr{local}
	if public.IsValid() && public != local {
		out.Relay.Advertise = []netip.Addr{public}
	}
	return out, nil
}

// mediaLookup bounds the look-up of the name in media.address at the start.
const mediaLookup = 5 * time.Second

// mediaAddress is the address that is offered, invalid when it is that of the interface.
func mediaAddress(c *config.Config) (netip.Addr, error) {
	key, host := "media.address", string(c.Media.Address)
	if host == "" {
		key, host = "sip.advertise", string(c.SIP.Advertise)
	}
	if host == "" {
		return netip.Addr{}, nil
	}
	if a, err := netip.ParseAddr(strings.Trim(host, "[]")); err == nil {
		return a.Unmap(), nil
	}
	ctx, cancel := context.WithTimeout(context.Background(), mediaLookup)
	defer cancel()
	list, err := net.DefaultResolver.LookupNetIP(ctx, "ip4", host)
	if err != nil || len(list) == 0 {
		return netip.Addr{}, fmt.Errorf("%s: no address of %s: %w", key, host, err)
	}
	return list[0].Unmap(), nil
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

// interfaceAddress is where media are received when nothing is said: where SIP is, when
// that is one address, else the interface that leads out.
func interfaceAddress(c *config.Config) netip.Addr {
	for _, l := range c.SIP.Listen {
		if a, err := netip.ParseAddr(l.Host); err == nil && !a.IsUnspecified() {
			return a.Unmap()
		}
	}
	// Connecting a UDP socket sends nothing; it asks the routing table.
	conn, err := net.DialUDP("udp4", nil, &net.UDPAddr{IP: net.IPv4(192, 0, 2, 1), Port: 9})
	if err != nil {
		return netip.AddrFrom4([4]byte{127, 0, 0, 1})
	}
	defer conn.Close()
	return conn.LocalAddr().(*net.UDPAddr).AddrPort().Addr().Unmap()
}
