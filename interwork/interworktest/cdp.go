package interworktest

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net"
	"sync"
	"time"

	"github.com/gobwas/ws"
	"github.com/gobwas/ws/wsutil"
)

// devTools is a connection to Chromium's DevTools protocol: JSON over a
// websocket, with requests, responses and events of every page on the one
// connection (flat sessions).
type devTools struct {
	conn   net.Conn
	closed chan struct{}

	mu       sync.Mutex
	next     int
	waiting  map[int]chan devToolsMessage
	bindings map[string]func(string) // by session: what its page reports
}

// devToolsMessage is a response or an event.
type devToolsMessage struct {
	ID      int             `json:"id"`
	Session string          `json:"sessionId"`
	Method  string          `json:"method"`
	Params  json.RawMessage `json:"params"`
	Result  json.RawMessage `json:"result"`
	Error   *struct {
		Message string `json:"message"`
	} `json:"error"`
}

func dialDevTools(url string) (*devTools, error) {
	ctx, cancel := context.WithTimeout(context.Background(), Patience)
	defer cancel()
	conn, early, _, err := ws.Dial(ctx, url)
	if err != nil {
		return nil, err
	}
	if early != nil {
		ws.PutReader(early)
	}
	d := &devTools{
		conn: conn, closed: make(chan struct{}),
		waiting: map[int]chan devToolsMessage{}, bindings: map[string]func(string){},
	}
	go d.read()
	return d, nil
}

func (d *devTools) close() {
	d.conn.Close()
	<-d.closed
}

// call makes one request, of a page or, with no session, of the browser.
func (d *devTools) call(session, method string, params, result any, within time.Duration) error {
	answer := make(chan devToolsMessage, 1)
	d.mu.Lock()
	d.next++
	id := d.next
	d.waiting[id] = answer
	d.mu.Unlock()
	defer func() {
		d.mu.Lock()
		delete(d.waiting, id)
		d.mu.Unlock()
	}()

	request := map[string]any{"id": id, "method": method, "params": params}
	if session != "" {
		request["sessionId"] = session
	}
	data, err := json.Marshal(request)
	if err != nil {
		return err
	}
	d.mu.Lock()
	err = wsutil.WriteClientText(d.conn, data)
	d.mu.Unlock()
	if err != nil {
		return err
	}
	deadline := time.NewTimer(within)
	defer deadline.Stop()
	select {
	case m := <-answer:
		if m.Error != nil {
			return fmt.Errorf("%s: %s", method, m.Error.Message)
		}
		if result == nil {
			return nil
		}
		return json.Unmarshal(m.Result, result)
	case <-d.closed:
		return errors.New("connection to the browser closed")
	case <-deadline.C:
		return fmt.Errorf("%s: no response within %v", method, within)
	}
}

// bind says who gets what a page reports.
func (d *devTools) bind(session string, f func(string)) {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.bindings[session] = f
}

func (d *devTools) read() {
	defer close(d.closed)
	defer d.conn.Close()
	for {
		data, err := wsutil.ReadServerText(d.conn)
		if err != nil {
			return
		}
		var m devToolsMessage
		if err := json.Unmarshal(data, &m); err != nil {
			return
		}
		d.mu.Lock()
		answer, binding := d.waiting[m.ID], d.bindings[m.Session]
		d.mu.Unlock()
		switch {
		case answer != nil:
			answer <- m
		case m.Method == "Runtime.bindingCalled" && binding != nil:
			var called struct{ Payload string }
			if json.Unmarshal(m.Params, &called) == nil {
				binding(called.Payload)
			}
		}
	}
}
