package main

import (
	"net/netip"
	"testing"
	"time"

	"github.com/stoxgate/stoxgate/cmd/stoxgate/internal/config"
	"github.com/stoxgate/stoxgate/interwork/relay"
)

func TestCallConfig(t *testing.T) {
	addr := netip.MustParseAddr
	base := func(change func(*config.Config)) *config.Config {
		c := &config.Config{}
		c.Media.Enabled, c.Media.Ports = true, config.PortRange{First: 20000, Last: 20099}
		c.SIP.Listen = []config.Listen{{Transport: "udp", Host: "127.0.0.1", Port: 5060}}
		change(c)
		return c
	}
	for _, tt := range []struct {
		name              string
		change            func(*config.Config)
		listen, advertise netip.Addr
	}{
		{"where SIP is", func(*config.Config) {}, addr("127.0.0.1"), netip.Addr{}},
		{"an address of this machine", func(c *config.Config) { c.Media.Address = "127.0.0.1" }, addr("127.0.0.1"), netip.Addr{}},
		{"behind NAT", func(c *config.Config) { c.Media.Address = "203.0.113.7" }, addr("127.0.0.1"), addr("203.0.113.7")},
		{"as SIP behind NAT", func(c *config.Config) { c.SIP.Advertise = "203.0.113.8" }, addr("127.0.0.1"), addr("203.0.113.8")},
		{"said", func(c *config.Config) { c.Media.Address, c.Media.Listen = "203.0.113.7", "10.0.0.7" }, addr("10.0.0.7"), addr("203.0.113.7")},
	} {
		out, err := callConfig(base(tt.change))
		if err != nil {
			t.Fatalf("%s: %v", tt.name, err)
		}
		if len(out.Relay.Addresses) != 1 || out.Relay.Addresses[0] != tt.listen {
			t.Errorf("%s: listens on %v", tt.name, out.Relay.Addresses)
		}
		switch {
		case !tt.advertise.IsValid() && len(out.Relay.Advertise) != 0:
			t.Errorf("%s: advertises %v", tt.name, out.Relay.Advertise)
		case tt.advertise.IsValid() && (len(out.Relay.Advertise) != 1 || out.Relay.Advertise[0] != tt.advertise):
			t.Errorf("%s: advertises %v", tt.name, out.Relay.Advertise)
		}
	}
	out, err := callConfig(base(func(c *config.Config) {
		c.Media.Encryption, c.Media.RingTimeout, c.Media.ICEPort = "sdes", config.Duration(time.Minute), 3478
	}))
	if err != nil || out.Settings.SIP != relay.SDES || out.Settings.Deadlines.Ring != time.Minute || out.Relay.ICEPort != 3478 {
		t.Errorf("%+v, %v", out, err)
	}
	out, err = callConfig(base(func(c *config.Config) { c.Media.Enabled = false }))
	if err != nil || !out.Disabled {
		t.Errorf("%+v, %v", out, err)
	}
}
