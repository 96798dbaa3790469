package relay

import (
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/sha1" //nolint:gosec // RFC 8122 §5 still names it; used only if a peer gives nothing better
	"crypto/sha256"
	"crypto/sha512"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"errors"
	"fmt"
	"hash"
	"math/big"
	"slices"
	"strings"
	"time"

	"github.com/pion/dtls/v3"
	"github.com/pion/srtp/v3"
)

// certificate is the one of the relay: RFC 8122 binds it to a call by the fingerprint in
// the signalling, so it names nobody.
type certificate struct {
	tls         tls.Certificate
	fingerprint Fingerprint
	made        time.Time
}

const (
	certificateLife = 30 * 24 * time.Hour
	certificateUse  = 7 * 24 * time.Hour // then the next sessions get a new one
)

func newCertificate(now time.Time) (*certificate, error) {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return nil, fmt.Errorf("relay: key: %w", err)
	}
	serial, err := rand.Int(rand.Reader, new(big.Int).Lsh(big.NewInt(1), 120))
	if err != nil {
		return nil, fmt.Errorf("relay: serial: %w", err)
	}
	template := x509.Certificate{
		SerialNumber: serial,
		Subject:      pkix.Name{CommonName: "media"},
		NotBefore:    now.Add(-24 * time.Hour),
		NotAfter:     now.Add(certificateLife),
	}
	der, err := x509.CreateCertificate(rand.Reader, &template, &template, &key.PublicKey, key)
	if err != nil {
		return nil, fmt.Errorf("relay: certificate: %w", err)
	}
	return &certificate{
		tls:         tls.Certificate{Certificate: [][]byte{der}, PrivateKey: key},
		fingerprint: fingerprint("sha-256", der),
		made:        now,
	}, nil
}

// hashes of fingerprints, strongest first (RFC 8122 §5).
var hashes = []struct {
	name string
	make func() hash.Hash
}{
	{"sha-512", sha512.New},
	{"sha-384", sha512.New384},
	{"sha-256", sha256.New},
	{"sha-1", sha1.New},
}

func fingerprint(name string, der []byte) Fingerprint {
	for _, h := range hashes {
		if h.name == name {
			sum := h.make()
			sum.Write(der)
			return Fingerprint{Hash: name, Value: strings.ReplaceAll(fmt.Sprintf("% X", sum.Sum(nil)), " ", ":")}
		}
	}
	return Fingerprint{}
}

// usable are the fingerprints of the strongest hash that both know: a certificate must
// match one of these (RFC 8122 §5.1).
func usable(all []Fingerprint) []Fingerprint {
	for _, h := range hashes {
		var found []Fingerprint
		for _, f := range all {
			if strings.EqualFold(f.Hash, h.name) && f.Value != "" {
				found = append(found, Fingerprint{Hash: h.name, Value: strings.ToUpper(strings.TrimSpace(f.Value))})
			}
		}
		if found != nil {
			return found
		}
	}
	return nil
}

func matches(all []Fingerprint, der []byte) bool {
	return slices.ContainsFunc(usable(all), func(f Fingerprint) bool { return fingerprint(f.Hash, der) == f })
}

// profiles in the order we like them: GCM costs a third of what counter mode with
// HMAC-SHA1 does.
var profiles = []dtls.SRTPProtectionProfile{
	dtls.SRTP_AEAD_AES_128_GCM, dtls.SRTP_AEAD_AES_256_GCM,
	dtls.SRTP_AES128_CM_HMAC_SHA1_80, dtls.SRTP_AES128_CM_HMAC_SHA1_32,
}

// association is DTLS on a leg (RFC 5764).
type association struct {
	pipe   *pipe
	client bool
	peer   []byte // its certificate, once verified
	cancel context.CancelFunc
}

// keys are what a handshake gives.
type keys struct {
	local, remote srtpKey
	peer          []byte
}

