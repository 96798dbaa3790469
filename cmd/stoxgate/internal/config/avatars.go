package config

import (
	"fmt"
	"net"
	"net/url"
	"strings"
)

// IconHost is a host with or without a port, in the form in which URLs are compared.
type IconHost string

func (*IconHost) kind() string { return "host or host:port" }

func (h *IconHost) set(text string) error {
	if strings.Contains(text, "/") {
		return fmt.Errorf("%q is a URL; give the host alone, or host:port", text)
	}
	name, port, err := net.SplitHostPort(text)
	if err != nil {
		name, port = text, ""
	}
	var host Host
	if err := host.set(name); err != nil {
		return err
	}
	*h = IconHost(host)
	if port != "" {
		if _, err := portNumber(port); err != nil {
			return err
		}
		*h = IconHost(net.JoinHostPort(string(host), port))
	}
	return nil
}

// IconBase is a URL that a hash is put behind.
type IconBase string

func (*IconBase) kind() string { return "URL" }

func (b *IconBase) set(text string) error {
	if text == "" {
		return nil
	}
	u, err := url.Parse(text)
	switch {
	case err != nil || u.Scheme != "https" && u.Scheme != "http" || u.Hostname() == "":
		return fmt.Errorf("%q is not a URL such as https://gw.example.org/avatars/", text)
	case u.User != nil || u.RawQuery != "" || u.Fragment != "":
		return fmt.Errorf("%q: a hash is put behind it, so it can have neither query nor fragment, and no user", text)
	case !strings.HasSuffix(u.Path, "/"):
		return suggestion{fmt.Errorf("%q does not end in a slash", text), fmt.Sprintf("did you mean %q?", text+"/")}
	}
	*b = IconBase(text)
	return nil
}

func (c *Config) checkAvatars(ps *problems) {
	const key = "presence.avatars.icon_base"
	a := &c.Presence.Avatars
	if a.IconBase != "" && c.HTTP.Listen.Off() {
		c.fault(ps, key, "set http.listen", "nobody serves the pictures while http.listen is off")
	}
	if len(a.Hosts) > 0 && !a.Fetch {
		c.warn(ps, "presence.avatars.hosts", "set presence.avatars.fetch: true", "has no effect, no pictures are fetched")
	}
}
