package event

import (
	"encoding/json"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/stoxgate/stoxgate/sip"
)

func TestRestoreWatch(t *testing.T) {
	bubble(t, func(t *testing.T) {
		st := newStation(t)
		stop := st.run()
		w, sub := st.watch(func(o *WatchOptions) { o.EventList = true })
		st.ok(st.notify(sub, "p", 4, "active;expires=3600", "Record-Route: <sip:p.example;lr>"))
		raw, err := json.Marshal(w.Record())
		require.NoError(t, err)
		stop()

		pass(10 * time.Minute) // the process is down
		var r WatchRecord
		require.NoError(t, json.Unmarshal(raw, &r))
		st2 := newStation(t)
		w2, err := st2.s.Restore(r, st2.owner, "data")
		require.NoError(t, err)
		defer st2.run()()
		require.Equal(t, "data", w2.Data)
		require.Equal(t, WatchActive, w2.Status().State)
		pass(time.Minute)
		require.Empty(t, st2.net.requests(), "there is time")
		require.Empty(t, st2.owner.events(), "and nothing to tell")
		st2.ok(st2.notify(sub, "p", 5, "active;expires=2900", document("on")...))
		require.Equal(t, []string{"p: active on"}, st2.owner.events())
		require.Equal(t, 481, st2.notify(sub, "new", 1, "active").Code)
		req := st2.next(44 * time.Minute)
		require.Equal(t, "p", sip.ToTag(req.Request))
		require.Equal(t, sip.CallID(sub.Request), sip.CallID(req.Request))
		require.Equal(t, sip.FromTag(sub.Request), sip.FromTag(req.Request))
		require.Equal(t, "eventlist", req.value("Supported"))
		require.Equal(t, "<sip:p.example;lr>", routesText(req.target.Routes))
		n, _ := sip.CSeq(req.Request)
		require.Greater(t, n, uint32(seqGap))
	})
}

// TestRestoreSpreads: what is due, or has expired, comes back bit by bit.
func TestRestoreSpreads(t *testing.T) {
	bubble(t, func(t *testing.T) {
		old := newStation(t)
		stopOld := old.run()
		w, sub := old.watch()
		old.ok(old.notify(sub, "p", 1, "active;expires=3600"))
		stopOld()
		for _, c := range []struct {
			name string
			left time.Duration
			from time.Duration // of the refreshes
			to   time.Duration
		}{
			{"expired", -time.Second, 0, 2 * time.Minute},
			{"expired by a clock", -1000 * time.Hour, 0, 2 * time.Minute},
			{"overdue", 4 * time.Minute, 0, 2 * time.Minute},
			{"nearly over", 20 * time.Second, 0, 10 * time.Second},
			{"in time", time.Hour, 50 * time.Minute, 55 * time.Minute},
			{"clock put back", 1000 * time.Hour, 50 * time.Minute, 55 * time.Minute},
		} {
			st := newStation(t)
			r := w.Record()
			const count = 400
			for range count {
				r.Dialogs = slices.Clone(r.Dialogs)
				r.Dialogs[0].Expires = time.Now().Add(c.left)
				r.CallID = token(8)
				_, err := st.s.Restore(r, st.owner, nil)
				require.NoError(t, err)
			}
			start := time.Now()
			st.net.script(codes(403)) // final for new ones, of no consequence for others
			stop := st.run()
			pass(c.to)
			list := st.net.requests()
			var buckets [10]int
			seen := map[string]bool{}
			for _, r := range list {
				if seen[sip.CallID(r.Request)] {
					continue
				}
				seen[sip.CallID(r.Request)] = true
				at := r.at.Sub(start)
				require.GreaterOrEqual(t, at, c.from, c.name)
				buckets[min(int(10*at/(c.to+1)), 9)]++
			}
			require.GreaterOrEqual(t, len(seen), count-1, c.name)
			if c.from == 0 {
				for i, n := range buckets {
					require.InDelta(t, count/10, n, count/10, "%s: bucket %d", c.name, i)
				}
			}
			stop()
		}
	})
}

func TestRestoreWatchRefuses(t *testing.T) {
	st := newStation(t)
	w, err := st.s.Subscribe(st.options())
	require.NoError(t, err)
	good := w.Record()
	good.CallID, good.LocalTag = "c", "t"
	good.Dialogs = []DialogRecord{{RemoteTag: "p", Target: "sip:a@b", State: "active", Expires: time.Now().Add(time.Hour)}}
	_, err = st.s.Restore(good, st.owner, nil)
	require.NoError(t, err)
	for name, change := range map[string]func(*WatchRecord){
		"from":   func(r *WatchRecord) { r.From = "" },
		"to":     func(r *WatchRecord) { r.To = "x" },
		"uri":    func(r *WatchRecord) { r.URI = "sip:" },
		"accept": func(r *WatchRecord) { r.Package = "" },
		"target": func(r *WatchRecord) { r.Dialogs[0].Target = "" },
		"routes": func(r *WatchRecord) { r.Dialogs[0].Routes = "<" },
		"flow":   func(r *WatchRecord) { r.Dialogs[0].Flow = "x" },
		"long":   func(r *WatchRecord) { r.Dialogs[0].Routes = "<sip:" + strings.Repeat("x", 5000) + ">" },
	} {
		r := good
		r.Dialogs = slices.Clone(r.Dialogs)
		change(&r)
		_, err := st.s.Restore(r, st.owner, nil)
		require.ErrorIs(t, err, ErrRecord, name)
	}
	r := good
	r.State = "terminated"
	_, err = st.s.Restore(r, st.owner, nil)
	require.ErrorIs(t, err, ErrEnded)
	waiting := good
	waiting.Dialogs = nil
	w, err = st.s.Restore(waiting, st.owner, nil)
	require.NoError(t, err)
	require.Equal(t, WatchWaiting, w.Status().State)
}
