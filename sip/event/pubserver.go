package event

import (
	"context"
	"fmt"
	"net/netip"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/rs/zerolog"

	"github.com/stoxgate/stoxgate/sip"
	"github.com/stoxgate/stoxgate/sip/ua"
)

// PublicationOwner hears what is published. It is called in order for each resource,
// without a lock held; it must not block.
type PublicationOwner interface {
	Published(Published)
}

// Publication is one publication that is in force (RFC 3903 §3). Several of one resource
// are of different devices.
type Publication struct {
	ID          string // stays the same, unlike the ETag
	ETag        string
	Resource    string // URI
	Package     string
	ContentType string
	Language    string
	Body        []byte // not to be changed
	Source      string // IP address that it counts for, "" for none
	Updated     time.Time
	Expires     time.Time
}

// Operation is what a PUBLISH does.
type Operation uint8

// Operations (RFC 3903 §4), and the end that comes by itself.
const (
	OperationUnknown Operation = iota
	PublicationAdded
	PublicationRefreshed
	PublicationModified
	PublicationRemoved
	PublicationExpired
)

func (o Operation) String() string {
	switch o {
	case PublicationAdded:
		return "added"
	case PublicationRefreshed:
		return "refreshed"
	case PublicationModified:
		return "modified"
	case PublicationRemoved:
		return "removed"
	case PublicationExpired:
		return "expired"
	}
	return "unknown"
}

// Published is a change of what is published for a resource.
type Published struct {
	Resource  sip.URI
	Package   string
	Operation Operation
	Changed   Publication
	Current   []Publication // all in force, the oldest first
}

// Publish is what a PUBLISH says.
type Publish struct {
	Package     string
	Resource    sip.URI      // Request-URI
	Publisher   sip.NameAddr // who publishes, as the caller of Handle has found out
	Identity    ua.Identity
	ContentType string
	Body        []byte
	Expires     time.Duration
	Transport   string
	Source      netip.AddrPort
}

// PublicationPackage is one event package that may be published.
type PublicationPackage struct {
	Name   string
	Accept []string // media types that are understood
	// MinExpires, DefaultExpires and MaxExpires: 60 s, 3600 s and 7200 s when zero.
	MinExpires, DefaultExpires, MaxExpires time.Duration
	// Check judges a document before it is taken (400, 415); nil: all are taken. It must
	// be quick.
	Check func(contentType string, body []byte) *sip.Status
	Owner PublicationOwner
}

// PublicationConfig is the configuration of a PublicationServer.
type PublicationConfig struct {
	Packages []PublicationPackage
	// Admit tells who may publish what: 404 for a resource that we are not responsible
	// for, 403; nil: everybody everything.
	Admit func(*Publish) *sip.Status
	// Limits: PerPair counts the publications of one resource and package, PerWatcher is
	// not used.
	Limits   Limits
	MaxBody  int   // bytes of one document, 32 KiB when zero: then 413
	MaxBytes int64 // of all, 256 MiB when zero: then 503
	Log      zerolog.Logger
}

// PublicationServer is the event state compositor's side of RFC 3903, without the
// composition: its owner gets all documents of a resource.
type PublicationServer struct {
	cfg      PublicationConfig
	packages map[string]*PublicationPackage
	allow    string
	alarms   *alarms[*publication]

	mu        sync.Mutex
	closed    bool
	resources map[string]*published
	count     int
	bytes     int64
	sources   map[netip.Addr]int
}

// published is one resource in one package.
type published struct {
	key  string
	uri  sip.URI
	pkg  *PublicationPackage
	srv  *PublicationServer
	mu   sync.Mutex
	dead bool // out of the table
	list []*publication

	events *order[Published]
}

type publication struct {
	clock   alarm
	in      *published
	p       Publication // but Expires
	source  netip.Addr  // counted there, if valid
	expires time.Duration
}

