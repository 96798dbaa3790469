package relay

import (
	"bytes"
	"crypto/rand"
	"encoding/base64"
	"errors"
	"fmt"
	"strconv"
	"strings"

	"github.com/pion/rtcp"
	"github.com/pion/rtp"
	"github.com/pion/srtp/v3"
)

// suite is a way to protect RTP, by its name in SDES (RFC 4568 §6.2, RFC 6188, RFC 7714).
type suite struct {
	name    string
	profile srtp.ProtectionProfile
}

// suites in the order in which they are offered: what every phone knows first.
var suites = []suite{
	{"AES_CM_128_HMAC_SHA1_80", srtp.ProtectionProfileAes128CmHmacSha1_80},
	{"AES_CM_128_HMAC_SHA1_32", srtp.ProtectionProfileAes128CmHmacSha1_32},
	{"AEAD_AES_128_GCM", srtp.ProtectionProfileAeadAes128Gcm},
	{"AES_256_CM_HMAC_SHA1_80", srtp.ProtectionProfileAes256CmHmacSha1_80},
	{"AES_256_CM_HMAC_SHA1_32", srtp.ProtectionProfileAes256CmHmacSha1_32},
	{"AEAD_AES_256_GCM", srtp.ProtectionProfileAeadAes256Gcm},
}

func findSuite(name string) (suite, bool) {
	for _, s := range suites {
		if strings.EqualFold(s.name, name) {
			return s, true
		}
	}
	return suite{}, false
}

func (s suite) lengths() (key, salt int) {
	key, _ = s.profile.KeyLen()
	salt, _ = s.profile.SaltLen()
	return key, salt
}

// srtpKey is a master key with its salt.
type srtpKey struct {
	suite     suite
	key, salt []byte
	mki       []byte // expected in what is received
}

func newKey(s suite) srtpKey {
	n, m := s.lengths()
	b := make([]byte, n+m)
	_, _ = rand.Read(b) // never fails
	return srtpKey{suite: s, key: b[:n:n], salt: b[n:]}
}

func (k srtpKey) equal(o srtpKey) bool {
	return k.suite == o.suite && bytes.Equal(k.key, o.key) && bytes.Equal(k.salt, o.salt)
}

// inline is the key parameter of RFC 4568 §6.1.
func (k srtpKey) inline() string {
	return "inline:" + base64.StdEncoding.EncodeToString(append(bytes.Clone(k.key), k.salt...))
}

// parseKey reads the first key of a crypto line. Lifetimes are ignored (a call ends long
// before 2^48 packets); session parameters other than a window size are refused, since a
// peer would rely on them.
func parseKey(c Crypto) (srtpKey, error) {
	s, ok := findSuite(c.Suite)
	if !ok {
		return srtpKey{}, fmt.Errorf("%w: crypto suite %.40q", ErrDescription, c.Suite)
	}
	for p := range strings.FieldsSeq(c.SessionParams) {
		if !strings.HasPrefix(strings.ToUpper(p), "WSH") {
			return srtpKey{}, fmt.Errorf("%w: crypto session parameter %.40q", ErrDescription, p)
		}
	}
	param, _, _ := strings.Cut(c.KeyParams, ";")
	method, info, ok := strings.Cut(strings.TrimSpace(param), ":")
	if !ok || !strings.EqualFold(method, "inline") {
		return srtpKey{}, fmt.Errorf("%w: crypto key method", ErrDescription)
	}
	parts := strings.Split(info, "|")
	// Some write the padding of base64, some not.
	b, err := base64.RawStdEncoding.DecodeString(strings.TrimRight(parts[0], "="))
	n, m := s.lengths()
	if err != nil || len(b) != n+m {
		return srtpKey{}, fmt.Errorf("%w: crypto key of %s", ErrDescription, s.name)
	}
	k := srtpKey{suite: s, key: b[:n:n], salt: b[n:]}
	for _, p := range parts[1:] {
		value, length, isMKI := strings.Cut(p, ":")
		if !isMKI {
			continue
		}
		v, err1 := strconv.ParseUint(value, 10, 64)
		l, err2 := strconv.Atoi(length)
		if err1 != nil || err2 != nil || l < 1 || l > 128 {
			return srtpKey{}, fmt.Errorf("%w: crypto MKI", ErrDescription)
		}
		k.mki = make([]byte, l)
		for i := l - 1; i >= 0 && v > 0; i-- {
			k.mki[i] = byte(v)
			v >>= 8
		}
	}
	return k, nil
}

// cryptoContext protects one direction of a leg. The buffers of its headers are used again, so
// that packets cost no allocation.
type cryptoContext struct {
	srtp  *srtp.Context
	key   srtpKey
	rtp   rtp.Header
	rtcp  rtcp.Header
	last  uint32 // SSRC of the last packet opened
	ssrcs int
}

const (
	replayWindow = 128
	// maxSSRCs bounds the states that an authenticated peer can make us keep.
	maxSSRCs = 64
)

func newContext(k srtpKey) (*cryptoContext, error) {
	opts := []srtp.ContextOption{srtp.SRTPReplayProtection(replayWindow), srtp.SRTCPReplayProtection(replayWindow)}
	if len(k.mki) > 0 {
		opts = append(opts, srtp.MasterKeyIndicator(k.mki))
	}
	c, err := srtp.CreateContext(k.key, k.salt, k.suite.profile, opts...)
	if err != nil {
		return nil, fmt.Errorf("%w: %w", ErrDescription, err)
	}
	return &cryptoContext{srtp: c, key: k}, nil
}

var errManySSRCs = errors.New("relay: too many sources")

// open decrypts a packet of RTP in place.
func (c *cryptoContext) open(b []byte, ssrc uint32) ([]byte, error) {
	known := ssrc == c.last && c.ssrcs > 0
	if !known {
		_, known = c.srtp.ROC(ssrc)
	}
	if !known && c.ssrcs >= maxSSRCs {
		return nil, errManySSRCs
	}
	out, err := c.srtp.DecryptRTP(b, b, &c.rtp)
	if err == nil {
		c.last = ssrc
		if !known {
			c.ssrcs++
		}
	}
	return out, err
}

func (c *cryptoContext) seal(b []byte) ([]byte, error) { return c.srtp.EncryptRTP(b, b, &c.rtp) }

func (c *cryptoContext) openRTCP(b []byte) ([]byte, error) { return c.srtp.DecryptRTCP(b, b, &c.rtcp) }

func (c *cryptoContext) sealRTCP(b []byte) ([]byte, error) { return c.srtp.EncryptRTCP(b, b, &c.rtcp) }
