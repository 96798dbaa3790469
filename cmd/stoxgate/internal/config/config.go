// Package config reads the configuration file of stoxgate, format version 1:
// one YAML file in which every key but four has a default.
//
// The decisions that bind it:
//
//   - The Go struct [Config] with its tags is the only description of the
//     format. Decoding, defaults, ranges, the reference ([Reference]) and the
//     annotated example ([Example]) are made from it, so they cannot drift.
//   - All problems are reported at once, each with line, key and what to do; an
//     unknown key is a problem and comes with the key that was probably meant.
//   - ${NAME} and ${NAME:-default} are replaced inside values after the YAML has
//     been read, so that the environment can never change the structure.
//   - Relative file names are relative to the folder of the configuration file,
//     not to wherever the program happens to be started.
//   - Secrets have a type of their own that prints as "***".
package config

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
)

// Config is a whole configuration file. The tags mean:
//
//	yaml      name of the key
//	doc       one or two sentences for the reference and the example
//	default   value as it would be written in YAML
//	required  "true" when the key has no default; "or other" when it can be given by another key instead
//	enum      allowed values, separated by |
//	min, max  bounds, inclusive, in the form of the value
//	single    "true" when a list of one may be written without brackets
//	example   value for the annotated example where the default shows nothing
type Config struct {
	XMPP     XMPP     `yaml:"xmpp" doc:"The XMPP server that stoxgate attaches to as an external component (XEP-0114)."`
	SIP      SIP      `yaml:"sip" doc:"The SIP side: where phones, trunks and other SIP servers reach stoxgate, and where it sends requests."`
	Messages Messages `yaml:"messages" doc:"How text messages are carried (RFC 7572)."`
	Presence Presence `yaml:"presence" doc:"Who sees whom (RFC 8048). Presence itself needs no configuration."`
	Identity Identity `yaml:"identity" doc:"Addresses and telephone numbers."`
	Media    Media    `yaml:"media" doc:"Sound of calls: stoxgate speaks ICE and DTLS-SRTP with XMPP clients and RTP with phones, and carries the one to the other."`
	Calls    Calls    `yaml:"calls" doc:"Accounts of calls, for stoxgate calls and GET /api/v1/calls: who called whom, when, how it ended, how it sounded."`
	State    State    `yaml:"state" doc:"Where identities, registrations and undelivered messages are kept."`
	HTTP     HTTP     `yaml:"http" doc:"Status page, JSON API, metrics and health checks."`
	Log      Log      `yaml:"log" doc:"Log lines go to standard error."`
	Trace    Trace    `yaml:"trace" doc:"The message journal behind the status page and stoxgate trace."`

	// Warnings are problems with which the program can still run.
	Warnings []Problem `yaml:"-"`

	file   string
	dir    string // relative file names start here
	places map[string]int
}

// XMPP describes the component connection.
type XMPP struct {
	Component   HostPort `yaml:"component" required:"true" example:"127.0.0.1:5347" doc:"Address of the server's component listener."`
	Domain      Domain   `yaml:"domain" required:"true" example:"sip.example.org" doc:"The component's domain, as it is configured at the server. SIP users appear as JIDs of this domain."`
	Secret      Secret   `yaml:"secret" required:"or secret_file" example:"${STOXGATE_SECRET}" doc:"Secret shared with the server."`
	SecretFile  Path     `yaml:"secret_file" doc:"File that holds the secret, without the white space around it."`
	TLS         XMPPTLS  `yaml:"tls" doc:"TLS from the first byte towards the component listener, for servers behind a TLS proxy. XEP-0114 itself has none."`
	Ping        Duration `yaml:"ping" default:"60s" min:"5s" max:"1h" doc:"Pause after which a silent connection is tested with a ping (XEP-0199)."`
	PingTimeout Duration `yaml:"ping_timeout" default:"20s" min:"1s" max:"10m" doc:"Time without an answer to the ping after which the connection counts as dead."`
	Queue       int      `yaml:"queue" default:"4096" min:"16" max:"1000000" doc:"Stanzas that may wait for the connection; more are refused."`
	MaxStanza   Size     `yaml:"max_stanza" default:"256KiB" min:"10000" max:"16MiB" doc:"Largest stanza that is read; a larger one is answered with policy-violation."`
}

