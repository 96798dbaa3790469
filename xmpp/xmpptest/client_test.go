package xmpptest

import (
	"bufio"
	"bytes"
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/sha1"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/hex"
	"encoding/pem"
	"errors"
	"fmt"
	"io"
	"math/big"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/stoxgate/stoxgate/xmpp"
)

// TestSCRAM is the exchange of RFC 5802 §5.
func TestSCRAM(t *testing.T) {
	s := &scram{user: "user", password: "pencil", nonce: "fyko+d2lbbFgONRv9qkxdawL"}
	if got := string(s.first()); got != "n,,n=user,r=fyko+d2lbbFgONRv9qkxdawL" {
		t.Error(got)
	}
	got, err := s.next([]byte("r=fyko+d2lbbFgONRv9qkxdawL3rfcNHYJY1ZVvWVs7j,s=QSXCR+Q6sek8bf92,i=4096"))
	if want := "c=biws,r=fyko+d2lbbFgONRv9qkxdawL3rfcNHYJY1ZVvWVs7j,p=v0X8v3Bz2T0CJGbJQyF0X+HI4Ts="; string(got) != want || err != nil {
		t.Errorf("got  %s, %v\nwant %s", got, err, want)
	}
	if err := s.verify([]byte("v=AAAApzE6QUlGNLJYT5aTyxs4Iww=")); !errors.Is(err, ErrAuth) {
		t.Error("forged signature accepted")
	}
	if err := s.verify(nil); !errors.Is(err, ErrAuth) {
		t.Error("missing signature accepted")
	}
	if err := s.verify([]byte("v=rmF9pqV8S7suAoZWja4dJRkFsKQ=")); err != nil {
		t.Error(err)
	}
	if err := s.verify(nil); err != nil {
		t.Error(err)
	}
	for _, bad := range []string{"", "r=other,s=QQ==,i=1", "r=abc,s=QQ==,i=1", "r=abcd,s=!,i=1", "r=abcd,s=QQ==,i=0", "r=abcd,s=QQ==,i=x"} {
		s := &scram{user: "u", nonce: "abc"}
		s.first()
		if _, err := s.next([]byte(bad)); !errors.Is(err, ErrAuth) {
			t.Errorf("%q: %v", bad, err)
		}
	}
	if got := string((&scram{user: "a=b,c", nonce: "n"}).first()); got != "n,,n=a=3Db=2Cc,r=n" {
		t.Error(got)
	}
}

