package interworktest

import (
	"bytes"
	"embed"
	"text/template"
)

//go:embed templates
var templateFiles embed.FS

var templates = template.Must(template.ParseFS(templateFiles, "templates/*.tmpl"))

// Defaults of ServerOptions. The names are those of the project's documents:
// mira and jonas live on the XMPP server, otto and nora on SIP.
const (
	DefaultDomain    = "chat.harbor.example"
	DefaultComponent = "sip.harbor.example"
	DefaultSecret    = "gateway-secret"
)

// Account is a user of an XMPP server or of a SIP registrar.
type Account struct {
	Name     string // the local part
	Password string
}

// PasswordOf is the password that drivers give to a user nobody chose one for.
func PasswordOf(name string) string { return "pw-" + name }

// ServerOptions describes an XMPP server with one component.
type ServerOptions struct {
	Domain    string    // of the accounts; default DefaultDomain
	Component string    // domain of the gateway's component; default DefaultComponent
	Secret    string    // of the component; default DefaultSecret
	Accounts  []Account // default mira and jonas
	WebSocket bool      // clients may come by RFC 7395 too: for browsers, of Prosody only
	TURN      *Coturn   // the server gives out credentials for it (XEP-0215), to its users and to the component; Prosody only
	Extra     string    // lines added to the global part of the server's configuration
	// Privilege is what the component may do to accounts (XEP-0356), as mod_privilege of
	// prosody-modules wants it: `roster = "both"`. Of Prosody only.
	Privilege string
}

func (o ServerOptions) withDefaults() ServerOptions {
	if o.Domain == "" {
		o.Domain = DefaultDomain
	}
	if o.Component == "" {
		o.Component = DefaultComponent
	}
	if o.Secret == "" {
		o.Secret = DefaultSecret
	}
	if o.Accounts == nil {
		for _, name := range []string{"mira", "jonas"} {
			o.Accounts = append(o.Accounts, Account{Name: name, Password: PasswordOf(name)})
		}
	}
	return o
}

// Server is a running XMPP server of either make: *Prosody or *Ejabberd.
type Server interface {
	Software() string         // "prosody" or "ejabberd"
	Options() ServerOptions   // with every default filled in
	ClientAddress() string    // host:port for clients, without TLS
	ComponentAddress() string // host:port for the component (XEP-0114)

	Start()
	Stop()
	Kill()
	Restart()
	Running() bool
	Log() string
}

// StartServer starts the server of the given make, with the meaning of
// StartProsody and StartEjabberd. Tests that must hold for both use it in a loop
// over ServerSoftware.
func StartServer(t TB, software string, o ServerOptions) Server {
	t.Helper()
	switch software {
	case "prosody":
		return StartProsody(t, o)
	case "ejabberd":
		return StartEjabberd(t, o)
	}
	t.Fatalf("interworktest: no driver for XMPP server %q", software)
	return nil
}

// ServerSoftware lists what StartServer knows.
var ServerSoftware = []string{"prosody", "ejabberd"}

// server is what the drivers of XMPP servers share.
type server struct {
	*Process
	options   ServerOptions
	client    int
	component int
}

func (s *server) Options() ServerOptions   { return s.options }
func (s *server) ClientAddress() string    { return loopback(s.client) }
func (s *server) ComponentAddress() string { return loopback(s.component) }

// render executes one of the embedded configuration templates.
func render(t TB, name string, data any) string {
	t.Helper()
	var b bytes.Buffer
	if err := templates.ExecuteTemplate(&b, name, data); err != nil {
		t.Fatalf("interworktest: template %s: %v", name, err)
	}
	return b.String()
}
