package interwork

import (
	"context"
	"strings"
	"sync/atomic"

	"github.com/stoxgate/stoxgate/interwork/avatar"
	"github.com/stoxgate/stoxgate/interwork/cause"
	"github.com/stoxgate/stoxgate/interwork/presence"
	"github.com/stoxgate/stoxgate/mapping"
	"github.com/stoxgate/stoxgate/sip"
	"github.com/stoxgate/stoxgate/sip/pidf"
	"github.com/stoxgate/stoxgate/xmpp"
)

// AvatarConfig says how pictures cross. The zero value lets none.
type AvatarConfig struct {
	// Fetch lets Jabber users see the pictures that SIP users name in their presence, and
	// Hosts are those that may have any address and be asked by http, with a port only at
	// that port; others are asked by https, at public addresses.
	Fetch bool
	Hosts []string
	// IconBase is the URI of [Gateway.Avatar] for SIP users, in front of a hash; "" tells
	// them of no pictures.
	IconBase string
	MaxBytes int // of one picture; default 128 KiB
}

const (
	// stanzaRoom is what a stanza with a picture has besides, in bytes.
	stanzaRoom = 8 << 10
	// maxQueued bounds the bytes of pictures that wait for the link: a small request for a
	// large answer must not fill its queue (8 MiB), which messages need.
	maxQueued = 2 << 20
)

// avatars ties pictures (interwork/avatar) to presence, to IQ and to the web.
type avatars struct {
	g       *Gateway
	base    string
	icons   *avatar.Icons   // of SIP users; nil: none are fetched
	gallery *avatar.Gallery // of XMPP users
	queued  atomic.Int64    // bytes of pictures that wait for the link
}

func newAvatars(g *Gateway) *avatars {
	cfg := g.cfg.Avatars
	stanza := g.cfg.XMPP.Limits.Bytes
	if stanza <= 0 {
		stanza = 256 << 10 // the link's own default
	}
	if cfg.MaxBytes <= 0 {
		cfg.MaxBytes = avatar.DefaultMaxBytes
	}
	cfg.MaxBytes = max(min(cfg.MaxBytes, (stanza-stanzaRoom)/4*3), 1) // in Base64
	a := &avatars{g: g, base: cfg.IconBase}
	a.gallery = avatar.NewGallery(avatar.GalleryConfig{
		Ask: a.ask, MaxBytes: cfg.MaxBytes, Count: a.count("served"), Log: g.log,
	})
	if cfg.Fetch {
		a.icons = avatar.NewIcons(avatar.IconsConfig{
			Hosts: cfg.Hosts, MaxBytes: cfg.MaxBytes, Changed: a.changed, Count: a.count("shown"), Log: g.log,
		})
	}
	return a
}

func (a *avatars) close() {
	if a.icons != nil {
		a.icons.Close()
	}
	a.gallery.Close()
}

func (a *avatars) count(direction string) func(string) {
	return func(what string) { a.g.metrics.avatars.WithLabelValues(direction, what).Inc() }
}

// changed lets the pairs of a SIP user show him again.
func (a *avatars) changed(aor, icon string) {
	a.g.pairs.postAOR(aor, presence.PhotoChanged{Flow: a.g.flows.next('p'), Icon: icon})
}

// photo is what a device of a pair's SIP user says of his picture. From then on the XMPP
// user is given it when she asks.
func (a *avatars) photo(p *pair, r *mapping.Resource) *xmpp.Element {
	if a.icons == nil {
		return nil
	}
	if was := p.icon.Load(); was == nil && r.Avatar != "" || was != nil && *was != r.Avatar {
		icon := r.Avatar
		p.icon.Store(&icon)
	}
	return mapping.PhotoElement(a.icons.Show(p.key.aor, r.Avatar))
}

// hide takes back that she is given his picture.
func (a *avatars) hide(p *pair) { p.icon.Store(nil) }

