package main

import (
	"context"
	"crypto/sha256"
	"crypto/tls"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"strings"

	"github.com/pion/dtls/v3"
	"github.com/pion/dtls/v3/pkg/crypto/selfsign"
	"github.com/pion/ice/v4"
	"github.com/pion/srtp/v3"

	"github.com/stoxgate/stoxgate/jingle"
)

// client is the media of one Jabber client: a whole ICE agent and DTLS, both of pion, on
// a socket that is read here, so that RTP does not go through the agent.
type client struct {
	e     *sockets
	k     *socket
	agent *ice.Agent
	stun  *inbox // what the agent sees
	dtls  *inbox
	conn  *dtls.Conn

	ufrag, pwd string
	candidate  ice.Candidate
	to         *target // the path that ICE chose
	in, out    *srtp.Context
	rtp        tap
}

// certificate is that of all clients: making one for each is no work of the gateway.
type certificate struct {
	tls         tls.Certificate
	fingerprint string
}

func newCertificate() (certificate, error) {
	c, err := selfsign.GenerateSelfSigned()
	if err != nil {
		return certificate{}, fmt.Errorf("certificate: %w", err)
	}
	sum := sha256.Sum256(c.Certificate[0])
	return certificate{c, strings.ReplaceAll(fmt.Sprintf("% X", sum[:]), " ", ":")}, nil
}

// newClient makes an agent and gathers its one candidate.
func newClient(e *sockets) (*client, error) {
	c := &client{e: e}
	var err error
	if c.k, err = e.open(); err != nil {
		return nil, err
	}
	c.stun = newInbox(c.k.local, func(b []byte, to net.Addr) {
		if u, ok := to.(*net.UDPAddr); ok {
			c.k.send(b, newTarget(u.AddrPort()))
		}
	})
	c.dtls = newInbox(c.k.local, func(b []byte, _ net.Addr) { c.k.send(b, c.to) })
	if err = e.watch(c.k, c.take); err == nil {
		err = c.gather()
	}
	if err != nil {
		c.close()
		return nil, err
	}
	return c, nil
}

func (c *client) gather() (err error) {
	c.agent, err = ice.NewAgentWithOptions(
		ice.WithNetworkTypes([]ice.NetworkType{ice.NetworkTypeUDP4}), ice.WithCandidateTypes([]ice.CandidateType{ice.CandidateTypeHost}),
		ice.WithUDPMux(c), ice.WithIncludeLoopback(), ice.WithMulticastDNSMode(ice.MulticastDNSModeDisabled), ice.WithHostAcceptanceMinWait(0),
	)
	if err != nil {
		return fmt.Errorf("ice: %w", err)
	}
	done := make(chan struct{})
	_ = c.agent.OnCandidate(func(k ice.Candidate) {
		if k == nil {
			close(done)
			return
		}
		c.candidate = k
	})
	if err := c.agent.GatherCandidates(); err != nil {
		return fmt.Errorf("ice: %w", err)
	}
	<-done
	if c.candidate == nil {
		return errors.New("ice: no candidate")
	}
	c.ufrag, c.pwd, err = c.agent.GetLocalUserCredentials()
	return err
}

// take sorts what comes (RFC 7983 §7).
func (c *client) take(b []byte, from netip.AddrPort, at int64) {
	switch {
	case b[0] < 4:
		c.stun.put(b, from)
	case b[0] >= 20 && b[0] < 64:
		c.dtls.put(b, from)
	case b[0]>>6 == 2:
		c.rtp.take(b, at)
	}
}

// GetConn implements ice.UDPMux.
func (c *client) GetConn(string, net.Addr) (net.PacketConn, error) { return c.stun, nil }

// RemoveConnByUfrag implements ice.UDPMux.
func (c *client) RemoveConnByUfrag(string) {}

// GetListenAddresses implements ice.UDPMux.
func (c *client) GetListenAddresses() []net.Addr { return []net.Addr{c.stun.local} }

// Close implements ice.UDPMux.
func (c *client) Close() error { return nil }

