package interworktest

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
)

// KamailioOptions describes a SIP domain with its registrar.
type KamailioOptions struct {
	Domain   string    // default "voice.quay.example"
	Accounts []Account // default otto and nora
	Gateway  string    // host:port for requests to all other domains; empty: they are looked up
}

// Kamailio is a running Kamailio (5.6 of Debian 12): a registrar and proxy with
// digest (MD5) and a presence server, over UDP and TCP on one port.
type Kamailio struct {
	*Process
	options KamailioOptions
	port    int
}

// StartKamailio starts a Kamailio; the test is skipped where it is not
// installed. It takes about 0.3 s.
func StartKamailio(t TB, o KamailioOptions) *Kamailio {
	t.Helper()
	path := need(t, "kamailio", "kamailio kamailio-presence-modules")
	found, err := filepath.Glob("/usr/lib/*/kamailio/modules/presence_xml.so")
	if err != nil || len(found) == 0 {
		missing(t, "kamailio has no presence module (apt-get install kamailio-presence-modules)")
	}
	if o.Domain == "" {
		o.Domain = "voice.quay.example"
	}
	if o.Accounts == nil {
		for _, name := range []string{"otto", "nora"} {
			o.Accounts = append(o.Accounts, Account{Name: name, Password: PasswordOf(name)})
		}
	}
	dir := workDir(t, "kamailio")
	k := &Kamailio{options: o, port: FreePort(t)}
	k.database(t, dir)
	config := filepath.Join(dir, "kamailio.cfg")
	writeFile(t, config, render(t, "kamailio.cfg.tmpl", map[string]any{
		"Dir": dir, "Modules": filepath.Dir(found[0]), "Port": k.port, "Domain": o.Domain, "Gateway": o.Gateway, "GatewayPort": o.Gateway[strings.LastIndexByte(o.Gateway, ':')+1:],
	}))
	k.Process = newProcess(t, spec{
		name: "kamailio",
		path: path,
		// In the foreground with its workers as children; small pools.
		args: []string{"-DD", "-E", "-f", config, "-m", "32", "-M", "4", "-w", dir, "-Y", dir},
		dir:  dir,
		ready: func() error {
			if err := bound("udp", k.port); err != nil {
				return err
			}
			return bound("tcp", k.port)
		},
	})
	k.Start()
	return k
}

// Domain is the SIP domain that it serves.
func (k *Kamailio) Domain() string { return k.options.Domain }

// Address is the host:port where it listens.
func (k *Kamailio) Address() string { return loopback(k.port) }

// database writes its tables in the text format of db_text: a line of columns,
// then one line a row with fields separated by colons.
func (k *Kamailio) database(t TB, dir string) {
	t.Helper()
	const installed = "/usr/share/kamailio/dbtext/kamailio"
	for _, table := range []string{"version", "presentity", "active_watchers", "watchers", "xcap", "pua"} {
		data, err := os.ReadFile(filepath.Join(installed, table))
		if err != nil {
			missing(t, "table of kamailio: %v (apt-get install kamailio)", err)
		}
		writeFile(t, filepath.Join(dir, "db", table), string(data))
	}
	var users strings.Builder
	users.WriteString("id(int,auto) username(string) domain(string) password(string)\n")
	for i, a := range k.options.Accounts {
		fmt.Fprintf(&users, "%d:%s:%s:%s\n", i+1, dbText(a.Name), dbText(k.options.Domain), dbText(a.Password))
	}
	writeFile(t, filepath.Join(dir, "db", "subscriber"), users.String())
}

// dbText escapes a field for db_text.
func dbText(s string) string {
	return strings.NewReplacer(`\`, `\\`, ":", `\:`, "\n", `\n`).Replace(s)
}
