package console

import (
	"bytes"
	"encoding/json"
	"fmt"
	"net/http"
	"strconv"
	"time"

	"github.com/stoxgate/stoxgate/interwork/journal"
)

// Times of a live stream.
const (
	heartbeat    = 15 * time.Second // a comment, so that proxies and dead peers show
	eventTimeout = 10 * time.Second // for one write
	retryAfter   = 2 * time.Second  // told to the client
)

// live sends entries as Server-Sent Events until the client leaves or the
// console ends.
func (s *Server) live(w http.ResponseWriter, r *http.Request) {
	filter, ok := s.liveFilter(w, r)
	if !ok {
		return
	}
	sub := s.cfg.Sources.Flows.Subscribe(r.Context(), filter)
	defer sub.Close()

	rc := http.NewResponseController(w)
	_ = rc.SetReadDeadline(time.Time{}) // else ReadTimeout would end the stream
	w.Header().Set("Content-Type", "text/event-stream")
	w.Header().Set("X-Accel-Buffering", "no") // nginx would hold the events back
	out := &eventWriter{w: w, rc: rc}
	fmt.Fprintf(&out.buf, "retry: %d\n\n", retryAfter.Milliseconds())
	if out.flush() != nil {
		return
	}

	beat := time.NewTicker(heartbeat)
	defer beat.Stop()
	dropped := uint64(0)
	for {
		select {
		case <-s.streams.Done():
			return
		case e, open := <-sub.C:
			if !open {
				return
			}
			out.entry(&e)
			for range len(sub.C) { // what waits goes out in one write
				if e, open := <-sub.C; open {
					out.entry(&e)
				}
			}
			if n := sub.Dropped(); n > dropped {
				fmt.Fprintf(&out.buf, "event: dropped\ndata: %d\n\n", n-dropped)
				dropped = n
			}
		case <-beat.C:
			out.buf.WriteString(": still here\n\n")
		}
		if out.flush() != nil {
			return
		}
	}
}

func (s *Server) liveFilter(w http.ResponseWriter, r *http.Request) (f journal.Filter, ok bool) {
	f.Flow = r.URL.Query().Get("flow")
	if f.Raw, ok = flag(w, r, "raw"); !ok {
		return f, false
	}
	recent, ok := number(w, r, "recent", 0, 0, 10_000)
	if !ok {
		return f, false
	}
	if last := r.Header.Get("Last-Event-ID"); last != "" {
		after, err := strconv.ParseUint(last, 10, 64)
		if err != nil {
			problem(w, http.StatusBadRequest, "Last-Event-ID must be a number")
			return f, false
		}
		f.After, f.Replay = after, true
		return f, true
	}
	if recent > 0 {
		f.Replay = true
		if past := s.cfg.Sources.Flows.Recent(int(recent)); len(past) > 0 {
			f.After = past[0].Seq - 1
		}
	}
	return f, true
}

// eventWriter collects events and sends them with a deadline.
type eventWriter struct {
	w   http.ResponseWriter
	rc  *http.ResponseController
	buf bytes.Buffer
}

func (o *eventWriter) entry(e *journal.Entry) {
	data, err := json.Marshal(e.Row())
	if err != nil {
		return // a Row holds nothing that could fail
	}
	fmt.Fprintf(&o.buf, "event: entry\nid: %d\ndata: %s\n\n", e.Seq, data)
}

func (o *eventWriter) flush() error {
	_ = o.rc.SetWriteDeadline(time.Now().Add(eventTimeout)) // not supported by test recorders
	if _, err := o.buf.WriteTo(o.w); err != nil {
		return err
	}
	return o.rc.Flush()
}
