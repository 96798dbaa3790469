package identity

import (
	"errors"
	"fmt"

	"github.com/stoxgate/stoxgate/interwork/store"
	"github.com/stoxgate/stoxgate/sip"
	"github.com/stoxgate/stoxgate/xmpp"
)

// toRow and fromRow are inverse to each other for identities in normal form.

func toRow(id *Identity) store.IdentityRow {
	r := store.IdentityRow{
		ID: id.ID, JID: id.JID.String(), Numbers: id.Numbers, Name: id.Name, Trunk: id.Trunk,
		CallOut: id.Policy.CallOut, CallIn: id.Policy.CallIn, ShowCallerID: id.Policy.ShowCallerID,
		Keys: id.addresses(),
	}
	for _, a := range id.AORs {
		r.AORs = append(r.AORs, a.String())
	}
	for _, c := range id.Credentials {
		md5, _ := c.HA1("MD5")
		sha, _ := c.HA1("SHA-256")
		r.Credentials = append(r.Credentials, store.CredentialRow{User: c.User, Realm: c.Realm, MD5: md5, SHA256: sha})
	}
	return r
}

func fromRow(r store.IdentityRow) (*Identity, error) {
	id := &Identity{
		ID: r.ID, Name: r.Name, Trunk: r.Trunk, Numbers: r.Numbers,
		Policy: Policy{CallOut: r.CallOut, CallIn: r.CallIn, ShowCallerID: r.ShowCallerID},
	}
	var errs []error
	if r.JID != "" {
		j, err := xmpp.ParseJID(r.JID)
		id.JID, errs = j, append(errs, err)
	}
	if len(r.AORs) > 0 {
		id.AORs = make([]sip.URI, len(r.AORs))
	}
	for i, text := range r.AORs {
		u, err := sip.ParseURI(text)
		id.AORs[i], errs = u, append(errs, err)
	}
	if len(r.Credentials) > 0 {
		id.Credentials = make([]Credential, len(r.Credentials))
	}
	logins := id.logins()
	for i, c := range r.Credentials {
		id.Credentials[i] = Credential{User: c.User, Realm: c.Realm}
		for _, l := range logins { // share the texts: there are many rows
			if l.user == c.User && l.realm == c.Realm {
				id.Credentials[i].User, id.Credentials[i].Realm = l.user, l.realm
			}
		}
		errs = append(errs, id.Credentials[i].setHex(c.MD5, c.SHA256))
	}
	if err := errors.Join(errs...); err != nil {
		return nil, fmt.Errorf("identity: row of %q: %w", r.ID, err)
	}
	return id, nil
}
