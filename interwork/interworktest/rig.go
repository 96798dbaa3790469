package interworktest

import "time"

// stay is how long a SIPp phone is there: longer than any test.
const stay = 2 * time.Hour

// RigOptions describes a whole house: a server, a gateway, their users.
type RigOptions struct {
	Software string // of the XMPP server: "prosody" (default) or "ejabberd"
	Server   ServerOptions
	Gateway  GatewayOptions // its Server is filled in
	Phones   []string       // users with a SIP phone; default otto and nora
}

// Rig is a running house. Every account of the XMPP server is a person with a
// JID and, in the gateway's SIP domain, an address of record of the same name;
// every phone is an identity with an address of record and a password, and no
// JID. So, with the default names:
//
//	mira on the XMPP server writes to otto@sip.harbor.example,
//	otto on his phone writes to sip:mira@sip.harbor.example.
type Rig struct {
	Server  Server
	Gateway *Gateway
	t       TB
}

// NewRig starts a house; everything in it ends with the test.
func NewRig(t TB, o RigOptions) *Rig {
	t.Helper()
	if o.Software == "" {
		o.Software = "prosody"
	}
	if o.Phones == nil {
		o.Phones = []string{"otto", "nora"}
	}
	r := &Rig{t: t, Server: StartServer(t, o.Software, o.Server)}
	server := r.Server.Options()
	for _, a := range server.Accounts {
		o.Gateway.Identities = append(o.Gateway.Identities, Identity{
			JID: a.Name + "@" + server.Domain, AORs: []string{"sip:" + a.Name + "@" + server.Component},
		})
	}
	for _, name := range o.Phones {
		o.Gateway.Identities = append(o.Gateway.Identities, Identity{
			AORs: []string{"sip:" + name + "@" + server.Component}, Password: PasswordOf(name),
		})
	}
	o.Gateway.Server = r.Server
	r.Gateway = StartGateway(t, o.Gateway)
	return r
}

// With returns the same house for use in a subtest: what is started by way of it
// ends with the subtest.
func (r *Rig) With(t TB) *Rig {
	return &Rig{t: t, Server: r.Server, Gateway: r.Gateway}
}

// Jabber brings a user of the XMPP server on line, with a client that answers
// receipt requests and comes back when the server was away.
func (r *Rig) Jabber(name string) *Slixmpp {
	r.t.Helper()
	return StartSlixmpp(r.t, SlixmppOptions{Server: r.Server, Name: name, Reconnect: true})
}

// Phone registers a phone at the gateway. The options may be empty: user, domain
// and proxy are filled in.
func (r *Rig) Phone(name string, o BaresipOptions) *Baresip {
	r.t.Helper()
	o.User, o.Domain, o.Proxy = name, r.Gateway.Domain(), r.Gateway.SIPAddress()
	return StartBaresip(r.t, o)
}

// SIPpPhone registers a phone made of SIPp, which answers every MESSAGE with the
// given status ("200 OK", "486 Busy Here", …).
func (r *Rig) SIPpPhone(name, status string) *SIPp {
	r.t.Helper()
	return r.SIPpPhoneOn(FreePort(r.t), name, MessageUAS, status)
}

// RichPhone registers a phone made of SIPp that understands CPIM, IMDN and
// isComposing, and takes every MESSAGE.
func (r *Rig) RichPhone(name string) *SIPp {
	r.t.Helper()
	return r.SIPpPhoneOn(FreePort(r.t), name, MessageUASRich, "200 OK")
}

// SIPpPhoneOn registers a phone made of SIPp on a given port, with one of the
// server scenarios. On the port of a phone that was stopped it takes its place.
func (r *Rig) SIPpPhoneOn(port int, name, scenario, status string) *SIPp {
	r.t.Helper()
	p := StartSIPp(r.t, SIPpOptions{
		Scenario: Register, OutOfCall: scenario, Status: status, Port: port,
		Remote: r.Gateway.SIPAddress(), User: name, Calls: 1, Stay: stay,
		Keys: map[string]string{"aor": r.URI(name), "domain": r.Gateway.Domain(), "expires": "600"},
	})
	if m := p.Final("REGISTER"); m.Status() != 200 {
		r.t.Fatalf("interworktest: %s can't register: %v", name, m)
	}
	return p
}

// SIPpSends has a phone made of SIPp send a body to a URI with the digest of an
// identity: so many times at so many a second.
func (r *Rig) SIPpSends(name, to, contentType, body string, calls, rate int) *SIPp {
	r.t.Helper()
	return StartSIPp(r.t, SIPpOptions{
		Scenario: MessageUAC, Remote: r.Gateway.SIPAddress(), User: name, Calls: calls, Rate: rate,
		Keys: map[string]string{"to": to, "from": r.URI(name), "text": body, "type": contentType},
	})
}

// JID is how Jabber users write to a phone.
func (r *Rig) JID(phone string) string { return phone + "@" + r.Server.Options().Component }

// URI is how phones write to a user of either side, and where a phone is known.
func (r *Rig) URI(name string) string { return "sip:" + name + "@" + r.Gateway.Domain() }
