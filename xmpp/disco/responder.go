package disco

import (
	"strings"
	"time"

	"github.com/stoxgate/stoxgate/xmpp"
)

// Defaults of Config.
const (
	DefaultNode = "https://github.com/stoxgate/stoxgate"
	DefaultName = "Stoxgate"
)

// resourceName is the name in the identity of every SIP user's full JID.
const resourceName = "SIP"

// Item is one <item/> of a disco#items answer (XEP-0030 §4).
type Item struct {
	JID        xmpp.JID
	Node, Name string
}

// Config is what a Responder answers with.
type Config struct {
	// Node is the URI that names the software in caps (XEP-0115 §4); DefaultNode
	// when empty.
	Node string
	// Name is the gateway's name in its identity, version and vCard; DefaultName
	// when empty.
	Name string
	// Version is the software version (XEP-0092); required there, "unknown" when
	// empty. OS is left out of the answer when empty, which XEP-0092 advises.
	Version, OS string
	// Now is the clock, time.Now when nil. Its location is the zone that entity
	// time tells. Started is when the gateway started, for its uptime (XEP-0012);
	// the time of NewResponder when zero.
	Now     func() time.Time
	Started time.Time
	// Items is the gateway's own item list.
	Items []Item
	// Features are further features per kind, for services that the gateway
	// answers itself before it asks the Responder.
	Features map[Kind]Features
	// Resolve turns what a user typed into the address prompt into a JID. An
	// error that is a *xmpp.StanzaError goes to the user as it is, every other is
	// told as not-acceptable. With nil the prompt is not served.
	Resolve func(input string) (xmpp.JID, error)
}

// Responder answers discovery and the other small requests. It is immutable and
// safe for concurrent use.
type Responder struct {
	cfg      Config
	services [kindCount]map[serviceKey]service
	base     [kindCount]Features
	vers     map[profile]string
	profiles map[string]profile
}

// NewResponder returns a Responder. It computes all caps hashes that it can ever
// announce, which takes some milliseconds.
func NewResponder(cfg Config) *Responder {
	if cfg.Node == "" {
		cfg.Node = DefaultNode
	}
	if cfg.Name == "" {
		cfg.Name = DefaultName
	}
	if cfg.Version == "" {
		cfg.Version = "unknown"
	}
	if cfg.Now == nil {
		cfg.Now = time.Now
	}
	if cfg.Started.IsZero() {
		cfg.Started = cfg.Now()
	}
	r := &Responder{cfg: cfg, vers: make(map[profile]string), profiles: make(map[string]profile)}
	for k := range Kind(kindCount) {
		r.services[k] = make(map[serviceKey]service)
		var vars []string
		for _, s := range servicesOf(k, cfg) {
			r.services[k][s.key] = s
			vars = append(vars, s.feature)
		}
		r.base[k] = NewFeatures(vars...).Union(kindFeatures[k]).Union(cfg.Features[k])
	}
	for caps := range allCapabilities + 1 {
		r.learn(profile{SubjectResource, false, caps})
		r.learn(profile{SubjectGateway, false, caps})
		r.learn(profile{SubjectGateway, true, caps})
	}
	return r
}

func (r *Responder) learn(p profile) {
	ver := r.info(p, "").Verification()
	r.vers[p], r.profiles[ver] = ver, p
}

// Info returns what the subject answers to disco#info; the zero Info for
// SubjectUnknown.
func (r *Responder) Info(who Subject) Info { return r.info(who.profile(), who.Name) }

func (r *Responder) info(p profile, name string) Info {
	info := Info{Features: r.base[p.kind].Union(p.caps.Features())}
	switch p.kind {
	case SubjectGateway:
		// XMPP registry, service discovery identities: "simple" is SIP/SIMPLE.
		info.Identities = []Identity{{Category: "gateway", Type: "simple", Name: r.cfg.Name}}
		if p.numbers {
			info.Identities = append(info.Identities,
				Identity{Category: "gateway", Type: "pstn", Name: r.cfg.Name},
				Identity{Category: "gateway", Type: "sms", Name: r.cfg.Name})
		}
	case SubjectUser:
		info.Identities = []Identity{{Category: "account", Type: "registered", Name: name}}
	case SubjectResource:
		typ := "phone"
		if p.caps.Has(SMS) {
			typ = "sms"
		}
		info.Identities = []Identity{{Category: "client", Type: typ, Name: resourceName}}
	default:
		return Info{}
	}
	return info
}

// Caps returns what goes into the available presence of the gateway or of a
// full JID (XEP-0115 §6.1); the zero Caps for other kinds, whose presence
// carries none.
func (r *Responder) Caps(who Subject) Caps {
	ver, ok := r.vers[who.profile()]
	if !ok {
		return Caps{}
	}
	return Caps{Hash: HashSHA1, Node: r.cfg.Node, Ver: ver}
}

// infoAt returns the answer for a disco#info node: the current one for none, and
// for a caps node the one that has this hash, which may be older than the
// subject's present capabilities (presence with the old hash is still out).
func (r *Responder) infoAt(who Subject, node string) (Info, bool) {
	if node == "" {
		return r.Info(who), true
	}
	ver, ok := strings.CutPrefix(node, r.cfg.Node+"#")
	if !ok {
		return Info{}, false
	}
	p, ok := r.profiles[ver]
	if !ok || p.kind != who.Kind {
		return Info{}, false
	}
	return r.info(p, ""), true
}

// Answer returns the reply to an IQ, or nil for a result or error, which are
// never answered (RFC 6120 §8.2.3). What the subject does not serve is answered
// with service-unavailable, so every request has a reply; requests that another
// part of the gateway serves must not be passed here.
func (r *Responder) Answer(iq *xmpp.IQ, who Subject) *xmpp.IQ {
	if !iq.IsRequest() {
		return nil
	}
	if iq.Payload == nil {
		return fail(iq, xmpp.ConditionBadRequest, "")
	}
	kind := who.Kind
	if kind >= kindCount {
		kind = SubjectUnknown
	}
	s, ok := r.services[kind][serviceKey{iq.Payload.Name.Space, iq.Payload.Name.Local}]
	if !ok {
		return fail(iq, xmpp.ConditionServiceUnavailable, "")
	}
	answer := s.get
	if iq.Type == xmpp.IQSet {
		answer = s.set
	}
	if answer == nil {
		return fail(iq, xmpp.ConditionNotAllowed, "")
	}
	return answer(r, iq, who)
}

// fail answers with an error of the condition's usual type. The text is for the
// person at the other end.
func fail(iq *xmpp.IQ, c xmpp.Condition, text string) *xmpp.IQ {
	e := xmpp.NewStanzaError(c, text)
	if text != "" {
		e.Lang = "en"
	}
	return iq.ErrorReply(*e)
}
