package ua

import (
	"hash/maphash"
	"strings"
	"sync"

	siplib "github.com/emiago/sipgo/sip"

	"github.com/stoxgate/stoxgate/sip"
)

// txKey names a transaction: a 128-bit hash of what RFC 3261 §17.1.3 and §17.2.3
// compare, under seeds that nobody outside knows. A hash instead of the strings
// lets the tables hold no pointers into messages, which would stay alive for the
// 32 s of timer J.
type txKey [2]uint64

var txSeeds = [2]maphash.Seed{maphash.MakeSeed(), maphash.MakeSeed()}

func hashKey(parts ...string) (k txKey) {
	for i, seed := range txSeeds {
		var h maphash.Hash
		h.SetSeed(seed)
		for _, p := range parts {
			_, _ = h.WriteString(p)
			_ = h.WriteByte(0)
		}
		k[i] = h.Sum64()
	}
	return k
}

// clientKey: the branch and the method (§17.1.3).
func clientKey(branch string, m sip.Method) txKey { return hashKey(branch, string(m)) }

// serverKey: branch, sent-by and method, where ACK belongs to its INVITE
// (§17.2.3); for a peer without the magic cookie everything that identified a
// request in RFC 2543.
func serverKey(req *sip.Request, m sip.Method) txKey {
	via := req.Via()
	branch, _ := via.Params.Get("branch")
	if strings.HasPrefix(branch, siplib.RFC3261BranchMagicCookie) && len(branch) > len(siplib.RFC3261BranchMagicCookie) {
		return hashKey(branch, via.Host, portText(via.Port), string(m))
	}
	cseq := req.CSeq()
	to := sip.ToTag(req)
	if m == sip.INVITE {
		to = "" // its ACK has our tag, its CANCEL has none
	}
	return hashKey("2543", req.Recipient.String(), to, sip.FromTag(req), sip.CallID(req), portText(int(cseq.SeqNo)), via.Value(), string(m))
}

// portText is a number as a hash part; it allocates nothing.
func portText(n int) string {
	const small = "5060"
	if n == 5060 || n == 0 {
		return small[:n/1265] // "" or "5060"
	}
	var b [10]byte
	i := len(b)
	for ; n > 0; n /= 10 {
		i--
		b[i] = byte('0' + n%10)
	}
	return string(b[i:])
}

const shardCount = 16

// shards is a map in parts, so that readers of several sockets and the callers of
// Do do not wait for each other.
type shards[V any] [shardCount]struct {
	sync.Mutex
	m map[txKey]V
	_ [40]byte // a cache line each
}

func (s *shards[V]) init() {
	for i := range s {
		s[i].m = map[txKey]V{}
	}
}

func (s *shards[V]) get(k txKey) (v V, ok bool) {
	p := &s[k[0]%shardCount]
	p.Lock()
	v, ok = p.m[k]
	p.Unlock()
	return v, ok
}

// put stores v unless the key is taken, and returns what is stored.
func (s *shards[V]) put(k txKey, v V) (stored V, fresh bool) {
	p := &s[k[0]%shardCount]
	p.Lock()
	defer p.Unlock()
	if old, ok := p.m[k]; ok {
		return old, false
	}
	p.m[k] = v
	return v, true
}

func (s *shards[V]) drop(k txKey) {
	p := &s[k[0]%shardCount]
	p.Lock()
	delete(p.m, k)
	p.Unlock()
}

func (s *shards[V]) len() (n int) {
	for i := range s {
		s[i].Lock()
		n += len(s[i].m)
		s[i].Unlock()
	}
	return n
}

func (s *shards[V]) all() (list []V) {
	for i := range s {
		s[i].Lock()
		for _, v := range s[i].m {
			list = append(list, v)
		}
		s[i].Unlock()
	}
	return list
}
