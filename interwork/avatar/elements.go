package avatar

import (
	"encoding/base64"
	"errors"
	"fmt"
	"strconv"
	"strings"

	"github.com/stoxgate/stoxgate/xmpp"
)

// Photo is the PHOTO element of a vCard with the picture (XEP-0054, XEP-0153 §4.1).
func (p *Picture) Photo() *xmpp.Element {
	return xmpp.NewElement(xmpp.NSVCard, "PHOTO").Add(
		xmpp.NewElement(xmpp.NSVCard, "TYPE").AddText(p.Type),
		xmpp.NewElement(xmpp.NSVCard, "BINVAL").AddText(base64.StdEncoding.EncodeToString(p.Data)))
}

// ItemsQuery is a request for the items of an avatar node (XEP-0084 §3.4, XEP-0060 §6.5).
type ItemsQuery struct {
	Node string
	ID   string // of the one item that is asked for; "" for any
}

// ReadItemsQuery reads the payload of an IQ get; ok is false when it is for something else.
func ReadItemsQuery(payload *xmpp.Element) (q ItemsQuery, ok bool) {
	if !payload.Is(xmpp.NSPubSub, "pubsub") {
		return q, false
	}
	items := payload.Child(xmpp.NSPubSub, "items")
	if items == nil {
		return q, false
	}
	q.Node = items.Attribute("node")
	if item := items.Child(xmpp.NSPubSub, "item"); item != nil {
		q.ID = item.Attribute("id")
	}
	return q, q.Node == xmpp.NSAvatarMetadata || q.Node == xmpp.NSAvatarData
}

// Answer is the payload of the result; nil when the picture is none of those asked for.
func (q ItemsQuery) Answer(p *Picture) *xmpp.Element {
	if p == nil || q.ID != "" && !strings.EqualFold(q.ID, p.Hash) {
		return nil
	}
	content := xmpp.NewElement(xmpp.NSAvatarData, "data")
	if q.Node == xmpp.NSAvatarData {
		content.AddText(base64.StdEncoding.EncodeToString(p.Data))
	} else {
		content = xmpp.NewElement(xmpp.NSAvatarMetadata, "metadata").Add(
			xmpp.NewElement(xmpp.NSAvatarMetadata, "info").Set("id", p.Hash).Set("type", p.Type).
				Set("bytes", strconv.Itoa(len(p.Data))).Set("width", strconv.Itoa(p.Width)).Set("height", strconv.Itoa(p.Height)))
	}
	return xmpp.NewElement(xmpp.NSPubSub, "pubsub").Add(
		xmpp.NewElement(xmpp.NSPubSub, "items").Set("node", q.Node).Add(
			xmpp.NewElement(xmpp.NSPubSub, "item").Set("id", p.Hash).Add(content)))
}

// vCardQuery and dataQuery ask an XMPP user for the picture.
func vCardQuery() *xmpp.Element { return xmpp.NewElement(xmpp.NSVCard, "vCard") }

func dataQuery(hash string) *xmpp.Element {
	return xmpp.NewElement(xmpp.NSPubSub, "pubsub").Add(
		xmpp.NewElement(xmpp.NSPubSub, "items").Set("node", xmpp.NSAvatarData).Add(
			xmpp.NewElement(xmpp.NSPubSub, "item").Set("id", hash)))
}

// errNoPicture says that an answer holds none.
var errNoPicture = errors.New("avatar: no picture in the answer")

// pictureBytes finds the picture in the answer to one of the queries.
func pictureBytes(answer *xmpp.Element, max int) ([]byte, error) {
	var text string
	switch {
	case answer.Is(xmpp.NSVCard, "vCard"):
		text = answer.Child(xmpp.NSVCard, "PHOTO").Child(xmpp.NSVCard, "BINVAL").Text()
	case answer.Is(xmpp.NSPubSub, "pubsub"):
		text = answer.Child(xmpp.NSPubSub, "items").Child(xmpp.NSPubSub, "item").Child(xmpp.NSAvatarData, "data").Text()
	}
	if text = strings.TrimSpace(text); text == "" {
		return nil, errNoPicture
	}
	// White space inside counts for nothing (XEP-0153 §4.4), and some leave the padding out.
	text = strings.Map(func(r rune) rune {
		if r == ' ' || r == '\t' || r == '\r' || r == '\n' {
			return -1
		}
		return r
	}, text)
	text = strings.TrimRight(text, "=")
	if base64.RawStdEncoding.DecodedLen(len(text)) > max {
		return nil, errTooLarge
	}
	data, err := base64.RawStdEncoding.DecodeString(text)
	if err != nil {
		return nil, fmt.Errorf("%w: %w", errNoPicture, err)
	}
	return data, nil
}
