package disco

import (
	"errors"
	"strconv"
	"strings"
	"time"

	"github.com/stoxgate/stoxgate/xmpp"
)

// service is one request that is answered here: its payload, the feature that
// announces it ("" when there is none to announce), and the answers to get and
// set; nil is not-allowed.
type service struct {
	key      serviceKey
	feature  string
	get, set func(*Responder, *xmpp.IQ, Subject) *xmpp.IQ
}

type serviceKey struct{ space, local string }

var (
	infoService    = service{serviceKey{xmpp.NSDiscoInfo, "query"}, xmpp.NSDiscoInfo, (*Responder).discoInfo, nil}
	itemsService   = service{serviceKey{xmpp.NSDiscoItems, "query"}, xmpp.NSDiscoItems, (*Responder).discoItems, nil}
	pingService    = service{serviceKey{xmpp.NSPing, "ping"}, xmpp.NSPing, (*Responder).ping, nil}
	versionService = service{serviceKey{xmpp.NSVersion, "query"}, xmpp.NSVersion, (*Responder).version, nil}
	timeService    = service{serviceKey{xmpp.NSTime, "time"}, xmpp.NSTime, (*Responder).time, nil}
	uptimeService  = service{serviceKey{xmpp.NSLast, "query"}, xmpp.NSLast, (*Responder).uptime, nil}
	vcardService   = service{serviceKey{xmpp.NSVCard, "vCard"}, xmpp.NSVCard, (*Responder).vcard, nil}
	promptService  = service{serviceKey{xmpp.NSGateway, "query"}, xmpp.NSGateway, (*Responder).prompt, (*Responder).resolve}

	// Nobody registers: whoever the gateway serves is in its identity table.
	// XEP-0077 §3.1: a host without registration says service-unavailable, and
	// does not announce the feature.
	registerService = service{serviceKey{xmpp.NSRegister, "query"}, "", noRegistration, noRegistration}

	// For unknown addresses: an empty list and forbidden are what existing
	// addresses say to strangers (XEP-0030 §8, XEP-0012 §3).
	noItemsService = service{serviceKey{xmpp.NSDiscoItems, "query"}, "", (*Responder).noItems, nil}
	noLastService  = service{serviceKey{xmpp.NSLast, "query"}, "", noLast, nil}
)

// servicesOf is the table of what each kind of subject serves.
func servicesOf(k Kind, cfg Config) []service {
	switch k {
	case SubjectGateway:
		s := []service{infoService, itemsService, pingService, versionService, timeService, uptimeService, vcardService, registerService}
		if cfg.Resolve != nil {
			s = append(s, promptService)
		}
		return s
	case SubjectUser:
		return []service{infoService, itemsService, pingService, vcardService}
	case SubjectResource:
		return []service{infoService, itemsService, pingService}
	}
	return []service{noItemsService, noLastService}
}

// kindFeatures are the features that stand for a behaviour, not for a request:
// caps (XEP-0115 §7) for those whose presence carries them, and JID escaping
// (XEP-0106 §5) for the gateway that takes user\40host addresses.
var kindFeatures = [kindCount]Features{
	SubjectGateway:  NewFeatures(xmpp.NSCaps, xmpp.FeatureJIDEscaping),
	SubjectResource: NewFeatures(xmpp.NSCaps),
}

func (r *Responder) discoInfo(iq *xmpp.IQ, who Subject) *xmpp.IQ {
	node := iq.Payload.Attribute("node")
	info, ok := r.infoAt(who, node)
	if !ok {
		return fail(iq, xmpp.ConditionItemNotFound, "")
	}
	q := info.Element()
	if node != "" {
		q.Set("node", node) // XEP-0030 §3.2: mirrored
	}
	return iq.Result(q)
}

// discoItems lists the gateway's items; users and their resources have none that
// a stranger could call (the resources are known from presence).
func (r *Responder) discoItems(iq *xmpp.IQ, who Subject) *xmpp.IQ {
	if iq.Payload.Attribute("node") != "" {
		return fail(iq, xmpp.ConditionItemNotFound, "")
	}
	q := xmpp.NewElement(xmpp.NSDiscoItems, "query")
	if who.Kind == SubjectGateway {
		for _, item := range r.cfg.Items {
			e := xmpp.NewElement(xmpp.NSDiscoItems, "item").Set("jid", item.JID.String())
			if item.Node != "" {
				e.Set("node", item.Node)
			}
			if item.Name != "" {
				e.Set("name", item.Name)
			}
			q.Add(e)
		}
	}
	return iq.Result(q)
}

