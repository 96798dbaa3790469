package config

import (
	"errors"
	"fmt"
	"net/netip"
	"net/url"
	"os"
	"path/filepath"
	"reflect"
	"strings"
)

// check looks at what single values cannot tell: combinations, files, and
// settings that are possible but surely not meant. It reads the files that
// secrets are kept in.
func (c *Config) check(ps *problems) {
	resolvePaths(reflect.ValueOf(c).Elem(), c.dir)
	c.checkXMPP(ps)
	c.checkListeners(ps)
	c.checkSIP(ps)
	c.checkTLS(ps)
	c.checkTrunks(ps)
	c.checkMedia(ps)
	c.checkState(ps)
	c.checkHTTP(ps)
	c.checkAvatars(ps)
}

// line returns where key stands, or else the section around it.
func (c *Config) line(key string) int {
	for key != "" {
		if n := c.places[key]; n > 0 {
			return n
		}
		key = key[:max(strings.LastIndexAny(key, ".["), 0)]
	}
	return 0
}

func (c *Config) fault(ps *problems, key, hint, format string, args ...any) {
	ps.add(c.line(key), key, hint, format, args...)
}

func (c *Config) warn(ps *problems, key, hint, format string, args ...any) {
	ps.warn(c.line(key), key, hint, format, args...)
}

// resolvePaths makes every Path relative to the folder of the file.
func resolvePaths(v reflect.Value, dir string) {
	switch {
	case v.Type() == reflect.TypeFor[Path]():
		if p := v.String(); p != "" && !filepath.IsAbs(p) {
			v.SetString(filepath.Join(dir, p))
		}
	case isSection(v.Type()):
		for _, f := range sectionOf(v.Type()) {
			resolvePaths(v.Field(f.index), dir)
		}
	case v.Kind() == reflect.Slice:
		for i := range v.Len() {
			resolvePaths(v.Index(i), dir)
		}
	}
}

// secret fills a secret from its file when it is kept in one. It reports
// whether there is a value now.
func (c *Config) secret(ps *problems, key string, value *Secret, file Path) bool {
	fileKey := key + "_file"
	_, given := c.places[key]
	switch {
	case file == "":
		if given && *value == "" && !ps.has(key) {
			c.fault(ps, key, "", "is empty")
		}
		return given // an empty one is not missing: one problem is enough
	case given:
		c.fault(ps, fileKey, "remove one of them", "is given as well as %s", key)
		return true
	}
	info, err := os.Stat(string(file))
	if err != nil {
		c.fault(ps, fileKey, "", "%s", fileError(err))
		return true
	}
	if info.Mode().IsRegular() && info.Mode().Perm()&0o004 != 0 {
		c.warn(ps, fileKey, fmt.Sprintf("chmod o-r %s", file), "every user of this machine can read %s", file)
	}
	data, err := os.ReadFile(string(file))
	if err != nil {
		c.fault(ps, fileKey, "", "%s", fileError(err))
		return true
	}
	if *value = Secret(strings.TrimSpace(string(data))); *value == "" {
		c.fault(ps, fileKey, "", "%s is empty", file)
	}
	return true
}

// fileError is the message of an error about a file without the name of the
// system call.
func fileError(err error) string {
	var p *os.PathError
	if errors.As(err, &p) {
		return p.Path + ": " + p.Err.Error()
	}
	return err.Error()
}

func (c *Config) checkXMPP(ps *problems) {
	x := &c.XMPP
	if !c.secret(ps, "xmpp.secret", &x.Secret, x.SecretFile) {
		c.fault(ps, "xmpp.secret", "for example secret: ${STOXGATE_SECRET}", "is required, or secret_file")
	}
	if !x.TLS.Enabled {
		for _, key := range []string{"xmpp.tls.ca", "xmpp.tls.server_name"} {
			if c.places[key] > 0 {
				c.warn(ps, key, "set xmpp.tls.enabled: true", "has no effect without TLS")
			}
		}
		if x.Component.Port != 0 && !loopback(x.Component.Host) && !private(x.Component.Host) {
			c.warn(ps, "xmpp.component", "use xmpp.tls, a tunnel, or a private network", "messages to %s cross the network in clear text", x.Component.Host)
		}
	}
	c.readCAs(ps, "xmpp.tls.ca", x.TLS.CA)
}

func (c *Config) checkSIP(ps *problems) {
	s := &c.SIP
	ours := map[Domain]bool{}
	for i, d := range s.Domains {
		if ours[d] {
			c.fault(ps, fmt.Sprintf("sip.domains[%d]", i), "", "%q is given twice", string(d))
		}
		ours[d] = true
	}
	if len(s.Domains) == 0 && c.XMPP.Domain != "" {
		s.Domains = []Domain{c.XMPP.Domain}
	} else if c.XMPP.Domain != "" && !ours[c.XMPP.Domain] {
		c.warn(ps, "sip.domains", fmt.Sprintf("add %s unless that is meant", c.XMPP.Domain),
			"lacks xmpp.domain, so phones cannot register as user@%s", c.XMPP.Domain)
	}
	for i, p := range s.Trusted {
		if p.IsValid() && p.Bits() == 0 {
			c.fault(ps, fmt.Sprintf("sip.trusted[%d]", i), "name the networks of your own peers", "%s trusts everybody: any sender address could be forged", p)
		}
	}
	if r := s.Registrar; r.MinExpires > r.Expires {
		c.fault(ps, "sip.registrar.expires", "", "is less than min_expires (%s)", r.MinExpires)
	}
	if r := s.Registrar; r.Expires > r.MaxExpires {
		c.fault(ps, "sip.registrar.max_expires", "", "is less than expires (%s)", r.Expires)
	}
	if s.Limits.Burst < s.Limits.Rate {
		c.fault(ps, "sip.limits.burst", "", "is less than rate (%d)", s.Limits.Rate)
	}
}