// XMPPTLS describes TLS on the component connection.
type XMPPTLS struct {
	Enabled    bool   `yaml:"enabled" default:"false" doc:"Use TLS."`
	CA         Path   `yaml:"ca" doc:"PEM file with the certificate authorities to trust; default: those of the system."`
	ServerName string `yaml:"server_name" doc:"Name that the certificate must carry; default: the host of xmpp.component."`
}

// SIP describes everything on the SIP side.
type SIP struct {
	Listen    []Listen   `yaml:"listen" required:"true" example:"[udp://0.0.0.0:5060, tcp://0.0.0.0:5060]" doc:"Listeners, as udp://, tcp://, tls://, ws:// or wss:// with address and port. Default ports: 5060 for udp and tcp, 5061 for tls, 80 for ws, 443 for wss."`
	Advertise Host       `yaml:"advertise" example:"203.0.113.7" doc:"Address or name in Via and Contact when stoxgate is behind NAT; default: the address of the interface."`
	Domains   []Domain   `yaml:"domains" example:"[sip.example.org]" doc:"SIP domains that are ours; default: xmpp.domain."`
	Registrar Registrar  `yaml:"registrar" doc:"Phones may log in here (RFC 3261 §10) with the user and password of an identity."`
	Trunks    []Trunk    `yaml:"trunks" doc:"Named next hops: carriers, telephone systems, other SIP servers. Registered phones come first, then the identity's trunk, then the trunk with the longest match, then DNS (RFC 3263)."`
	Trusted   []Prefix   `yaml:"trusted" example:"[10.0.0.0/8]" doc:"Networks whose requests need no digest: their From and P-Asserted-Identity are believed. Name only peers that you run."`
	TLS       SIPTLS     `yaml:"tls" doc:"Certificate of the tls:// and wss:// listeners."`
	DNS       []HostPort `yaml:"dns" example:"[\"192.0.2.53:53\"]" doc:"DNS servers for NAPTR, SRV and address look-ups; default: those of the system."`
	Digest    []string   `yaml:"digest" default:"[md5, sha-256]" enum:"md5|sha-256" doc:"Digest algorithms that phones are offered, in this order. Many phones know nothing but MD5 and look at the first offer only; with [sha-256] alone those are shut out."`
	Limits    Limits     `yaml:"limits" doc:"Protection against scanners and floods. Trusted networks and loopback addresses are exempt from what counts for one address."`
}

// Registrar describes the built-in SIP registrar.
type Registrar struct {
	Enabled    bool     `yaml:"enabled" default:"true" doc:"Accept REGISTER."`
	MinExpires Duration `yaml:"min_expires" default:"60s" min:"10s" max:"1h" doc:"Shorter registrations are refused with 423."`
	Expires    Duration `yaml:"expires" default:"1h" min:"60s" max:"24h" doc:"Time of a registration that does not ask for one."`
	MaxExpires Duration `yaml:"max_expires" default:"2h" min:"60s" max:"168h" doc:"Longer registrations are shortened to this."`
}

// Trunk is a named next hop.
type Trunk struct {
	Name         string   `yaml:"name" required:"true" example:"carrier" doc:"Name in identities, logs and metrics: letters, digits, dot, dash and underscore."`
	URI          SIPURI   `yaml:"uri" required:"true" example:"\"sip:sbc.carrier.example;transport=tls\"" doc:"Where requests go. Without a port the host is looked up by NAPTR and SRV; ;transport= is udp, tcp, tls, ws or wss."`
	Numbers      []string `yaml:"numbers" example:"[\"+\"]" doc:"Number prefixes that go there, in international form; \"+\" is every number."`
	Domains      []string `yaml:"domains" example:"[\"pbx.example.org\"]" doc:"SIP domains that go there; \"*\" takes what nothing else took."`
	Username     string   `yaml:"username" example:"u" doc:"User for digest authentication and registration."`
	Password     Secret   `yaml:"password" example:"\"${TRUNK_PASSWORD}\"" doc:"Password of that user."`
	PasswordFile Path     `yaml:"password_file" doc:"File that holds the password instead."`
	Realm        string   `yaml:"realm" doc:"Answer challenges of this realm only; default: of any."`
	Register     bool     `yaml:"register" default:"false" doc:"Register with the trunk; otherwise its health is tested with OPTIONS."`
	Publish      bool     `yaml:"publish" default:"false" doc:"The trunk is a presence server: publish there (RFC 3903) the presence of identities with a JID and a SIP address in one of its domains, as far as their users have added the gateway to their contacts."`
}

