package config

import (
	"crypto/tls"
	"crypto/x509"
	"fmt"
	"net/netip"
	"os"
	"strconv"
	"strings"
	"time"
)

// checkListeners looks for listeners that exclude each other or that nobody
// can reach.
func (c *Config) checkListeners(ps *problems) {
	listen := c.SIP.Listen
	if len(listen) == 0 {
		if c.places["sip.listen"] > 0 && !ps.has("sip.listen") {
			c.fault(ps, "sip.listen", "for example [udp://0.0.0.0:5060, tcp://0.0.0.0:5060]", "is empty")
		}
		return
	}
	for i, l := range listen {
		for j, other := range listen[:i] {
			if l.Port != other.Port || !overlap(l.Host, other.Host) || (l.Transport == "udp") != (other.Transport == "udp") || l.Port == 0 {
				continue
			}
			key := fmt.Sprintf("sip.listen[%d]", i)
			if l == other {
				c.fault(ps, key, "remove it", "%s is given twice", l)
			} else {
				c.fault(ps, key, "take another port", "%s cannot be opened beside sip.listen[%d] (%s)", l, j, other)
			}
		}
	}
	c.checkAdvertise(ps)
}

func (c *Config) checkAdvertise(ps *problems) {
	const key = "sip.advertise"
	advertise := string(c.SIP.Advertise)
	if advertise == "" {
		return
	}
	allLoopback, anyV4, anyV6 := true, false, false
	for _, l := range c.SIP.Listen {
		allLoopback = allLoopback && loopback(l.Host)
		a, err := netip.ParseAddr(l.Host)
		anyV6 = anyV6 || err != nil || a.Is6()
		anyV4 = anyV4 || err != nil || a.Is4() || l.Host == "::"
	}
	a, err := netip.ParseAddr(advertise)
	switch {
	case unspecified(advertise):
		c.fault(ps, key, "give the address that phones and trunks reach, or remove the key", "%s is no address to send to", advertise)
	case loopback(advertise) && !allLoopback:
		c.warn(ps, key, "give the address that phones and trunks reach", "only this machine can reach %s", advertise)
	case !loopback(advertise) && allLoopback:
		c.warn(ps, key, "listen on the address that a NAT forwards to, or on 0.0.0.0", "nobody can reach %s while every listener is on loopback", advertise)
	case err == nil && (a.Is4() && !anyV4 || a.Is6() && !anyV6):
		c.warn(ps, key, "", "%s is of another IP version than every listener", advertise)
	}
}

func (c *Config) checkTLS(ps *problems) {
	t := &c.SIP.TLS
	secure := -1
	for i, l := range c.SIP.Listen {
		if l.Secure() {
			secure = i
			break
		}
	}
	switch {
	case secure >= 0 && t.Cert == "" && t.Key == "":
		c.fault(ps, fmt.Sprintf("sip.listen[%d]", secure), "set sip.tls.cert and sip.tls.key", "%s needs a certificate", c.SIP.Listen[secure])
	case (t.Cert == "") != (t.Key == ""):
		c.fault(ps, "sip.tls", "", "cert and key belong together, one is missing")
	case t.Cert != "":
		c.checkCertificate(ps)
		if secure < 0 {
			c.warn(ps, "sip.tls", "add for example tls://0.0.0.0:5061", "has no effect: sip.listen has neither tls:// nor wss://")
		}
	}
	c.readCAs(ps, "sip.tls.client_ca", t.ClientCA)
}

func (c *Config) checkCertificate(ps *problems) {
	t := &c.SIP.TLS
	for key, file := range map[string]Path{"sip.tls.cert": t.Cert, "sip.tls.key": t.Key} {
		if _, err := os.ReadFile(string(file)); err != nil {
			c.fault(ps, key, "", "%s", fileError(err))
			return
		}
	}
	pair, err := tls.LoadX509KeyPair(string(t.Cert), string(t.Key))
	if err != nil {
		c.fault(ps, "sip.tls.cert", "both must be PEM files and belong together", "%s", strings.TrimPrefix(err.Error(), "tls: "))
		return
	}
	if pair.Leaf != nil && time.Now().After(pair.Leaf.NotAfter) {
		c.warn(ps, "sip.tls.cert", "renew it", "expired on %s; peers will refuse it", pair.Leaf.NotAfter.Format(time.DateOnly))
	}
}

