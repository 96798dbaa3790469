package mapping_test

import (
	"fmt"
	"time"

	"github.com/stoxgate/stoxgate/mapping"
	"github.com/stoxgate/stoxgate/sip"
	"github.com/stoxgate/stoxgate/sip/pidf"
	"github.com/stoxgate/stoxgate/xmpp"
)

func ExamplePresenceToPIDF() {
	p := &xmpp.Presence{From: xmpp.MustJID("mira@chat.harbor.example/desk"), Show: xmpp.ShowDND, Priority: 10}
	r, _ := mapping.ResourceOf(p, time.Date(2026, 5, 4, 18, 22, 1, 0, time.UTC))
	var mira mapping.Resources
	mira, _ = mira.Update(r)
	aor, _ := sip.ParseURI("sip:mira@chat.harbor.example")
	d, _ := mapping.PresenceToPIDF(mira, mapping.PresenceContext{Entity: aor})
	t := d.Tuples[0]
	fmt.Println(d.Entity, t.ID, t.Basic, t.Show, t.URI, t.Priority, d.Persons[0].Activities[0].Name)
	// Output: sip:mira@chat.harbor.example ID-desk open dnd sip:mira@chat.harbor.example;gr=desk 78 busy
}

func ExamplePIDFToPresences() {
	c := mapping.PIDFContext{From: xmpp.MustJID("otto@sip.harbor.example"), To: xmpp.MustJID("mira@chat.harbor.example")}
	var otto mapping.Resources
	for _, body := range []string{
		`<presence xmlns="urn:ietf:params:xml:ns:pidf"><tuple id="x7"><status><basic>open</basic></status><note>at the quay</note></tuple></presence>`,
		`<presence xmlns="urn:ietf:params:xml:ns:pidf"/>`,
	} {
		d, err := pidf.Parse([]byte(body))
		if err != nil {
			fmt.Println(err)
			return
		}
		u := mapping.PIDFToPresences(otto, d, c)
		otto = u.Resources
		for _, p := range u.Presences {
			fmt.Println(string(p.Append(nil)))
		}
	}
	// Output:
	// <presence from='otto@sip.harbor.example/sip' to='mira@chat.harbor.example'><status>at the quay</status></presence>
	// <presence from='otto@sip.harbor.example/sip' to='mira@chat.harbor.example' type='unavailable'/>
}
