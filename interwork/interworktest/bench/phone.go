package main

import (
	"crypto/rand"
	"encoding/base64"
	"errors"
	"fmt"
	"net/netip"
	"strings"

	"github.com/pion/srtp/v3"

	"github.com/stoxgate/stoxgate/sip/sdp"
)

// The suite that every telephone with SRTP knows (RFC 4568 §6.2), and the lengths of its
// key and salt.
const (
	sdesSuite   = "AES_CM_128_HMAC_SHA1_80"
	sdesProfile = srtp.ProtectionProfileAes128CmHmacSha1_80
	sdesKey     = 16
	sdesSalt    = 14
)

// phone is the media of one telephone: RTP, or SRTP with the key in SDP.
type phone struct {
	e       *sockets
	k       *socket
	key     []byte // key and salt; nil: plain RTP
	to      *target
	in, out *srtp.Context
	rtp     tap
}

func newPhone(e *sockets, sdes bool) (*phone, error) {
	p := &phone{e: e}
	if sdes {
		p.key = make([]byte, sdesKey+sdesSalt)
		_, _ = rand.Read(p.key)
	}
	var err error
	if p.k, err = e.open(); err != nil {
		return nil, err
	}
	err = e.watch(p.k, func(b []byte, _ netip.AddrPort, at int64) {
		if b[0]>>6 == 2 {
			p.rtp.take(b, at)
		}
	})
	if err != nil {
		p.close()
		return nil, err
	}
	return p, nil
}

func (p *phone) keyParams() string { return "inline:" + base64.StdEncoding.EncodeToString(p.key) }

// aim takes the gateway's medium.
func (p *phone) aim(m *sdp.Media) error {
	if !m.Address().IsValid() {
		return errors.New("no address in the gateway's SDP")
	}
	p.to = newTarget(m.Address())
	if p.key == nil {
		return nil
	}
	if len(m.Cryptos) != 1 || m.Cryptos[0].Suite != sdesSuite {
		return fmt.Errorf("the gateway takes none of %s", sdesSuite)
	}
	text, _, _ := strings.Cut(strings.TrimPrefix(m.Cryptos[0].KeyParams, "inline:"), "|")
	theirs, err := base64.StdEncoding.DecodeString(text)
	if err != nil || len(theirs) != sdesKey+sdesSalt {
		return errors.New("the key of the gateway is unusable")
	}
	if p.in, err = srtp.CreateContext(theirs[:sdesKey], theirs[sdesKey:], sdesProfile); err != nil {
		return err
	}
	p.out, err = srtp.CreateContext(p.key[:sdesKey], p.key[sdesKey:], sdesProfile)
	return err
}

func (p *phone) close() { p.e.shut(p.k) }