// NewPublicationServer checks the configuration.
func NewPublicationServer(cfg PublicationConfig) (*PublicationServer, error) {
	if len(cfg.Packages) == 0 {
		return nil, fmt.Errorf("%w: publication server needs Packages", ErrConfig)
	}
	cfg.Limits = cfg.Limits.withDefaults()
	if cfg.MaxBody == 0 {
		cfg.MaxBody = 32 << 10
	}
	if cfg.MaxBytes == 0 {
		cfg.MaxBytes = 256 << 20
	}
	s := &PublicationServer{
		cfg: cfg, packages: map[string]*PublicationPackage{}, alarms: newAlarms[*publication](),
		resources: map[string]*published{}, sources: map[netip.Addr]int{},
	}
	var names []string
	for _, p := range cfg.Packages {
		if !isToken(p.Name) || p.Owner == nil || len(p.Accept) == 0 || s.packages[p.Name] != nil {
			return nil, fmt.Errorf("%w: package %q", ErrConfig, p.Name)
		}
		p.MinExpires = or(p.MinExpires, time.Minute)
		p.DefaultExpires = or(p.DefaultExpires, time.Hour)
		p.MaxExpires = max(or(p.MaxExpires, 2*time.Hour), p.MinExpires)
		p.DefaultExpires = min(max(p.DefaultExpires, p.MinExpires), p.MaxExpires)
		s.packages[p.Name] = &p
		names = append(names, p.Name)
	}
	slices.Sort(names)
	s.allow = strings.Join(names, ", ")
	return s, nil
}

// Run ends publications at their time until ctx ends; then it takes no more and returns
// nil.
func (s *PublicationServer) Run(ctx context.Context) error {
	s.alarms.run(ctx)
	s.mu.Lock()
	s.closed = true
	s.mu.Unlock()
	return nil
}

// Len is how many publications are in force.
func (s *PublicationServer) Len() int {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.count
}