// picture is the one that the sender of an IQ sees of the SIP user that it is for, nil for
// none: strangers see none, and of those who watch him each what he was told to show her.
func (a *avatars) picture(iq *xmpp.IQ) *avatar.Picture {
	if a.icons == nil {
		return nil
	}
	uri, err := a.g.addresses.ToSIP(iq.To)
	if err != nil {
		return nil
	}
	p := a.g.pairs.find(newPairKey(iq.From, uri))
	if p == nil {
		return nil
	}
	icon := p.icon.Load()
	if icon == nil {
		return nil
	}
	return a.icons.Picture(p.key.aor, *icon)
}

// decorate sends an answer that is a SIP user's vCard (XEP-0054) with his picture in it;
// false when it is something else, or there is none.
func (a *avatars) decorate(iq, answer *xmpp.IQ) bool {
	if answer.Type != xmpp.IQResult || iq.To.Local() == "" || !answer.Payload.Is(xmpp.NSVCard, "vCard") {
		return false
	}
	p := a.picture(iq)
	if p == nil {
		return false
	}
	answer.Payload.Add(p.Photo())
	a.send(iq, answer, len(p.Data))
	return true
}

// items answers a request for the avatar nodes of a SIP user (XEP-0084); false when it is
// for something else. Who sees no picture is told the same as about somebody without one.
func (a *avatars) items(iq *xmpp.IQ) bool {
	if a.icons == nil || iq.Type != xmpp.IQGet || iq.To.Local() == "" || iq.To.Resource() != "" {
		return false
	}
	q, ok := avatar.ReadItemsQuery(iq.Payload)
	if !ok {
		return false
	}
	p := a.picture(iq)
	if answer := q.Answer(p); answer != nil {
		a.send(iq, iq.Result(answer), len(p.Data))
	} else {
		a.g.send(iq.ErrorReply(*xmpp.NewStanzaError(xmpp.ConditionItemNotFound, "")))
	}
	return true
}

// send puts an answer with a picture of so many bytes on the stream, unless too many wait.
func (a *avatars) send(iq, answer *xmpp.IQ, size int) {
	n := int64(size)
	if a.queued.Load() > maxQueued {
		a.g.send(iq.ErrorReply(cause.Overloaded(nil).StanzaError()))
		return
	}
	a.queued.Add(n)
	if err := a.g.xmpp.Send(answer, func(error) { a.queued.Add(-n) }); err != nil {
		a.queued.Add(-n)
		a.g.log.Debug().Err(err).Stringer("to", answer.To).Msg("picture not sent")
	}
}

// offer makes the picture of a document good for its watcher, as XMPP sees him.
func (a *avatars) offer(d *pidf.Document, user, watcher xmpp.JID) {
	for i := range d.Persons {
		if hash, ok := strings.CutPrefix(d.Persons[i].Icon, a.base); ok && a.base != "" {
			a.gallery.Offer(hash, user, watcher)
		}
	}
}

// offerTo is offer for a watcher whose JID is not at hand.
func (a *avatars) offerTo(d *pidf.Document, user xmpp.JID, watcher sip.URI) {
	if a.base == "" {
		return
	}
	if jid, err := a.g.addresses.CallerToXMPP(watcher); err == nil {
		a.offer(d, user, jid)
	}
}

// ask sends an IQ get for the gallery.
func (a *avatars) ask(ctx context.Context, from, to xmpp.JID, query *xmpp.Element) (*xmpp.Element, error) {
	answer, err := a.g.xmpp.IQ(ctx, &xmpp.IQ{From: from, To: to, ID: a.g.flows.next('v'), Type: xmpp.IQGet, Payload: query})
	if err != nil {
		return nil, err
	}
	return answer.Payload, nil
}

// Avatar gives the picture of an XMPP user by its SHA-1 hash in hexadecimal, as long as
// somebody on the SIP side may see her and was told that hash. The error is
// avatar.ErrUnknown, avatar.ErrUnavailable or that of ctx. It may wait for her server.
func (g *Gateway) Avatar(ctx context.Context, hash string) (*avatar.Picture, error) {
	return g.avatars.gallery.Picture(ctx, hash)
}