// SIPTLS names the certificate files of the SIP listeners.
type SIPTLS struct {
	Cert     Path `yaml:"cert" doc:"PEM file with the certificate, followed by those of its issuers."`
	Key      Path `yaml:"key" doc:"PEM file with the private key."`
	ClientCA Path `yaml:"client_ca" doc:"PEM file with the authorities of client certificates; when given, clients may show one, and a valid one counts as trusted."`
}

// Limits protect the SIP listeners.
type Limits struct {
	Rate                 int      `yaml:"rate" default:"500" min:"1" max:"100000" doc:"Messages a second from one address, on average."`
	Burst                int      `yaml:"burst" default:"2000" min:"1" max:"1000000" doc:"Messages from one address at once."`
	Connections          int      `yaml:"connections" default:"10000" min:"1" max:"1000000" doc:"TCP, TLS and WebSocket connections in all."`
	ConnectionsPerSource int      `yaml:"connections_per_source" default:"200" min:"1" max:"1000000" doc:"Connections from one address."`
	Idle                 Duration `yaml:"idle" default:"15m" min:"10s" max:"24h" doc:"Silent connections are closed after this time."`
	Ban                  Duration `yaml:"ban" default:"10m" min:"0s" max:"168h" doc:"How long an address stays shut out after repeated failed logins or when it behaves like a scanner; 0s never shuts anybody out."`
}

// Messages describes how text messages are carried.
type Messages struct {
	Type    string   `yaml:"type" default:"chat" enum:"chat|normal" doc:"Type of the stanzas made from SIP messages: chat is what XMPP clients show well, normal the letter of RFC 7572 §5."`
	Offline string   `yaml:"offline" default:"keep" enum:"keep|refuse" doc:"While the XMPP server is away, SIP messages are kept and answered with 202, or refused with 480."`
	KeepFor Duration `yaml:"keep_for" default:"24h" min:"1m" max:"720h" doc:"How long a message that cannot be delivered yet is tried again before its sender gets an error."`
	Public  bool     `yaml:"public" default:"false" doc:"Accept messages from SIP users of foreign domains that nobody vouches for. Their sender addresses can be forged."`
	Drain   Duration `yaml:"drain" default:"10s" min:"0s" max:"10m" doc:"How long a shutdown waits for messages under way. Those that are not through by then stay in the outbox."`
}

// Presence describes who sees whom.
type Presence struct {
	Confirm     bool   `yaml:"confirm" default:"false" doc:"XMPP users who want to see a phone that is registered here wait until an operator agrees (POST /api/v1/watchers); the phone sees them by presence.winfo. Otherwise whoever asks is let in, because most phones cannot ask their owner."`
	ContactList string `yaml:"contact_list" default:"contacts" doc:"User part of the SIP URI under which each phone that is registered here finds all its XMPP contacts as one resource list (RFC 4662), as in sip:contacts@sip.example.org; \"\" for none. An identity with that address comes first."`
	Seed        bool   `yaml:"seed" default:"false" doc:"Offer the phones of the identity table to users of the table who add the gateway to their contacts: into the roster where the server grants it (XEP-0356), else as a suggestion (XEP-0144)."`

	Avatars Avatars `yaml:"avatars" doc:"Pictures of people, both ways."`
}

