package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"time"

	"github.com/stoxgate/stoxgate/xmpp/xmpptest"
)

// The C gateway to compare with: Kamailio (5.6 of Debian 12) with its xmpp module in
// component mode. Its XMPP side is one process, its SIP side so many workers as children
// says; they keep nothing on disk. The settings are those that it was fastest with: its
// shared memory is there from the start, because the first use of each page cost it a tenth
// of its time, so its resident memory says nothing; and its receive buffer holds a burst,
// because answers that it lost made it repeat itself.
const kamailioConfiguration = `#!KAMAILIO
debug=0
log_stderror=yes
fork=yes
children=%d
tcp_children=1
auto_aliases=no
dns=no
rev_dns=no
check_via=no
maxbuffer=4194304
shm_force_alloc=yes
mlock_pages=yes
listen=%[2]s:%[3]s
mpath="%[4]s"
loadmodule "tm.so"
loadmodule "sl.so"
loadmodule "xmpp.so"
modparam("xmpp", "backend", "component")
modparam("xmpp", "gateway_domain", "sip.bench.example")
modparam("xmpp", "xmpp_domain", "sip.bench.example")
modparam("xmpp", "xmpp_host", "%[5]s")
modparam("xmpp", "xmpp_port", %[6]s)
modparam("xmpp", "xmpp_password", "secret")
modparam("xmpp", "outbound_proxy", "sip:%[7]s;transport=%[2]s")
request_route {
	if (!t_newtran()) {
		exit;
	}
	if (method == "MESSAGE" && xmpp_send_message()) {
		t_reply("200", "OK");
		exit;
	}
	t_reply("503", "Service Unavailable");
}
`

// expatShim makes the xmpp module run. It looks for the end of a list of attributes as for
// an empty name, but expat ends the list with a null pointer (XML_StartElementHandler), so
// the module crashes at its first element. The shim hands it the list that it expects.
const expatShim = `#include <dlfcn.h>
typedef void (*start_handler)(void *, const char *, const char **);
static start_handler module_start;
static void start(void *data, const char *name, const char **attributes)
{
	static const char *list[65];
	int n = 0;
	while (n < 64 && attributes[n]) {
		list[n] = attributes[n];
		n++;
	}
	list[n] = "";
	module_start(data, name, list);
}
void XML_SetElementHandler(void *parser, start_handler s, void (*end)(void *, const char *))
{
	static void (*set)(void *, start_handler, void (*)(void *, const char *));
	if (!set)
		set = (void (*)(void *, start_handler, void (*)(void *, const char *)))dlsym(dlopen("libexpat.so.1", RTLD_LAZY), "XML_SetElementHandler");
	module_start = s;
	set(parser, start, end);
}
`

// errNoKamailio says why there is nothing to compare with.
var errNoKamailio = errors.New("no baseline")

// kamailio is how the C gateway is started.
type kamailio struct {
	program, modules, shim string
	children               int
}

// newKamailio looks for the program and its module, and builds the shim in dir.
func newKamailio(ctx context.Context, dir string, children int) (*kamailio, error) {
	k := &kamailio{shim: filepath.Join(dir, "expatshim.so"), children: children}
	var err error
	if k.program, err = exec.LookPath("kamailio"); err != nil {
		return nil, fmt.Errorf("%w: %w (apt-get install kamailio kamailio-xmpp-modules)", errNoKamailio, err)
	}
	found, err := filepath.Glob("/usr/lib/*/kamailio/modules/xmpp.so")
	if err != nil || len(found) == 0 {
		return nil, fmt.Errorf("%w: kamailio has no xmpp module (apt-get install kamailio-xmpp-modules)", errNoKamailio)
	}
	k.modules = filepath.Dir(found[0])
	cc, err := exec.LookPath("cc")
	if err != nil {
		return nil, fmt.Errorf("%w: kamailio's xmpp module needs a shim, and there is no C compiler: %w", errNoKamailio, err)
	}
	source := filepath.Join(dir, "expatshim.c")
	if err := os.WriteFile(source, []byte(expatShim), 0o600); err != nil {
		return nil, err
	}
	if out, err := exec.CommandContext(ctx, cc, "-O2", "-shared", "-fPIC", "-o", k.shim, source, "-ldl").CombinedOutput(); err != nil {
		return nil, fmt.Errorf("%w: the shim for kamailio's xmpp module: %w: %s", errNoKamailio, err, out)
	}
	return k, nil
}

// start implements starter.
func (k *kamailio) start(ctx context.Context, dir string, server *xmpptest.Server, peer, transport string) (*gateway, error) {
	state, err := os.MkdirTemp(dir, "kamailio-")
	if err != nil {
		return nil, err
	}
	address, err := freePort()
	if err != nil {
		return nil, err
	}
	component := strings.Split(server.Addr(), ":")
	file := filepath.Join(state, "kamailio.cfg")
	text := fmt.Sprintf(kamailioConfiguration, k.children, transport, address, k.modules, component[0], component[1], peer)
	if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
		return nil, err
	}
	g := &gateway{sip: address, several: true}
	// In the foreground, with memory for all transactions that a load leaves behind, and
	// the faster of its allocators.
	g.cmd = exec.Command(k.program, "-DD", "-E", "-f", file, "-m", "1024", "-M", "16", "-x", "fm", "-X", "fm", "-w", state, "-Y", state)
	g.cmd.Env = append(os.Environ(), "LD_PRELOAD="+k.shim)
	g.cmd.Stderr = os.Stderr
	if err := g.cmd.Start(); err != nil {
		return nil, err
	}
	// Its sockets are open before it forks the process that connects.
	wait, cancel := context.WithTimeout(ctx, 20*time.Second)
	defer cancel()
	if err := server.WaitConnected(wait); err != nil {
		g.stop()
		return nil, fmt.Errorf("kamailio does not connect to the XMPP server: %w", err)
	}
	return g, nil
}

// starAddresses are the addresses that Kamailio's xmpp module understands.
var starAddresses = addresses{
	jid: func(pair int) string { return "otto" + strconv.Itoa(pair) + "*voice.bench.example@sip.bench.example" },
	uri: func(pair int) string {
		return "sip:mira" + strconv.Itoa(pair) + "*chat.bench.example@sip.bench.example"
	},
}
