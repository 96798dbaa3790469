package main

import (
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/stoxgate/stoxgate/cmd/stoxgate/internal/config"
	"github.com/stoxgate/stoxgate/interwork/relay"
)

func TestCallConfig(t *testing.T) {
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
		listen, advertise string
	}{
		{"where SIP is", func(*config.Config) {}, "127.0.0.1", ""},
		{"where SIP is, both", func(c *config.Config) {
			c.SIP.Listen = append(c.SIP.Listen, config.Listen{Transport: "tcp", Host: "::1", Port: 5060})
		}, "127.0.0.1 ::1", ""},
		{"an address of this machine", func(c *config.Config) { c.Media.Address = []config.Host{"127.0.0.1"} }, "127.0.0.1", ""},
		{"behind NAT", func(c *config.Config) { c.Media.Address = []config.Host{"203.0.113.7"} }, "127.0.0.1", "203.0.113.7"},
		{"as SIP behind NAT", func(c *config.Config) { c.SIP.Advertise = "203.0.113.8" }, "127.0.0.1", "203.0.113.8"},
		{"said", func(c *config.Config) {
			c.Media.Address, c.Media.Listen = []config.Host{"203.0.113.7"}, []config.Host{"10.0.0.7"}
		}, "10.0.0.7", "203.0.113.7"},
		{"two said", func(c *config.Config) {
			c.Media.Address, c.Media.Listen = []config.Host{"2001:db8::7", "203.0.113.7"}, []config.Host{"10.0.0.7", "fd00::7"}
		}, "fd00::7 10.0.0.7", "2001:db8::7 203.0.113.7"},
		{"NAT for one of them", func(c *config.Config) {
			c.Media.Address, c.Media.Listen = []config.Host{"203.0.113.7"}, []config.Host{"10.0.0.7", "2001:db8::7"}
		}, "10.0.0.7 2001:db8::7", "203.0.113.7"},
		{"only where to listen", func(c *config.Config) { c.Media.Listen = []config.Host{"::1", "127.0.0.1"} }, "::1 127.0.0.1", ""},
	} {
		out, err := callConfig(base(tt.change))
		if err != nil {
			t.Fatalf("%s: %v", tt.name, err)
		}
		if got := strings.Trim(fmt.Sprint(out.Relay.Addresses), "[]"); got != tt.listen {
			t.Errorf("%s: listens on %v", tt.name, got)
		}
		if got := strings.Trim(fmt.Sprint(out.Relay.Advertise), "[]"); got != tt.advertise {
			t.Errorf("%s: advertises %v", tt.name, got)
		}
	}
	_, err := callConfig(base(func(c *config.Config) {
		c.Media.Address, c.Media.Listen = []config.Host{"203.0.113.7", "2001:db8::7"}, []config.Host{"10.0.0.7"}
	}))
	if !errors.Is(err, errNoAddress) || !strings.Contains(err.Error(), "media.listen") {
		t.Errorf("an address nobody receives for: %v", err)
	}
	auto, err := callConfig(base(func(c *config.Config) { c.Media.ICEPort = config.ICEPortAuto }))
	if err != nil || !auto.Relay.ShareICE || auto.Relay.ICEPort != 0 {
		t.Errorf("%+v, %v", auto.Relay, err)
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