func (c *Config) checkMedia(ps *problems) {
	m := &c.Media
	c.checkAddresses(ps)
	if first := (m.Ports.First + 1) &^ 1; first+1 > m.Ports.Last {
		c.fault(ps, "media.ports", "a call needs an even port and the next one", "%s holds no pair of ports", m.Ports)
	} else if m.ICEPort == ICEPortAuto && first+3 > m.Ports.Last {
		c.fault(ps, "media.ports", "give more ports, or set media.ice_port", "%s holds one pair of ports, and media.ice_port takes it", m.Ports)
	}
	for i, l := range c.SIP.Listen {
		// A default that nobody chose is no reason to refuse a port.
		if c.places["media.ports"] > 0 && l.Transport == "udp" && l.Port >= m.Ports.First && l.Port <= m.Ports.Last {
			c.fault(ps, "media.ports", "", "%s holds the port of sip.listen[%d] (%s)", m.Ports, i, l)
		}
		if m.ICEPort > 0 && l.Transport == "udp" && l.Port == int(m.ICEPort) {
			c.fault(ps, "media.ice_port", "take another port", "%d is taken by sip.listen[%d] (%s)", m.ICEPort, i, l)
		}
	}
	seen := map[string]bool{}
	for i, codec := range m.Codecs {
		if seen[codec] {
			c.fault(ps, fmt.Sprintf("media.codecs[%d]", i), "", "%q is given twice", codec)
		}
		seen[codec] = true
	}
}

// checkAddresses: at most one address of a family can be offered.
func (c *Config) checkAddresses(ps *problems) {
	for _, of := range []struct {
		key  string
		list []Host
	}{{"media.address", c.Media.Address}, {"media.listen", c.Media.Listen}} {
		key, list := of.key, of.list
		families := map[bool]Host{}
		for i, h := range list {
			at := fmt.Sprintf("%s[%d]", key, i)
			if c.places[at] == 0 { // written without brackets
				at = key
			}
			a, err := netip.ParseAddr(string(h))
			switch {
			case err != nil && key == "media.listen":
				c.fault(ps, at, "give an address of this machine", "%s is no address", h)
			case err != nil && len(list) > 1:
				c.fault(ps, at, "name an IPv4 and an IPv6 address, or one name alone", "%s is a name; which family it is of is not known beside others", h)
			case err != nil:
			case a.IsUnspecified() && key == "media.address":
				c.fault(ps, at, "give the address that others reach", "%s is no address to send to", a)
			case families[a.Unmap().Is4()] != "":
				c.fault(ps, at, "name one IPv4 and one IPv6 address at most", "%s is of the family of %s", h, families[a.Unmap().Is4()])
			default:
				families[a.Unmap().Is4()] = h
			}
		}
	}
}

func (c *Config) checkState(ps *problems) {
	if c.State.URL == "" {
		return
	}
	u, err := url.Parse(string(c.State.URL))
	if err != nil || u.Host == "" || u.Scheme != "postgres" && u.Scheme != "postgresql" {
		c.fault(ps, "state.url", "for example postgres://user:password@host/database", "is not a PostgreSQL URL")
	}
	if c.places["state.dir"] > 0 {
		c.warn(ps, "state.dir", "remove it", "has no effect beside state.url")
	}
}

// minToken is what a token needs to be safe against guessing over a network.
const minToken = 16

func (c *Config) checkHTTP(ps *problems) {
	h := &c.HTTP
	given := c.secret(ps, "http.token", &h.Token, h.TokenFile)
	if h.Listen.Off() {
		return
	}
	if n := len(h.Token); given && n > 0 && n < minToken {
		c.fault(ps, "http.token", "make one with: openssl rand -hex 24", "has %d characters, at least %d are needed", n, minToken)
	}
	if !given && !loopback(h.Listen.Host) {
		c.fault(ps, "http.listen", "set http.token, or listen on 127.0.0.1", "%s is not a loopback address, and anybody could read and change identities there", h.Listen)
	}
	for i, l := range c.SIP.Listen {
		if l.Transport != "udp" && l.Port == h.Listen.Port && overlap(l.Host, h.Listen.Host) {
			c.fault(ps, "http.listen", "take another port", "%s is taken by sip.listen[%d] (%s)", h.Listen, i, l)
		}
	}
}

func loopback(host string) bool {
	if strings.EqualFold(host, "localhost") {
		return true
	}
	a, err := netip.ParseAddr(host)
	return err == nil && a.Unmap().IsLoopback()
}

func unspecified(host string) bool {
	a, err := netip.ParseAddr(host)
	return err == nil && a.IsUnspecified()
}

// private reports whether host is an address of a private network, or a name
// without a dot as containers have.
func private(host string) bool {
	a, err := netip.ParseAddr(host)
	if err != nil {
		return !strings.Contains(host, ".")
	}
	return a.Unmap().IsPrivate() || a.IsLinkLocalUnicast()
}

// overlap reports whether two listen addresses exclude each other on one port.
// The unspecified IPv6 address takes IPv4 as well, as Linux has it.
func overlap(a, b string) bool {
	if strings.EqualFold(a, b) || a == "::" || b == "::" {
		return true
	}
	x, errX := netip.ParseAddr(a)
	y, errY := netip.ParseAddr(b)
	if errX != nil || errY != nil || x.Is4() != y.Is4() {
		return false
	}
	return x.IsUnspecified() || y.IsUnspecified()
}
