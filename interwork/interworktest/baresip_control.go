package interworktest

import (
	"bufio"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"strconv"
	"strings"
	"sync"
	"time"
)

// BaresipEvent is what baresip tells over its module ctrl_tcp.
type BaresipEvent struct {
	Class     string `json:"class"` // "register", "call", …
	Type      string `json:"type"`  // "REGISTER_OK", "CALL_ESTABLISHED", "CALL_CLOSED", …
	Param     string `json:"param"`
	Account   string `json:"accountaor"`
	Direction string `json:"direction"` // of a call: "incoming" or "outgoing"
	Peer      string `json:"peeruri"`
	ID        string `json:"id"` // Call-ID
}

func (e BaresipEvent) String() string {
	return strings.TrimSpace(e.Type + " " + e.Direction + " " + e.Peer + " " + e.Param)
}

// baresipControl is a connection to ctrl_tcp: JSON in netstrings. baresip
// serves one connection at a time.
type baresipControl struct {
	conn   net.Conn
	closed chan struct{}

	mu      sync.Mutex
	next    int
	waiting map[string]chan baresipResponse
}

type baresipResponse struct {
	OK    bool   `json:"ok"`
	Data  string `json:"data"`
	Token string `json:"token"`
}

func dialBaresip(address string, events *Feed[BaresipEvent]) (*baresipControl, error) {
	conn, err := net.DialTimeout("tcp", address, time.Second)
	if err != nil {
		return nil, err
	}
	c := &baresipControl{conn: conn, closed: make(chan struct{}), waiting: map[string]chan baresipResponse{}}
	go c.read(events)
	return c, nil
}

// command runs a command and waits for its response.
func (c *baresipControl) command(name, params string) (string, error) {
	answer := make(chan baresipResponse, 1)
	c.mu.Lock()
	c.next++
	token := strconv.Itoa(c.next)
	c.waiting[token] = answer
	c.mu.Unlock()

	request := map[string]string{"command": name, "token": token}
	if params != "" {
		request["params"] = params
	}
	data, err := json.Marshal(request)
	if err != nil {
		return "", err
	}
	if _, err := fmt.Fprintf(c.conn, "%d:%s,", len(data), data); err != nil {
		return "", err
	}
	deadline := time.NewTimer(Patience)
	defer deadline.Stop()
	select {
	case r := <-answer:
		if !r.OK {
			return r.Data, fmt.Errorf("refused: %s", r.Data)
		}
		return r.Data, nil
	case <-c.closed:
		return "", errors.New("control connection closed")
	case <-deadline.C:
		return "", errors.New("no response")
	}
}

func (c *baresipControl) close() {
	c.conn.Close()
	<-c.closed
}

func (c *baresipControl) read(events *Feed[BaresipEvent]) {
	defer close(c.closed)
	defer c.conn.Close()
	in := bufio.NewReader(c.conn)
	for {
		data, err := readNetstring(in)
		if err != nil {
			return
		}
		var kind struct{ Event, Response bool }
		if err := json.Unmarshal(data, &kind); err != nil {
			return
		}
		if kind.Event {
			var e BaresipEvent
			if err := json.Unmarshal(data, &e); err != nil {
				return
			}
			events.Add(e)
			continue
		}
		var r baresipResponse
		if err := json.Unmarshal(data, &r); err != nil {
			return
		}
		c.mu.Lock()
		answer := c.waiting[r.Token]
		delete(c.waiting, r.Token)
		c.mu.Unlock()
		if answer != nil {
			answer <- r
		}
	}
}

// readNetstring reads "LENGTH:BYTES,".
func readNetstring(in *bufio.Reader) ([]byte, error) {
	head, err := in.ReadString(':')
	if err != nil {
		return nil, err
	}
	n, err := strconv.Atoi(strings.TrimSuffix(head, ":"))
	if err != nil || n < 0 || n > 1<<20 {
		return nil, fmt.Errorf("netstring length %q", head)
	}
	data := make([]byte, n+1)
	if _, err := io.ReadFull(in, data); err != nil {
		return nil, err
	}
	if data[n] != ',' {
		return nil, errors.New("netstring without its comma")
	}
	return data[:n], nil
}