// TestClientRefuses: what a client does with servers that do not play along.
func TestClientRefuses(t *testing.T) {
	const open = "<?xml version='1.0'?><stream:stream xmlns='jabber:client' xmlns:stream='http://etherx.jabber.org/streams' id='1'>"
	const plainOnly = "<stream:features><mechanisms xmlns='urn:ietf:params:xml:ns:xmpp-sasl'><mechanism>PLAIN</mechanism></mechanisms></stream:features>"
	for _, tt := range []struct{ name, script, want string }{
		{"host unknown", open + "<stream:error><host-unknown xmlns='urn:ietf:params:xml:ns:xmpp-streams'/></stream:error></stream:stream>", "host-unknown"},
		{"other protocol", "SSH-2.0-x\r\n", "not-well-formed"},
		{"other namespace", strings.Replace(open, "jabber:client", "jabber:server", 1) + plainOnly, "not a client stream"},
		{"no mechanism", open + "<stream:features/>", "server offers"},
		{"refused", open + plainOnly + "<failure xmlns='urn:ietf:params:xml:ns:xmpp-sasl'><not-authorized/></failure>", "not-authorized"},
		{"challenge to PLAIN", open + plainOnly + "<challenge xmlns='urn:ietf:params:xml:ns:xmpp-sasl'>QQ==</challenge>", "challenge to PLAIN"},
		{"no bind", open + plainOnly + "<success xmlns='urn:ietf:params:xml:ns:xmpp-sasl'/>" + open + "<stream:features/><iq type='error' id='bind'/>", "not bound"},
		{"odd answer", open + "<hello/>", "expected <features"},
		{"closed", open, "EOF"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			ln, err := net.Listen("tcp", "127.0.0.1:0")
			if err != nil {
				t.Fatal(err)
			}
			defer ln.Close()
			done := make(chan struct{})
			go func() {
				defer close(done)
				conn, err := ln.Accept()
				if err != nil {
					return
				}
				defer conn.Close()
				_, _ = io.WriteString(conn, tt.script)
				if tt.name == "closed" {
					// What the client sent is read first, or the close becomes a reset.
					_, _ = conn.Read(make([]byte, 4096))
					return
				}
				_, _ = io.Copy(io.Discard, conn)
			}()
			_, err = Connect(t.Context(), ClientConfig{Address: ln.Addr().String(), JID: xmpp.MustJID("a@chat.example"), Password: "p"})
			if err == nil || !strings.Contains(err.Error(), tt.want) {
				t.Errorf("got %v, want %s", err, tt.want)
			}
			<-done
		})
	}
	ctx, cancel := context.WithCancel(t.Context())
	ln, err := net.Listen("tcp", "127.0.0.1:0") // accepts and says nothing
	if err != nil {
		t.Fatal(err)
	}
	defer ln.Close()
	go func() {
		if conn, err := ln.Accept(); err == nil {
			_, _ = bufio.NewReader(conn).ReadByte()
			cancel()
			_, _ = io.Copy(io.Discard, conn)
			_ = conn.Close()
		}
	}()
	if _, err := Connect(ctx, ClientConfig{Address: ln.Addr().String(), JID: xmpp.MustJID("a@chat.example")}); !errors.Is(err, context.Canceled) {
		t.Error(err)
	}
}

// prosody is a real server in a folder of the test's.
type prosody struct {
	c2s, component string // addresses
	roots          *x509.CertPool
}

func startProsody(t *testing.T) *prosody {
	t.Helper()
	for _, program := range []string{"prosody", "prosodyctl"} {
		if _, err := exec.LookPath(program); err != nil {
			t.Skip(err)
		}
	}
	dir := t.TempDir()
	p := &prosody{roots: x509.NewCertPool()}
	cert := certificate(t, dir, "chat.test")
	p.roots.AppendCertsFromPEM(cert)
	c2s, component := freePort(t), freePort(t)
	p.c2s, p.component = fmt.Sprintf("127.0.0.1:%d", c2s), fmt.Sprintf("127.0.0.1:%d", component)
	config := filepath.Join(dir, "prosody.cfg.lua")
	if err := os.WriteFile(config, fmt.Appendf(nil, `
run_as_root = true
pidfile = %q
data_path = %q
certificates = %q
log = { info = "*console" }
interfaces = { "127.0.0.1" }
c2s_ports = { %d }
c2s_require_encryption = false
allow_unencrypted_plain_auth = true
modules_enabled = { "roster", "saslauth", "tls", "disco", "ping", "posix", "offline" }
modules_disabled = { "s2s" }
network_settings = { nagle = false }
authentication = "internal_hashed"
component_ports = { %d }
component_interfaces = { "127.0.0.1" }
VirtualHost "chat.test"
	ssl = { certificate = %q, key = %q }
Component "sip.test"
	component_secret = "secret"
`, filepath.Join(dir, "pid"), dir, dir, c2s, component, filepath.Join(dir, "cert.pem"), filepath.Join(dir, "key.pem")), 0o600); err != nil {
		t.Fatal(err)
	}
	for _, user := range []string{"mira", "nils"} {
		if out, err := exec.Command("prosodyctl", "--config", config, "register", user, "chat.test", "pass-"+user).CombinedOutput(); err != nil {
			t.Fatalf("prosodyctl: %v\n%s", err, out)
		}
	}
	cmd := exec.Command("prosody", "-F", "--config", config)
	cmd.Stderr = os.Stderr
	out, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	var log bytes.Buffer
	ready, ended := make(chan struct{}), make(chan struct{})
	go func() {
		defer close(ended)
		wait := map[string]bool{"Activated service 'c2s'": true, "Activated service 'component'": true}
		for sc := bufio.NewScanner(out); sc.Scan(); {
			log.WriteString(sc.Text() + "\n")
			for line := range wait {
				if strings.Contains(sc.Text(), line) {
					delete(wait, line)
					if len(wait) == 0 {
						close(ready)
					}
				}
			}
		}
	}()
	t.Cleanup(func() {
		_ = cmd.Process.Signal(syscall.SIGTERM)
		<-ended
		_ = cmd.Wait()
		if t.Failed() {
			t.Logf("prosody:\n%s", &log)
		}
	})
	select {
	case <-ready:
	case <-ended:
		t.Fatal("prosody ended")
	case <-time.After(20 * time.Second):
		t.Fatal("prosody did not start")
	}
	return p
}