func (c *Config) readCAs(ps *problems, key string, file Path) {
	if file == "" {
		return
	}
	data, err := os.ReadFile(string(file))
	if err != nil {
		c.fault(ps, key, "", "%s", fileError(err))
	} else if !x509.NewCertPool().AppendCertsFromPEM(data) {
		c.fault(ps, key, "", "%s holds no PEM certificate", file)
	}
}

func (c *Config) checkTrunks(ps *problems) {
	names, numbers, domains := map[string]int{}, map[string]string{}, map[string]string{}
	for i := range c.SIP.Trunks {
		t := &c.SIP.Trunks[i]
		key := fmt.Sprintf("sip.trunks[%d]", i)
		if t.Name != "" {
			if !validName(t.Name) {
				c.fault(ps, key+".name", "use letters, digits, dot, dash and underscore", "%q is not possible as a name", t.Name)
			}
			if first, twice := names[t.Name]; twice {
				c.fault(ps, key+".name", "names must be unique", "%q is the name of sip.trunks[%d] already", t.Name, first)
			} else {
				names[t.Name] = i
			}
		}
		c.checkCredentials(ps, key, t)
		c.checkLoop(ps, key, t)
		for j, n := range t.Numbers {
			itemKey := fmt.Sprintf("%s.numbers[%d]", key, j)
			if !validPrefix(n) {
				c.fault(ps, itemKey, "write +49 for Germany, + for every number", "%q is not a number prefix in international form", n)
			}
			taken(c, ps, itemKey, numbers, n, t.Name)
		}
		for j := range t.Domains {
			itemKey := fmt.Sprintf("%s.domains[%d]", key, j)
			if t.Domains[j] != "*" {
				var d Domain
				if err := d.set(t.Domains[j]); err != nil {
					c.fault(ps, itemKey, "or \"*\" for every domain", "%s", err)
					continue
				}
				t.Domains[j] = string(d)
				if c.isOurs(d) {
					c.fault(ps, itemKey, "", "%q is one of our own domains (sip.domains)", string(d))
				}
			}
			taken(c, ps, itemKey, domains, t.Domains[j], t.Name)
		}
	}
}

// taken complains about a pattern that two trunks claim.
func taken(c *Config, ps *problems, key string, owners map[string]string, pattern, trunk string) {
	if owner, ok := owners[pattern]; ok {
		c.fault(ps, key, "", "%q goes to trunk %q already", pattern, owner)
		return
	}
	owners[pattern] = trunk
}

func (c *Config) isOurs(d Domain) bool {
	for _, own := range c.SIP.Domains {
		if own == d {
			return true
		}
	}
	return d == c.XMPP.Domain
}

func (c *Config) checkCredentials(ps *problems, key string, t *Trunk) {
	hasPassword := c.secret(ps, key+".password", &t.Password, t.PasswordFile)
	switch {
	case hasPassword && t.Username == "":
		c.fault(ps, key+".username", "", "is required with a password")
	case !hasPassword && t.Username != "":
		c.fault(ps, key+".password", "", "is required with a username")
	case t.Register && t.Username == "":
		c.fault(ps, key+".username", "", "is required to register")
	}
}

// checkLoop finds a trunk that leads back into one of our own listeners.
func (c *Config) checkLoop(ps *problems, key string, t *Trunk) {
	host := strings.Trim(t.URI.Host, "[]")
	port := t.URI.Port
	if port == 0 {
		port = defaultPorts["udp"]
	}
	for i, l := range c.SIP.Listen {
		same := strings.EqualFold(l.Host, host) || unspecified(l.Host) && (loopback(host) || strings.EqualFold(host, string(c.SIP.Advertise)))
		if same && l.Port == port && host != "" && (t.URI.Transport() == "" || t.URI.Transport() == l.Transport) {
			c.fault(ps, key+".uri", "", "%s:%s is our own listener sip.listen[%d] (%s)", t.URI.Host, strconv.Itoa(port), i, l)
			return
		}
	}
}

func validName(s string) bool {
	for _, r := range s {
		if !strings.ContainsRune("abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789._-", r) {
			return false
		}
	}
	return len(s) <= 64
}

// validPrefix accepts "+" and "+" with digits.
func validPrefix(s string) bool {
	digits, ok := strings.CutPrefix(s, "+")
	return ok && len(digits) <= 15 && strings.Trim(digits, "0123456789") == ""
}
