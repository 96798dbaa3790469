package avatar

import (
	"net"
	"net/netip"
)

// special are ranges inside of global unicast that lead to nobody, to translators, or to
// networks of their own (the registries of special addresses, RFC 6890). Of IPv6 nothing
// outside of 2000::/3 is reached at all.
var special = prefixes(
	"0.0.0.0/8", "100.64.0.0/10", "192.0.0.0/24", "192.0.2.0/24", "192.88.99.0/24", "198.18.0.0/15",
	"198.51.100.0/24", "203.0.113.0/24", "240.0.0.0/4",
	"2001::/23", "2001:db8::/32", "3fff::/20",
)

var (
	globalIPv6 = netip.MustParsePrefix("2000::/3")
	// An IPv6 address of these leads to an IPv4 address that is written in it.
	nat64     = netip.MustParsePrefix("64:ff9b::/96") // RFC 6052: the last four bytes
	sixToFour = netip.MustParsePrefix("2002::/16")    // RFC 3056: the four bytes behind the prefix
)

func prefixes(list ...string) (out []netip.Prefix) {
	for _, s := range list {
		out = append(out, netip.MustParsePrefix(s))
	}
	return out
}

// public tells whether an address is one that everybody on the internet can reach, and
// nothing that only we can: no loopback, link-local, private, shared, documentation or
// multicast address, in whatever notation.
func public(a netip.Addr) bool {
	if a.Zone() != "" {
		return false
	}
	a = a.Unmap()
	if a.Is6() {
		b := a.As16()
		switch {
		case nat64.Contains(a):
			return public(netip.AddrFrom4([4]byte(b[12:])))
		case sixToFour.Contains(a):
			return public(netip.AddrFrom4([4]byte(b[2:6])))
		case !globalIPv6.Contains(a):
			return false
		}
	}
	if !a.IsGlobalUnicast() || a.IsPrivate() {
		return false
	}
	for _, p := range special {
		if p.Contains(a) {
			return false
		}
	}
	return true
}

// interfaces are the addresses of this machine: what listens on them may be meant for
// us alone although they are public.
func interfaces() (list []netip.Addr) {
	addrs, err := net.InterfaceAddrs()
	if err != nil {
		return nil
	}
	for _, a := range addrs {
		if p, err := netip.ParsePrefix(a.String()); err == nil {
			list = append(list, p.Addr().Unmap())
		}
	}
	return list
}