// Avatars describes how pictures cross.
type Avatars struct {
	Fetch    bool       `yaml:"fetch" default:"true" doc:"Let Jabber users see the pictures that SIP users name in their presence documents (CIPID icon, RFC 4482). Stoxgate fetches them itself, only while somebody sees the SIP user: by https, from public addresses, without cookies or proxy, over at most 3 redirects to the like. PNG, JPEG, GIF and WebP cross."`
	Hosts    []IconHost `yaml:"hosts" example:"[pbx.example.org, \"10.0.0.5:8080\"]" doc:"Hosts of yours whose pictures are also fetched when they have a private address, and by http; with a port, at that port only. Whoever may publish presence can make stoxgate send a GET there."`
	MaxSize  Size       `yaml:"max_size" default:"128KiB" min:"1KiB" max:"4MiB" doc:"Largest picture, in either direction. What does not fit into a stanza of xmpp.max_stanza does not cross, whatever stands here."`
	IconBase IconBase   `yaml:"icon_base" example:"https://gw.example.org/avatars/" doc:"URL under which SIP users reach /avatars/ of http.listen, by way of a web server as a rule: their presence documents then name the picture of a Jabber user as this and the SHA-1 of the picture. It takes no token, for the hash is the permission: only hashes of documents are served, as long as somebody may see her. Default: no pictures for SIP users."`
}

// Identity describes addresses and numbers.
type Identity struct {
	DefaultRegion Region `yaml:"default_region" example:"DE" doc:"ISO 3166 country of telephone numbers without a country code; default: such numbers are refused."`
	Emergency     bool   `yaml:"emergency" default:"false" doc:"Carry messages to emergency numbers. They have no location, so leave this off unless a trunk is meant for them."`
	ENUM          Domain `yaml:"enum" example:"e164.arpa" doc:"DNS zone in which telephone numbers are looked up (RFC 6116) before trunks are tried; default: no look-up. The servers are those of sip.dns."`
}

// Media describes calls: addresses, ports, codecs, bounds.
type Media struct {
	Enabled        bool      `yaml:"enabled" default:"true" doc:"Carry calls; otherwise messages and presence only."`
	Address        []Host    `yaml:"address" single:"true" example:"203.0.113.7" doc:"Address offered to both sides, or a list of one IPv4 and one IPv6 address, such as [203.0.113.7, 2001:db8::7]: clients are offered both then, and phones the one of the family that they use for SIP. Default: sip.advertise, else what the interface has of the families of sip.listen."`
	Listen         []Host    `yaml:"listen" single:"true" example:"10.0.0.7" doc:"Local address of the media ports, or one of each family: behind NAT media.address is then the public form of the one of its family. Default: media.address if this machine has it, else the address of the interface."`
	Ports          PortRange `yaml:"ports" default:"20000-29999" doc:"UDP ports for media. A call takes a pair of them for its SIP side, which rests 20 s after it."`
	ICEPort        ICEPort   `yaml:"ice_port" default:"auto" doc:"The UDP port for the media of all XMPP clients: auto takes the first of media.ports that is free; a number may be one of media.ports or not; off takes a pair of media.ports for each call instead."`
	TURNFrom       Domain    `yaml:"turn_from" example:"example.org" doc:"XMPP server that is asked for TURN servers and credentials (XEP-0215), for a stoxgate without a public address; Prosody answers if external_service_access names xmpp.domain. Default: TURN is not used."`
	Codecs         []string  `yaml:"codecs" default:"[opus, g722, pcma, pcmu]" enum:"opus|g722|pcma|pcmu" doc:"Codecs in order of preference. One that both sides have is passed through, otherwise stoxgate transcodes."`
	Encryption     string    `yaml:"encryption" default:"none" enum:"none|sdes|dtls" doc:"What calls to SIP are offered with: plain RTP, SRTP with keys in the signalling, or DTLS-SRTP. Calls from SIP get what they offer. Towards XMPP it is always DTLS-SRTP."`
	RingTimeout    Duration  `yaml:"ring_timeout" default:"120s" min:"10s" max:"10m" doc:"How long a call may ring."`
	ConnectTimeout Duration  `yaml:"connect_timeout" default:"20s" min:"2s" max:"2m" doc:"How long ICE and DTLS may take before the call ends."`
	Timeout        Duration  `yaml:"timeout" default:"30s" min:"5s" max:"1h" doc:"Silence of a side that should send after which a call ends."`
	MaxTime        Duration  `yaml:"max_time" default:"24h" min:"1m" max:"168h" doc:"Longest time of a call."`
	MaxCalls       int       `yaml:"max_calls" default:"2000" min:"1" max:"100000" doc:"Calls at a time; more are refused."`
	CallsPerUser   int       `yaml:"calls_per_user" default:"8" min:"1" max:"100000" doc:"Calls at a time of one XMPP user, and from one SIP address that is not in sip.trusted."`
}

