package quickstart

import (
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"crypto/x509/pkix"
	_ "embed"
	"encoding/pem"
	"errors"
	"fmt"
	"math/big"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"text/template"
	"time"
)

//go:embed install.sh
var installScript string

//go:embed templates/prosody.cfg.lua.tmpl
var prosodyText string

var prosodyConfig = template.Must(template.New("prosody.cfg.lua").Parse(prosodyText))

// findProsody returns the programs of Prosody, after installing the Debian
// package when there are none.
func findProsody(ctx context.Context, o Options) (prosody, prosodyctl string, err error) {
	find := func() error {
		if prosody, err = lookPath("prosody"); err != nil {
			return err
		}
		prosodyctl, err = lookPath("prosodyctl")
		return err
	}
	if find() == nil {
		return prosody, prosodyctl, nil
	}
	fmt.Fprintln(o.Out, "Prosody, the Jabber server, is missing.")
	script := filepath.Join(o.Dir, "install.sh")
	if err := writePrivate(script, installScript); err != nil {
		return "", "", err
	}
	install := exec.CommandContext(ctx, "sh", script, "prosody", "lua-event", "lua-sec")
	// With the terminal: sudo may ask for a password.
	install.Stdin, install.Stdout, install.Stderr = os.Stdin, o.Out, os.Stderr
	if err := install.Run(); err != nil {
		return "", "", fmt.Errorf("quickstart: install Prosody: %w", err)
	}
	if err := find(); err != nil {
		return "", "", fmt.Errorf("quickstart: Prosody after its installation: %w", err)
	}
	return prosody, prosodyctl, nil
}

// lookPath also looks where Debian has programs that are not in everybody's
// PATH.
func lookPath(name string) (string, error) {
	if path, err := exec.LookPath(name); err == nil {
		return path, nil
	}
	return exec.LookPath(filepath.Join("/usr/sbin", name))
}

func (s *setup) prosodyDir() string  { return filepath.Join(s.dir, "prosody") }
func (s *setup) prosodyFile() string { return filepath.Join(s.prosodyDir(), "prosody.cfg.lua") }

// prosody is the server as a child.
func (s *setup) prosody(program string) *child {
	return newChild("Prosody", filepath.Join(s.prosodyDir(), "prosody.log"), s.prosodyDir(),
		program, "-F", "--config", s.prosodyFile())
}

func (s *setup) prosodyReady(ctx context.Context) error {
	for _, address := range []string{s.clientAddress(), s.componentAddress()} {
		c, err := (&net.Dialer{}).DialContext(ctx, "tcp", address)
		if err != nil {
			return err
		}
		c.Close()
	}
	return nil
}

// writeProsody writes Prosody's configuration and, once, its certificate.
func writeProsody(s *setup, o Options) error {
	certificate := filepath.Join(s.prosodyDir(), "certs", s.domain)
	if _, err := os.Stat(certificate + ".crt"); errors.Is(err, os.ErrNotExist) {
		if err := selfSigned(certificate, s.domain); err != nil {
			return err
		}
	}
	var b strings.Builder
	err := prosodyConfig.Execute(&b, map[string]any{
		"Dir": s.prosodyDir(), "Address": o.Address, "Loopback": loopback, "Ports": s.Ports,
		"Domain": s.domain, "Component": s.component(), "Secret": s.Secret, "Certificate": certificate,
	})
	if err != nil {
		return fmt.Errorf("quickstart: configuration of Prosody: %w", err)
	}
	return writePrivate(s.prosodyFile(), b.String())
}

// registerAccounts gives Prosody the accounts that it doesn't have. It takes
// them whether it runs or not.
func registerAccounts(ctx context.Context, s *setup, o Options, prosodyctl string) error {
	for _, a := range s.Accounts {
		file := filepath.Join(s.prosodyDir(), "data", strings.ReplaceAll(s.domain, ".", "%2e"), "accounts", a.Name+".dat")
		if _, err := os.Stat(file); err == nil {
			continue
		}
		cmd := exec.CommandContext(ctx, prosodyctl, "--config", s.prosodyFile(), "register", a.Name, s.domain, a.Password)
		if out, err := cmd.CombinedOutput(); err != nil {
			return fmt.Errorf("quickstart: account of %s: %w: %s", a.Name, err, out)
		}
		if _, err := os.Stat(file); err != nil {
			return fmt.Errorf("quickstart: account of %s: prosodyctl made none: %w", a.Name, err)
		}
	}
	return nil
}

// selfSigned writes a certificate for a domain, good for ten years, to
// path.crt and path.key. Clients ask whether to trust it.
func selfSigned(path, domain string) error {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return fmt.Errorf("quickstart: certificate: %w", err)
	}
	now := time.Now()
	subject := x509.Certificate{
		SerialNumber: big.NewInt(now.UnixNano()),
		Subject:      pkix.Name{CommonName: domain},
		DNSNames:     []string{domain},
		NotBefore:    now.Add(-time.Hour),
		NotAfter:     now.AddDate(10, 0, 0),
		KeyUsage:     x509.KeyUsageDigitalSignature,
		ExtKeyUsage:  []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth},
	}
	certificate, err := x509.CreateCertificate(rand.Reader, &subject, &subject, key.Public(), key)
	if err != nil {
		return fmt.Errorf("quickstart: certificate: %w", err)
	}
	private, err := x509.MarshalPKCS8PrivateKey(key)
	if err != nil {
		return fmt.Errorf("quickstart: certificate: %w", err)
	}
	if err := writePrivate(path+".key", string(pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: private}))); err != nil {
		return err
	}
	return writePrivate(path+".crt", string(pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: certificate})))
}
