package mapping

import (
	"crypto/sha256"
	"strings"

	"github.com/stoxgate/stoxgate/sip"
)

// DeviceResource is the resource that stands for one SIP device of an address, the same for its messages,
// presence and calls (RFC 7247 §6.3). A public GRUU names it itself. Otherwise it is made from the instance
// id that the device registers with (RFC 5626 §4.1), or else from where its Contact says that it is. It is
// empty when the contact says nothing.
func DeviceResource(contact sip.NameAddr) string {
	if gr := contact.URI.Params.Value("gr"); gr != "" {
		return gr
	}
	if id := contact.Params.Value("+sip.instance"); id != "" {
		return hashedResource("instance", strings.ToLower(id))
	}
	if contact.URI.Host == "" {
		return ""
	}
	// The user part is left out: several phones register random users, new with every boot.
	return hashedResource("contact", hostPort(contact.URI))
}

func hostPort(u sip.URI) string {
	host := sip.URI{Scheme: "sip", Host: u.Host, Port: u.Port}
	return host.String()
}

// hashedResource is short, says that it was invented, and survives peers that mangle percent signs in gr.
func hashedResource(kind, key string) string {
	sum := sha256.Sum256([]byte(kind + "\x00" + key))
	return "sip-" + strings.ToLower(base32hex.EncodeToString(sum[:10]))
}
