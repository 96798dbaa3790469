package event

import (
	"encoding/json"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/stoxgate/stoxgate/sip"
)

func TestRestoreNotifier(t *testing.T) {
	bubble(t, func(t *testing.T) {
		d := newDesk(t)
		stop := d.run()
		s := d.subscribe("Event: presence;id=7", "Expires: 600", "URI: sip:mira@chat.example;gr=desk", "Record-Route: <sip:p.example;lr>")
		require.NoError(t, s.Notify(active("1")))
		pass(100 * time.Second)
		raw, err := json.Marshal(s.Record()) // text and numbers only
		require.NoError(t, err)
		stop()
		require.Empty(t, d.owner.events()[1:], "a stop ends nothing")
		require.Len(t, d.net.requests(), 1)

		pass(200 * time.Second) // the process is down
		var r Record
		require.NoError(t, json.Unmarshal(raw, &r))
		d2 := newDesk(t)
		s2, err := d2.n.Restore(r)
		require.NoError(t, err)
		_, err = d2.n.Restore(r)
		require.ErrorIs(t, err, ErrRecord, "twice")
		defer d2.run()()
		require.Equal(t, sip.SubscriptionActive, s2.State())
		require.Equal(t, 300*time.Second, s2.Expires())
		require.NoError(t, s2.Notify(active("2")))
		pass(0)
		req := d2.net.one(t)
		require.Equal(t, "active;expires=300", req.value("Subscription-State"))
		require.Equal(t, "presence;id=7", req.value("Event"))
		require.Equal(t, s.ID(), sip.FromTag(req.Request))
		require.Equal(t, "<sip:p.example;lr>", routesText(req.target.Routes))
		n, _ := sip.CSeq(req.Request)
		require.Greater(t, n, uint32(10_000))
		// Its phone refreshes as if nothing had happened.
		require.Equal(t, 200, d2.send(inDialog(s2, 2, "Event: presence;id=7")...).Code)
		r2 := s2.Record()
		require.Equal(t, "sip:mira@chat.example;gr=desk", r2.Resource)
		r.LocalSeq, r.Version, r.RemoteSeq, r.Expires, r.Granted = r2.LocalSeq, r2.Version, r2.RemoteSeq, r2.Expires, r2.Granted
		require.Equal(t, r, r2)
		require.Equal(t, int64(2), r2.RemoteSeq)
	})
}

func TestRestoreRefuses(t *testing.T) {
	d := newDesk(t)
	s := d.subscribe()
	good := s.Record()
	for name, change := range map[string]func(*Record){
		"expired": func(r *Record) { r.Expires = time.Now().Add(-time.Second) },
		"package": func(r *Record) { r.Package = "dialog" },
		"id":      func(r *Record) { r.ID = "" },
		"call-id": func(r *Record) { r.CallID = "" },
		"target":  func(r *Record) { r.Target = "sip:" },
		"local":   func(r *Record) { r.Local = "" },
		"routes":  func(r *Record) { r.Routes = "<sip:a" },
		"flow":    func(r *Record) { r.Flow = "udp,?" },
		"long":    func(r *Record) { r.EventID = strings.Repeat("x", 1<<20) },
	} {
		r := good
		change(&r)
		_, err := newDesk(t).n.Restore(r)
		want := ErrRecord
		if name == "expired" {
			want = ErrExpired
		}
		require.ErrorIs(t, err, want, name)
	}
	// A clock that was put back a year gives no year.
	r := good
	r.Expires = time.Now().Add(365 * 24 * time.Hour)
	back, err := newDesk(t).n.Restore(r)
	require.NoError(t, err)
	require.LessOrEqual(t, back.Expires(), time.Hour)
}
