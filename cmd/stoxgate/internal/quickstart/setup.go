package quickstart

import (
	"crypto/rand"
	"encoding/json"
	"errors"
	"fmt"
	"net"
	"os"
	"path/filepath"
	"strconv"
	"strings"
)

// setup is what is kept between runs.
type setup struct {
	Secret   string    `json:"secret"` // between Prosody and the gateway
	Accounts []account `json:"accounts"`
	Phones   []account `json:"phones"`
	Ports    ports     `json:"ports"`

	dir     string
	address string
	domain  string
}

type account struct {
	Name     string `json:"name"`
	Password string `json:"password"`
}

type ports struct {
	Client    int `json:"client"`
	Component int `json:"component"`
	SIP       int `json:"sip"`
	Console   int `json:"console"`
}

// loadSetup reads what an earlier run left, makes up what is missing, picks the
// ports and keeps all of it.
func loadSetup(o Options) (*setup, error) {
	s := &setup{dir: o.Dir, address: o.Address, domain: o.Domain}
	file := filepath.Join(o.Dir, "quickstart.json")
	data, err := os.ReadFile(file)
	switch {
	case errors.Is(err, os.ErrNotExist):
	case err != nil:
		return nil, fmt.Errorf("quickstart: %w", err)
	default:
		if err := json.Unmarshal(data, s); err != nil {
			return nil, fmt.Errorf("quickstart: %s: %w (delete the folder to begin anew)", file, err)
		}
	}
	if s.Secret == "" {
		s.Secret = rand.Text()
	}
	s.Accounts = withDefaults(s.Accounts, "mira", "jonas")
	s.Phones = withDefaults(s.Phones, "otto", "nora")
	if err := s.pickPorts(); err != nil {
		return nil, err
	}
	data, err = json.MarshalIndent(s, "", "  ")
	if err != nil {
		return nil, fmt.Errorf("quickstart: %w", err)
	}
	return s, writePrivate(file, string(data)+"\n")
}

func withDefaults(have []account, names ...string) []account {
	if len(have) > 0 {
		return have
	}
	for _, name := range names {
		have = append(have, account{Name: name, Password: password()})
	}
	return have
}

// password makes one that people can type on a phone: 60 bits in base 32.
func password() string {
	text := strings.ToLower(rand.Text())
	return text[0:4] + "-" + text[4:8] + "-" + text[8:12]
}

// pickPorts takes, for each service, the port of the last run, else its usual
// one, else any that is free.
func (s *setup) pickPorts() error {
	for _, p := range []struct {
		port  *int
		usual int
		host  string
	}{
		{&s.Ports.Client, 5222, s.address},
		{&s.Ports.Component, 5347, loopback},
		{&s.Ports.SIP, 5060, s.address},
		{&s.Ports.Console, 8780, loopback},
	} {
		if *p.port != 0 && portFree(p.host, *p.port) {
			continue
		}
		if portFree(p.host, p.usual) {
			*p.port = p.usual
			continue
		}
		port, err := anyPort(p.host)
		if err != nil {
			return fmt.Errorf("quickstart: no free port for %d on %s: %w", p.usual, p.host, err)
		}
		*p.port = port
	}
	return nil
}

const loopback = "127.0.0.1"

// portFree tells whether a port can be bound for both TCP and UDP.
func portFree(host string, port int) bool {
	address := net.JoinHostPort(host, strconv.Itoa(port))
	l, err := net.Listen("tcp", address)
	if err != nil {
		return false
	}
	defer l.Close()
	c, err := net.ListenPacket("udp", address)
	if err != nil {
		return false
	}
	c.Close()
	return true
}

// anyPort finds a port that is free for TCP and UDP, below the gateway's media
// ports (20000 and up) and Linux's ephemeral range, so that no outgoing
// connection takes it meanwhile.
func anyPort(host string) (int, error) {
	const first, last = 15000, 19999
	var start [2]byte
	if _, err := rand.Read(start[:]); err != nil {
		return 0, err
	}
	at := first + (int(start[0])<<8|int(start[1]))%(last-first)
	for range last - first {
		if portFree(host, at) {
			return at, nil
		}
		if at++; at > last {
			at = first
		}
	}
	return 0, errors.New("all are taken")
}

func (s *setup) component() string { return "sip." + s.domain }
func (s *setup) clientAddress() string {
	return net.JoinHostPort(s.address, strconv.Itoa(s.Ports.Client))
}

func (s *setup) componentAddress() string {
	return net.JoinHostPort(loopback, strconv.Itoa(s.Ports.Component))
}

func (s *setup) sipAddress() string { return net.JoinHostPort(s.address, strconv.Itoa(s.Ports.SIP)) }

func (s *setup) consoleAddress() string {
	return net.JoinHostPort(loopback, strconv.Itoa(s.Ports.Console))
}

// writePrivate writes a file with secrets in it, whole or not at all.
func writePrivate(path, text string) error {
	if err := os.MkdirAll(filepath.Dir(path), 0o700); err != nil {
		return fmt.Errorf("quickstart: %w", err)
	}
	if err := os.WriteFile(path+".new", []byte(text), 0o600); err != nil {
		return fmt.Errorf("quickstart: %w", err)
	}
	if err := os.Rename(path+".new", path); err != nil {
		return fmt.Errorf("quickstart: %w", err)
	}
	return nil
}