// startDTLS runs a handshake over the pipe and calls done once with keys or an error,
// from the association's goroutine. The association then lives on, to answer
// retransmissions, until close; gone is called when its goroutine ends.
func startDTLS(p *pipe, c *certificate, client, verified bool, fingerprints []Fingerprint, timeout time.Duration, done func(keys, error), gone func()) *association {
	life, cancel := context.WithCancel(context.Background())
	a := &association{pipe: p, client: client, cancel: cancel}
	go func() {
		defer gone()
		defer cancel()
		ctx, expire := context.WithTimeout(life, timeout)
		defer expire()
		conn, k, err := handshake(ctx, p, c, client, verified, fingerprints)
		done(k, err)
		if err != nil {
			return
		}
		// A pipe that closes just when the handshake ends would leave Read waiting for ever.
		context.AfterFunc(life, func() { _ = conn.Close() })
		var b [64]byte
		for {
			// Application data has no place here; read to keep the connection going.
			_, err := conn.Read(b[:])
			var temporary *dtls.TemporaryError
			if err != nil && !errors.As(err, &temporary) {
				break
			}
		}
		_ = conn.Close()
	}()
	return a
}

func handshake(ctx context.Context, p *pipe, c *certificate, client, verified bool, fingerprints []Fingerprint) (*dtls.Conn, keys, error) {
	var k keys
	var mismatch bool
	verify := func(raw [][]byte, _ [][]*x509.Certificate) error {
		if len(raw) == 0 || !matches(fingerprints, raw[0]) {
			mismatch = true
			return ErrFingerprint
		}
		k.peer = raw[0]
		return nil
	}
	common := []dtls.Option{
		dtls.WithCertificates(c.tls),
		dtls.WithSRTPProtectionProfiles(profiles...),
		dtls.WithInsecureSkipVerify(true), // the fingerprint is the proof
		dtls.WithVerifyPeerCertificate(verify),
		dtls.WithFlightInterval(250 * time.Millisecond),
		dtls.WithLoggerFactory(quiet{}),
		dtls.WithExtendedMasterSecret(dtls.RequestExtendedMasterSecret),
	}
	var conn *dtls.Conn
	var err error
	if client {
		var opts []dtls.ClientOption
		for _, o := range common {
			opts = append(opts, o)
		}
		conn, err = dtls.ClientWithOptions(p, p.RemoteAddr(), opts...)
	} else {
		// A path that ICE checked needs no cookies.
		opts := []dtls.ServerOption{dtls.WithClientAuth(dtls.RequireAnyClientCert), dtls.WithInsecureSkipVerifyHello(verified)}
		for _, o := range common {
			opts = append(opts, o)
		}
		conn, err = dtls.ServerWithOptions(p, p.RemoteAddr(), opts...)
	}
	if err != nil {
		return nil, k, fmt.Errorf("%w: %w", ErrHandshake, err)
	}
	fail := func(err error) (*dtls.Conn, keys, error) {
		_ = conn.Close()
		return nil, keys{}, err
	}
	if err := conn.HandshakeContext(ctx); err != nil {
		switch {
		case mismatch:
			return fail(ErrFingerprint)
		case ctx.Err() != nil && errors.Is(ctx.Err(), context.DeadlineExceeded):
			return fail(fmt.Errorf("%w: DTLS", ErrTimeout))
		}
		return fail(fmt.Errorf("%w: %w", ErrHandshake, err))
	}
	chosen, ok := conn.SelectedSRTPProtectionProfile()
	if !ok || k.peer == nil {
		return fail(fmt.Errorf("%w: no SRTP profile", ErrHandshake))
	}
	state, ok := conn.ConnectionState()
	if !ok {
		return fail(fmt.Errorf("%w: no state", ErrHandshake))
	}
	conf := srtp.Config{Profile: srtp.ProtectionProfile(chosen)}
	if err := conf.ExtractSessionKeysFromDTLS(&state, client); err != nil {
		return fail(fmt.Errorf("%w: %w", ErrHandshake, err))
	}
	s := suite{name: conf.Profile.String(), profile: conf.Profile}
	k.local = srtpKey{suite: s, key: conf.Keys.LocalMasterKey, salt: conf.Keys.LocalMasterSalt}
	k.remote = srtpKey{suite: s, key: conf.Keys.RemoteMasterKey, salt: conf.Keys.RemoteMasterSalt}
	return conn, k, nil
}

func (a *association) close() {
	a.cancel()
	_ = a.pipe.Close()
}