// Calls says how long accounts of calls are kept.
type Calls struct {
	Keep Duration `yaml:"keep" default:"30d" max:"3650d" doc:"How long after its beginning the account of a call is kept; 0: none is written."`
	Most int      `yaml:"most" default:"1000000" min:"1" max:"1000000000" doc:"Accounts that are kept; the oldest go first."`
}

// State says where data is kept.
type State struct {
	Dir Path   `yaml:"dir" default:"./stoxgate-data" doc:"Folder of the built-in database (SQLite). It is made when it does not exist."`
	URL Secret `yaml:"url" example:"\"postgres://stoxgate:${PGPASSWORD}@db.example.org/stoxgate\"" doc:"PostgreSQL database to use instead."`
}

// HTTP describes the console.
type HTTP struct {
	Listen    HTTPListen `yaml:"listen" default:"127.0.0.1:8780" doc:"Address and port; \"off\" switches HTTP off."`
	Token     Secret     `yaml:"token" example:"${STOXGATE_HTTP_TOKEN}" doc:"Token that callers must show, as a Bearer token or as the password of HTTP Basic. Required unless http.listen is a loopback address. At least 16 characters."`
	TokenFile Path       `yaml:"token_file" doc:"File that holds the token instead."`
}

// Log describes the log.
type Log struct {
	Level  string `yaml:"level" default:"info" enum:"trace|debug|info|warn|error" doc:"Lowest level that is written. Bodies of messages never are."`
	Format string `yaml:"format" default:"console" enum:"console|json" doc:"Lines for people or for machines."`
}

// Trace describes the journal.
type Trace struct {
	Keep int  `yaml:"keep" default:"5000" min:"0" max:"1000000" doc:"Entries kept in memory; 0 keeps none."`
	Raw  bool `yaml:"raw" default:"false" doc:"Keep whole messages, including what people wrote. Credentials are never kept."`
}

// Environment looks a variable up; os.LookupEnv is one.
type Environment func(name string) (string, bool)

// Load reads and checks the file. The error is an *Invalid when the content is
// at fault, and the file system's otherwise.
func Load(path string, env Environment) (*Config, error) {
	data, err := os.ReadFile(path)
	if err != nil {
		return nil, fmt.Errorf("config: %w", err)
	}
	return Parse(path, data, env)
}

// Parse checks data as the content of the file called path.
func Parse(path string, data []byte, env Environment) (*Config, error) {
	if env == nil {
		env = os.LookupEnv
	}
	c := &Config{file: path, dir: filepath.Dir(path)}
	problems, readable := decode(c, data, env)
	if readable {
		c.check(&problems)
	}
	problems.sort()
	var faults []Problem
	for _, p := range problems {
		if p.Warning {
			c.Warnings = append(c.Warnings, p)
		} else {
			faults = append(faults, p)
		}
	}
	if len(faults) > 0 {
		return nil, &Invalid{File: path, Problems: faults, Warnings: c.Warnings}
	}
	return c, nil
}

// File is the name under which the configuration was read.
func (c *Config) File() string { return c.file }

// Line returns the line on which a key such as "xmpp.domain" stands, 0 when it
// was left to its default.
func (c *Config) Line(key string) int { return c.places[key] }

// IsInvalid reports whether err says that the content of the file is wrong.
func IsInvalid(err error) bool {
	var invalid *Invalid
	return errors.As(err, &invalid)
}
