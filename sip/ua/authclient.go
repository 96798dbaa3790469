package ua

import (
	"strings"
	"sync"

	siplib "github.com/emiago/sipgo/sip"
	"github.com/icholy/digest"

	"github.com/stoxgate/stoxgate/sip"
)

// Credentials answer the challenges of a peer (RFC 3261 §22).
type Credentials struct {
	Username string
	Password string // empty when only HA1 is known
	// HA1 is H(username:realm:password) in hex. Its length tells the algorithm: 32
	// digits answer MD5, 64 answer SHA-256. Realm is required then.
	HA1 string
	// Realm that may challenge; empty for any.
	Realm string
}

// fits tells whether the credentials can answer that challenge.
func (c *Credentials) fits(ch *digest.Challenge) bool {
	alg := algorithmOf(ch.Algorithm)
	if alg == "" || ch.Nonce == "" || c.Realm != "" && c.Realm != ch.Realm {
		return false
	}
	if _, ok := pickQOP(ch); !ok {
		return false
	}
	if c.Password != "" || c.HA1 == "" {
		return true
	}
	return len(c.HA1) == 32 && alg == algMD5 || len(c.HA1) == 64 && alg == algSHA256
}

// challengeCache keeps the last challenge of each peer, so that a nonce serves
// more than one request (RFC 7616 §3.6) and most requests need no second trip.
type challengeCache struct {
	mu sync.Mutex
	m  map[challengeKey]*challenge
}

type challengeKey struct {
	hop, user string
	status    int // 401 or 407
}

// challenge counts how often its nonce was used.
type challenge struct {
	digest.Challenge
	mu sync.Mutex
	nc int
}

const maxChallenges = 10_000

func newChallengeCache() *challengeCache {
	return &challengeCache{m: map[challengeKey]*challenge{}}
}

func (c *challengeCache) get(k challengeKey) *challenge {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.m[k]
}

func (c *challengeCache) put(k challengeKey, ch *challenge) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if len(c.m) >= maxChallenges {
		clear(c.m)
	}
	c.m[k] = ch
}

// authState is what one request knows about challenges.
type authState struct {
	tries   int // challenges answered: so much the CSeq has grown
	state   map[int]*authRound
	headers []sip.Header
}

// authRound is the dealing with 401, or with 407.
type authRound struct {
	ch      *challenge
	answers int  // to challenges that this request got
	stale   bool // the one stale nonce was forgiven
}

// authorize computes the credentials that the next attempt carries.
func (o *outgoing) authorize() {
	cred := o.target.Credentials
	if cred == nil {
		return
	}
	if o.auth.state == nil {
		o.auth.state = map[int]*authRound{}
		for _, status := range [...]int{401, 407} {
			if ch := o.u.digests.get(o.challengeKey(status)); ch != nil && cred.fits(&ch.Challenge) {
				o.auth.state[status] = &authRound{ch: ch}
			}
		}
	}
	o.auth.headers = o.auth.headers[:0]
	for status, r := range o.auth.state {
		name := "Authorization"
		if status == 407 {
			name = "Proxy-Authorization"
		}
		if v, ok := o.credentials(r.ch); ok {
			o.auth.headers = append(o.auth.headers, siplib.NewHeader(name, v))
		}
	}
}

func (o *outgoing) challengeKey(status int) challengeKey {
	return challengeKey{hop: strings.ToLower(o.hop.Host), user: o.target.Credentials.Username + "\x00" + o.target.Credentials.Realm, status: status}
}

func (o *outgoing) credentials(ch *challenge) (string, bool) {
	cred := o.target.Credentials
	qop, _ := pickQOP(&ch.Challenge)
	ch.mu.Lock()
	ch.nc++
	nc := ch.nc
	ch.mu.Unlock()
	c, err := answerDigest(ch.Challenge, qop, string(o.req.Method), o.ruri.String(), cred.Username, cred.Password, cred.HA1, nc, token(), o.req.Body())
	if err != nil {
		o.u.log.Warn().Err(err).Str("hop", o.hop.Host).Msg("cannot answer a challenge")
		return "", false
	}
	return c.String(), true
}

// challenged takes the challenge of a 401 or 407 and tells whether to try again.
func (o *outgoing) challenged(res *sip.Response) bool {
	cred := o.target.Credentials
	if cred == nil {
		return false
	}
	name := "WWW-Authenticate"
	if res.StatusCode == 407 {
		name = "Proxy-Authenticate"
	}
	// RFC 8760 §2.4: the first that we can answer, the peer has ordered them.
	for _, v := range sip.Values(res, name) {
		c, err := parseChallenge(v)
		if err != nil || !cred.fits(c) {
			continue
		}
		r := o.auth.state[res.StatusCode]
		if r == nil {
			r = &authRound{}
			o.auth.state[res.StatusCode] = r
		}
		switch {
		case r.answers == 0:
		case c.Stale && !r.stale:
			r.stale = true
		default:
			return false // our answer was wrong
		}
		r.answers++
		r.ch = &challenge{Challenge: *c}
		o.u.digests.put(o.challengeKey(res.StatusCode), r.ch)
		o.auth.tries++
		return true
	}
	return false
}