func (r *Responder) noItems(iq *xmpp.IQ, _ Subject) *xmpp.IQ {
	q := xmpp.NewElement(xmpp.NSDiscoItems, "query")
	if node := iq.Payload.Attribute("node"); node != "" {
		q.Set("node", node)
	}
	return iq.Result(q)
}

func noLast(_ *Responder, iq *xmpp.IQ, _ Subject) *xmpp.IQ {
	return fail(iq, xmpp.ConditionForbidden, "")
}

func noRegistration(_ *Responder, iq *xmpp.IQ, _ Subject) *xmpp.IQ {
	return fail(iq, xmpp.ConditionServiceUnavailable, "this gateway needs no registration")
}

func (r *Responder) ping(iq *xmpp.IQ, _ Subject) *xmpp.IQ { return iq.Result(nil) }

func (r *Responder) version(iq *xmpp.IQ, _ Subject) *xmpp.IQ {
	q := xmpp.NewElement(xmpp.NSVersion, "query").Add(
		textElement(xmpp.NSVersion, "name", r.cfg.Name), textElement(xmpp.NSVersion, "version", r.cfg.Version))
	if r.cfg.OS != "" {
		q.Add(textElement(xmpp.NSVersion, "os", r.cfg.OS))
	}
	return iq.Result(q)
}

func (r *Responder) time(iq *xmpp.IQ, _ Subject) *xmpp.IQ {
	now := r.cfg.Now()
	return iq.Result(xmpp.NewElement(xmpp.NSTime, "time").Add(
		textElement(xmpp.NSTime, "tzo", now.Format("-07:00")),
		textElement(xmpp.NSTime, "utc", now.UTC().Format("2006-01-02T15:04:05Z"))))
}

// uptime answers for the gateway itself: seconds since it started (XEP-0012 §5).
func (r *Responder) uptime(iq *xmpp.IQ, _ Subject) *xmpp.IQ {
	seconds := max(0, r.cfg.Now().Sub(r.cfg.Started)/time.Second)
	return iq.Result(xmpp.NewElement(xmpp.NSLast, "query").Set("seconds", strconv.FormatInt(int64(seconds), 10)))
}

// vcard shows the gateway's name and address, or a SIP user's name, number and
// URI. A user of whom only the URI is known is named by it.
func (r *Responder) vcard(iq *xmpp.IQ, who Subject) *xmpp.IQ {
	v := xmpp.NewElement(xmpp.NSVCard, "vCard")
	name, uri := who.Name, who.URI
	if who.Kind == SubjectGateway {
		name, uri = r.cfg.Name, r.cfg.Node
	}
	if name == "" {
		name = who.Number
	}
	if name == "" {
		name = uri
	}
	v.Add(textElement(xmpp.NSVCard, "FN", name))
	if who.Number != "" {
		v.Add(xmpp.NewElement(xmpp.NSVCard, "TEL").Add(
			xmpp.NewElement(xmpp.NSVCard, "VOICE"), textElement(xmpp.NSVCard, "NUMBER", who.Number)))
	}
	if uri != "" {
		v.Add(textElement(xmpp.NSVCard, "URL", uri))
	}
	return iq.Result(v)
}

// prompt and resolve are the two halves of XEP-0100 §6.4.
func (r *Responder) prompt(iq *xmpp.IQ, _ Subject) *xmpp.IQ {
	res := iq.Result(xmpp.NewElement(xmpp.NSGateway, "query").Add(
		textElement(xmpp.NSGateway, "desc", "Please enter the SIP address or the phone number of the person you would like to contact."),
		textElement(xmpp.NSGateway, "prompt", "SIP address or number")))
	res.Lang = "en"
	return res
}

func (r *Responder) resolve(iq *xmpp.IQ, _ Subject) *xmpp.IQ {
	p := iq.Payload.Child(xmpp.NSGateway, "prompt")
	if p == nil {
		return fail(iq, xmpp.ConditionBadRequest, "no prompt")
	}
	jid, err := r.cfg.Resolve(strings.TrimSpace(p.Text()))
	var se *xmpp.StanzaError
	switch {
	case errors.As(err, &se):
		return iq.ErrorReply(*se)
	case err != nil:
		return fail(iq, xmpp.ConditionNotAcceptable, "neither a SIP address nor a phone number")
	}
	return iq.Result(xmpp.NewElement(xmpp.NSGateway, "query").Add(textElement(xmpp.NSGateway, "jid", jid.String())))
}

func textElement(space, local, text string) *xmpp.Element {
	return xmpp.NewElement(space, local).AddText(text)
}