// transport describes the client.
func (c *client) transport(cert certificate, setup string) *jingle.Transport {
	return &jingle.Transport{
		Ufrag: c.ufrag, Pwd: c.pwd, Fingerprints: []jingle.Fingerprint{{Hash: "sha-256", Setup: setup, Value: cert.fingerprint}},
		Candidates: []jingle.Candidate{{
			Component: 1, Foundation: c.candidate.Foundation(), ID: "c1", IP: c.k.local.Addr().String(), Port: c.k.local.Port(),
			Priority: c.candidate.Priority(), Protocol: "udp", Type: "host",
		}},
	}
}

// connect runs ICE and DTLS with what the gateway described.
func (c *client) connect(ctx context.Context, t *jingle.Transport, controlling, active bool, cert certificate) error {
	for _, k := range t.Candidates {
		r, err := ice.NewCandidateHost(&ice.CandidateHostConfig{
			Network: "udp", Address: k.IP, Port: int(k.Port), Component: uint16(k.Component), Priority: k.Priority, Foundation: k.Foundation,
		})
		if err != nil {
			return fmt.Errorf("candidate: %w", err)
		}
		if err := c.agent.AddRemoteCandidate(r); err != nil {
			return fmt.Errorf("candidate: %w", err)
		}
	}
	var err error
	if controlling {
		_, err = c.agent.Dial(ctx, t.Ufrag, t.Pwd)
	} else {
		_, err = c.agent.Accept(ctx, t.Ufrag, t.Pwd)
	}
	if err != nil {
		return fmt.Errorf("ice: %w", err)
	}
	pair, err := c.agent.GetSelectedCandidatePair()
	if err != nil || pair == nil {
		return fmt.Errorf("ice: no pair: %w", err)
	}
	to := netip.AddrPortFrom(netip.MustParseAddr(pair.Remote.Address()), uint16(pair.Remote.Port()))
	c.to = newTarget(to)
	return c.secure(ctx, net.UDPAddrFromAddrPort(to), active, cert)
}

func (c *client) secure(ctx context.Context, to net.Addr, active bool, cert certificate) (err error) {
	common := []dtls.Option{
		dtls.WithCertificates(cert.tls), dtls.WithInsecureSkipVerify(true), // the gateway is not what is being attacked
		dtls.WithSRTPProtectionProfiles(dtls.SRTP_AEAD_AES_128_GCM, dtls.SRTP_AES128_CM_HMAC_SHA1_80),
	}
	if active {
		var opts []dtls.ClientOption
		for _, o := range common {
			opts = append(opts, o)
		}
		c.conn, err = dtls.ClientWithOptions(c.dtls, to, opts...)
	} else {
		opts := []dtls.ServerOption{dtls.WithClientAuth(dtls.RequireAnyClientCert)}
		for _, o := range common {
			opts = append(opts, o)
		}
		c.conn, err = dtls.ServerWithOptions(c.dtls, to, opts...)
	}
	if err != nil {
		return fmt.Errorf("dtls: %w", err)
	}
	if err := c.conn.HandshakeContext(ctx); err != nil {
		return fmt.Errorf("dtls: %w", err)
	}
	profile, ok := c.conn.SelectedSRTPProtectionProfile()
	state, ok2 := c.conn.ConnectionState()
	if !ok || !ok2 {
		return errors.New("dtls: no keys for SRTP")
	}
	conf := srtp.Config{Profile: srtp.ProtectionProfile(profile)}
	if err := conf.ExtractSessionKeysFromDTLS(&state, active); err != nil {
		return fmt.Errorf("dtls: %w", err)
	}
	if c.in, err = srtp.CreateContext(conf.Keys.RemoteMasterKey, conf.Keys.RemoteMasterSalt, conf.Profile); err != nil {
		return fmt.Errorf("srtp: %w", err)
	}
	if c.out, err = srtp.CreateContext(conf.Keys.LocalMasterKey, conf.Keys.LocalMasterSalt, conf.Profile); err != nil {
		return fmt.Errorf("srtp: %w", err)
	}
	return nil
}

func (c *client) close() {
	if c.conn != nil {
		_ = c.conn.Close()
	}
	if c.agent != nil {
		_ = c.agent.GracefulClose()
	}
	_ = c.stun.Close()
	_ = c.dtls.Close()
	c.e.shut(c.k)
}