func freePort(t *testing.T) int {
	t.Helper()
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer ln.Close()
	return ln.Addr().(*net.TCPAddr).Port
}

// certificate writes a self-signed certificate and its key, and returns it.
func certificate(t *testing.T, dir, name string) []byte {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	tmpl := &x509.Certificate{
		SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: name}, DNSNames: []string{name},
		NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(time.Hour),
		IsCA: true, BasicConstraintsValid: true,
	}
	der, err := x509.CreateCertificate(rand.Reader, tmpl, tmpl, key.Public(), key)
	if err != nil {
		t.Fatal(err)
	}
	keyDER, err := x509.MarshalPKCS8PrivateKey(key)
	if err != nil {
		t.Fatal(err)
	}
	cert := pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der})
	for file, data := range map[string][]byte{"cert.pem": cert, "key.pem": pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: keyDER})} {
		if err := os.WriteFile(filepath.Join(dir, file), data, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	return cert
}

// TestProsody runs the client against a real server, and the bare component of
// these tests as well: it shows that Server behaves alike where it matters.
func TestProsody(t *testing.T) {
	srv := startProsody(t)
	cfg := ClientConfig{Address: srv.c2s, JID: xmpp.MustJID("mira@chat.test/desk"), Password: "pass-mira", Auto: Auto{Receipts: true}}
	mira := Dial(t, cfg)
	if mira.JID() != cfg.JID {
		t.Error(mira.JID())
	}

	t.Run("mechanisms", func(t *testing.T) {
		for _, mech := range []string{MechanismPlain, MechanismSCRAM} {
			for _, conf := range []*tls.Config{nil, {RootCAs: srv.roots}} {
				cfg := cfg
				cfg.JID, cfg.Mechanism, cfg.TLS, cfg.NoPresence = xmpp.MustJID("mira@chat.test"), mech, conf, true
				c := Dial(t, cfg)
				if c.JID().Bare() != cfg.JID || c.JID().IsBare() {
					t.Error(c.JID())
				}
				if _, err := c.IQ(t.Context(), &xmpp.IQ{To: xmpp.MustJID("chat.test"), Type: xmpp.IQGet, Payload: xmpp.NewElement(xmpp.NSPing, "ping")}); err != nil {
					t.Error(mech, err)
				}
				if err := c.Close(); err != nil {
					t.Error(mech, err)
				}
				if err := c.Close(); err != nil {
					t.Error("second close:", err)
				}
			}
			cfg := cfg
			cfg.Password, cfg.Mechanism = "wrong", mech
			if _, err := Connect(t.Context(), cfg); !errors.Is(err, ErrAuth) {
				t.Error(mech, err)
			}
		}
		cfg := cfg
		cfg.TLS = &tls.Config{}
		if _, err := Connect(t.Context(), cfg); err == nil || !strings.Contains(err.Error(), "certificate") {
			t.Error(err)
		}
	})

	t.Run("between users", func(t *testing.T) {
		cfg := cfg
		cfg.JID, cfg.Password, cfg.Auto = xmpp.MustJID("nils@chat.test/phone"), "pass-nils", Auto{}
		nils := Dial(t, cfg)
		if err := nils.Say(mira.JID(), "m1", "ahoi", xmpp.NewElement(xmpp.NSReceipts, "request")); err != nil {
			t.Fatal(err)
		}
		mira.ExpectMessage(t, Body("ahoi"), From("nils@chat.test/phone"))
		nils.ExpectMessage(t, Extension(xmpp.NSReceipts, "received"), From("mira@chat.test/desk"))
		ctx, cancel := context.WithTimeout(t.Context(), 10*time.Second)
		defer cancel()
		res, err := nils.IQ(ctx, &xmpp.IQ{To: mira.JID(), Type: xmpp.IQGet, Payload: Auto{}.caps().Query()})
		if err != nil || res.Payload.Attribute("node") != (Auto{}).caps().InfoNode() {
			t.Error(res, err)
		}
		var se *xmpp.StanzaError
		if _, err := nils.IQ(ctx, &xmpp.IQ{To: xmpp.MustJID("mira@chat.test/none"), Type: xmpp.IQGet, Payload: xmpp.NewElement(xmpp.NSPing, "ping")}); !errors.As(err, &se) || se.Condition != xmpp.ConditionServiceUnavailable {
			t.Error(err)
		}
		nils.Kill()
		if err := nils.Say(mira.JID(), "", "x"); !errors.Is(err, ErrClosed) {
			t.Error(err)
		}
	})

	t.Run("component", func(t *testing.T) {
		if err := mira.Say(xmpp.MustJID("otto@sip.test"), "early", "x"); err != nil {
			t.Fatal(err)
		}
		early := mira.ExpectMessage(t, ID("early"), Type("error"))
		if early.Error.Condition != xmpp.ConditionRemoteServerTimeout || early.Error.Type != xmpp.ErrorWait {
			t.Error(early.Error)
		}
		conn, err := net.Dial("tcp", srv.component)
		if err != nil {
			t.Fatal(err)
		}
		p := newPeer(t, conn)
		p.write("<stream:stream xmlns='jabber:component:accept' xmlns:stream='http://etherx.jabber.org/streams' to='sip.test'>")
		h, err := p.dec.Open()
		if err != nil {
			t.Fatal(err)
		}
		sum := sha1.Sum([]byte(h.Attribute("id") + "secret"))
		p.write("<handshake>" + hex.EncodeToString(sum[:]) + "</handshake>")
		if e := p.next(); e.Name.Local != "handshake" {
			t.Fatal(e)
		}
		// Delivered, receipted, bounced and ponged in this order, as on Server.
		p.write("<message from='otto@sip.test' to='mira@chat.test/desk' id='1' type='chat'><body>x</body></message>" +
			"<message from='otto@sip.test' to='nobody@chat.test' id='2' type='chat'><body>x</body></message>" +
			"<message from='otto@sip.test' id='3' type='chat'><body>x</body></message>" +
			"<iq type='get' id='4' from='sip.test' to='chat.test'><ping xmlns='urn:xmpp:ping'/></iq>")
		mira.ExpectMessage(t, ID("1"), From("otto@sip.test"))
		for _, want := range []struct{ id, typ, child string }{{"2", "error", "service-unavailable"}, {"3", "error", "bad-request"}, {"4", "result", ""}} {
			e := p.next()
			if e.Attribute("id") != want.id || e.Attribute("type") != want.typ || !strings.Contains(e.String(), want.child) {
				t.Errorf("got %s, want %v", e, want)
			}
		}
		p.write("<message from='evil@chat.test' to='mira@chat.test/desk' type='chat'><body>x</body></message>")
		p.ends("invalid-from")
	})
	if err := mira.Close(); err != nil {
		t.Error(err)
	}
}