// Current are the publications of a resource in a package, the oldest first.
func (s *PublicationServer) Current(resource sip.URI, pkg string) []Publication {
	s.mu.Lock()
	r := s.resources[resourceKey(resource, pkg)]
	s.mu.Unlock()
	if r == nil {
		return nil
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.current()
}

func resourceKey(resource sip.URI, pkg string) string { return pkg + " " + resource.Key() }

// Handle answers one PUBLISH. The caller has authenticated its sender; publisher is who
// that is, the From of the request when it is zero.
func (s *PublicationServer) Handle(in *ua.Inbound, publisher sip.NameAddr) {
	a := arrivalOf(in)
	st, r := s.take(&a, publisher)
	_ = in.Respond(st) // a failure is logged there
	if r != nil {
		r.deliver()
	}
}

// take follows the steps of RFC 3903 §6.
func (s *PublicationServer) take(a *arrival, publisher sip.NameAddr) (sip.Status, *published) {
	e, ok := eventOf(a.req)
	pkg := s.packages[e.Package]
	if !ok || pkg == nil {
		return sip.Status{Code: 489, Headers: []sip.Header{header("Allow-Events", s.allow)}}, nil
	}
	if st := sip.RefuseSIPS(a.req); st != nil {
		return *st, nil
	}
	p, tag, st := s.read(a, pkg, publisher)
	if st != nil {
		return *st, nil
	}
	if s.cfg.Admit != nil {
		if st := s.cfg.Admit(p); st != nil {
			return *st, nil
		}
	}
	if st := s.checkBody(a.req, pkg, p); st != nil {
		return *st, nil
	}
	r, st := s.lockResource(p, pkg)
	if st != nil {
		return *st, nil
	}
	defer r.mu.Unlock()
	defer r.tidy()
	if tag == "" {
		return r.add(a, p), r
	}
	return r.change(tag, p), r
}

// lockResource finds or makes the place of a resource and locks it.
func (s *PublicationServer) lockResource(p *Publish, pkg *PublicationPackage) (*published, *sip.Status) {
	for {
		r, st := s.resource(p, pkg)
		if st != nil {
			return nil, st
		}
		r.mu.Lock()
		if !r.dead {
			return r, nil
		}
		r.mu.Unlock() // emptied by another request meanwhile
	}
}

// read takes a PUBLISH apart; tag is that of SIP-If-Match.
func (s *PublicationServer) read(a *arrival, pkg *PublicationPackage, publisher sip.NameAddr) (p *Publish, tag string, st *sip.Status) {
	from, err := sip.FromOf(a.req)
	if err != nil {
		return nil, "", &sip.Status{Code: 400, Reason: "Bad From"}
	}
	if publisher.URI.IsZero() {
		publisher = from
	}
	switch tags := sip.Values(a.req, "SIP-If-Match"); {
	case len(tags) > 1 || len(tags) == 1 && !isToken(strings.TrimSpace(tags[0])):
		return nil, "", &sip.Status{Code: 400, Reason: "Invalid Request - SIP-If-Match"}
	case len(tags) == 1:
		tag = strings.TrimSpace(tags[0])
	}
	p = &Publish{
		Package: pkg.Name, Resource: sip.RequestURI(a.req), Publisher: publisher, Identity: a.auth,
		ContentType: sip.ContentType(a.req), Body: a.req.Body(), Transport: a.transport, Source: a.source,
	}
	if tag == "" && len(p.Body) == 0 {
		return nil, "", &sip.Status{Code: 400, Reason: "Invalid Request - neither SIP-If-Match nor a body"}
	}
	p.Expires, st = grant(a.req, pkg.MinExpires, pkg.DefaultExpires, pkg.MaxExpires)
	return p, tag, st
}

func (s *PublicationServer) checkBody(req *sip.Request, pkg *PublicationPackage, p *Publish) *sip.Status {
	if len(p.Body) == 0 || p.Expires == 0 {
		return nil
	}
	if len(p.Body) > s.cfg.MaxBody {
		return &sip.Status{Code: 413}
	}
	if enc := sip.Value(req, "Content-Encoding"); enc != "" && !strings.EqualFold(enc, "identity") {
		return &sip.Status{Code: 415, Headers: []sip.Header{header("Accept-Encoding", "identity"), header("Accept", strings.Join(pkg.Accept, ", "))}}
	}
	if !accepts(pkg.Accept, p.ContentType) {
		return &sip.Status{Code: 415, Headers: []sip.Header{header("Accept", strings.Join(pkg.Accept, ", "))}}
	}
	if pkg.Check != nil {
		return pkg.Check(p.ContentType, p.Body)
	}
	return nil
}

// resource finds or makes the place of a resource.
func (s *PublicationServer) resource(p *Publish, pkg *PublicationPackage) (*published, *sip.Status) {
	key := resourceKey(p.Resource, pkg.Name)
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.closed {
		return nil, overload("going down")
	}
	r := s.resources[key]
	if r == nil {
		r = &published{key: key, uri: p.Resource.AOR(), pkg: pkg, srv: s}
		s.resources[key] = r
	}
	return r, nil
}

// tidy takes an empty resource out of the table; r.mu is held.
func (r *published) tidy() {
	if len(r.list) > 0 || r.dead {
		return
	}
	r.dead = true
	r.srv.mu.Lock()
	delete(r.srv.resources, r.key)
	r.srv.mu.Unlock()
}

// add is an initial publication; r.mu is held.
func (r *published) add(a *arrival, p *Publish) sip.Status {
	tag := token(8)
	if p.Expires == 0 { // it would end at once
		return answerTo(tag, 0)
	}
	if len(r.list) >= r.srv.cfg.Limits.PerPair && !a.exempt() {
		return sip.Status{Code: 403, Reason: "Forbidden - too many publications"}
	}
	x := &publication{in: r, p: Publication{
		ID: token(8), ETag: tag, Resource: p.Resource.String(), Package: r.pkg.Name, ContentType: p.ContentType,
		Language: sip.Value(a.req, "Content-Language"), Body: slices.Clone(p.Body), Updated: time.Now().Round(0),
	}}
	if !a.exempt() {
		x.source = a.source.Addr()
		x.p.Source = x.source.String()
	}
	if st := r.srv.reserve(x, int64(len(p.Body))); st != nil {
		return *st
	}
	r.list = append(r.list, x)
	r.extend(x, p.Expires)
	r.tell(PublicationAdded, x)
	return answerTo(tag, p.Expires)
}

// change refreshes, modifies or removes; r.mu is held.
func (r *published) change(tag string, p *Publish) sip.Status {
	i := slices.IndexFunc(r.list, func(x *publication) bool { return x.p.ETag == tag })
	if i < 0 {
		return sip.Status{Code: 412}
	}
	x := r.list[i]
	fresh := token(8) // a new one for every success (RFC 3903 §6 step 6)
	switch {
	case p.Expires == 0:
		r.remove(i)
		x.p.ETag = fresh
		r.tell(PublicationRemoved, x)
		return answerTo(fresh, 0)
	case len(p.Body) > 0:
		if st := r.srv.grow(int64(len(p.Body) - len(x.p.Body))); st != nil {
			return *st
		}
		x.p.ContentType, x.p.Body, x.p.Updated, x.p.ETag = p.ContentType, slices.Clone(p.Body), time.Now().Round(0), fresh
		r.extend(x, p.Expires)
		r.tell(PublicationModified, x)
	default:
		x.p.ETag = fresh
		r.extend(x, p.Expires)
		r.tell(PublicationRefreshed, x)
	}
	return answerTo(fresh, p.Expires)
}

func answerTo(tag string, d time.Duration) sip.Status {
	return sip.Status{Code: 200, Headers: []sip.Header{header("SIP-ETag", tag), header("Expires", seconds(d))}}
}

func (r *published) extend(x *publication, d time.Duration) {
	x.expires = r.srv.alarms.now() + d
	r.srv.alarms.set(x, x.expires)
}

// remove takes a publication out; r.mu is held.
func (r *published) remove(i int) {
	x := r.list[i]
	r.list = slices.Delete(r.list, i, i+1)
	r.srv.alarms.stop(x)
	r.srv.release(x)
}

// tell queues the change for the owner.
func (r *published) tell(op Operation, x *publication) {
	put(&r.events, Published{Resource: r.uri, Package: r.pkg.Name, Operation: op, Changed: r.snapshot(x), Current: r.current()})
}

func (r *published) snapshot(x *publication) Publication {
	p := x.p
	p.Expires = time.Now().Round(0).Add(x.expires - r.srv.alarms.now())
	return p
}

func (r *published) current() []Publication {
	list := make([]Publication, len(r.list))
	for i, x := range r.list {
		list[i] = r.snapshot(x)
	}
	return list
}

func (r *published) deliver() { deliver(&r.mu, &r.events, r.pkg.Owner.Published) }

func (x *publication) alarm() *alarm { return &x.clock }

// ring is the end of a publication.
func (x *publication) ring() {
	r := x.in
	r.mu.Lock()
	i := slices.Index(r.list, x)
	if i >= 0 && r.srv.alarms.now() >= x.expires {
		r.remove(i)
		r.tell(PublicationExpired, x)
		r.tidy()
	}
	r.mu.Unlock()
	r.deliver()
}

// reserve counts a new publication, within the limits.
func (s *PublicationServer) reserve(x *publication, size int64) *sip.Status {
	s.mu.Lock()
	defer s.mu.Unlock()
	switch l := s.cfg.Limits; {
	case s.count >= l.Total || s.bytes+size > s.cfg.MaxBytes:
		return overload("too many publications")
	case x.source.IsValid() && s.sources[x.source] >= l.PerSource:
		return overload("too many publications from your address")
	}
	s.insert(x, size)
	return nil
}

func (s *PublicationServer) insert(x *publication, size int64) {
	s.count++
	s.bytes += size
	if x.source.IsValid() {
		s.sources[x.source]++
	}
}

// grow counts a change of size.
func (s *PublicationServer) grow(by int64) *sip.Status {
	s.mu.Lock()
	defer s.mu.Unlock()
	if by > 0 && s.bytes+by > s.cfg.MaxBytes {
		return overload("too many publications")
	}
	s.bytes += by
	return nil
}

func (s *PublicationServer) release(x *publication) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.count--
	s.bytes -= int64(len(x.p.Body))
	if x.source.IsValid() {
		if s.sources[x.source]--; s.sources[x.source] <= 0 {
			delete(s.sources, x.source)
		}
	}
}

// Restore takes a publication back after a restart; its owner is not called. ErrExpired
// means that it has ended meanwhile.
func (s *PublicationServer) Restore(p Publication) error {
	pkg := s.packages[p.Package]
	uri, err := sip.ParseURI(p.Resource)
	if pkg == nil || err != nil || p.ID == "" || p.ETag == "" {
		return fmt.Errorf("%w: publication %s of %s", ErrRecord, p.ID, p.Resource)
	}
	left := min(time.Until(p.Expires), pkg.MaxExpires)
	if left <= 0 {
		return fmt.Errorf("%w: publication %s", ErrExpired, p.ID)
	}
	r, st := s.lockResource(&Publish{Resource: uri}, pkg)
	if st != nil {
		return ErrClosed
	}
	defer r.mu.Unlock()
	x := &publication{in: r, p: p}
	if addr, err := netip.ParseAddr(p.Source); err == nil {
		x.source = addr
	}
	s.mu.Lock()
	s.insert(x, int64(len(p.Body)))
	s.mu.Unlock()
	r.list = append(r.list, x)
	slices.SortStableFunc(r.list, func(a, b *publication) int { return a.p.Updated.Compare(b.p.Updated) })
	r.extend(x, left)
	return nil
}
