package main

import (
	"fmt"
	"net"
	"net/netip"
	"strings"
)

// media opens a port for sound at each address, and the one that is named for all clients.
func (c probe) media() {
	if !c.cfg.Media.Enabled {
		return
	}
	local, advertise, err := mediaAddresses(c.cfg)
	if err != nil {
		c.report.fail("media", err.Error(), "")
		return
	}
	for _, a := range local {
		at := netip.AddrPortFrom(a, uint16(max(c.cfg.Media.ICEPort, 0)))
		conn, err := net.ListenUDP("udp", net.UDPAddrFromAddrPort(at))
		if err != nil {
			what := a.String()
			if at.Port() != 0 {
				what = at.String()
			}
			c.report.fail("media", what+" cannot be opened: "+lastError(err), mediaHint(err, at))
			return
		}
		_ = conn.Close()
	}
	text := "received at " + words(local)
	if len(advertise) > 0 {
		text += ", offered as " + words(advertise)
	}
	c.report.ok("media", fmt.Sprintf("%s, ports %s", text, c.cfg.Media.Ports))
}

func mediaHint(err error, at netip.AddrPort) string {
	if hint := listenHint(err, true, at.String()); hint != "" && at.Port() != 0 {
		return hint
	}
	return "name addresses of this machine in media.listen"
}

func words(list []netip.Addr) string {
	out := make([]string, len(list))
	for i, a := range list {
		out[i] = a.String()
	}
	return strings.Join(out, " and ")
}
