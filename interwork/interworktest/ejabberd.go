package interworktest

import (
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"
)

// Ejabberd is a running ejabberd (23.01 of Debian 12) with accounts on Domain
// and one component.
type Ejabberd struct{ server }

// StartEjabberd starts an ejabberd, skipping the test where it is not
// installed. It is usable within about 3 s. It allows what StartProsody allows.
//
// The Erlang machine is started directly and without distribution, not by
// ejabberdctl: that one changes to user ejabberd in a session of its own, where
// no signal to our process group reaches it, and with a node name it would
// start an epmd that stays behind.
func StartEjabberd(t TB, o ServerOptions) *Ejabberd {
	t.Helper()
	path := need(t, "erl", "ejabberd")
	need(t, "ejabberdctl", "ejabberd")
	libs, err := filepath.Glob("/usr/lib/*/ejabberd-*/ebin")
	if err != nil || len(libs) == 0 {
		missing(t, "no ejabberd below /usr/lib (apt-get install ejabberd)")
	}
	o = o.withDefaults()
	dir := workDir(t, "ejabberd")
	e := &Ejabberd{server{options: o, client: FreePort(t), component: FreePort(t)}}

	config := filepath.Join(dir, "ejabberd.yml")
	writeFile(t, config, render(t, "ejabberd.yml.tmpl", map[string]any{
		"Client": e.client, "Component": e.component, "Options": o,
	}))
	// Accounts are made in the machine itself, after the start of ejabberd has
	// returned; the last step leaves the process id for ready to see.
	mark := filepath.Join(dir, "accounts.ready")
	var eval strings.Builder
	for _, a := range o.Accounts {
		fmt.Fprintf(&eval, "ejabberd_auth:try_register(%s, %s, %s), ",
			erlangBinary(a.Name), erlangBinary(o.Domain), erlangBinary(a.Password))
	}
	fmt.Fprintf(&eval, "file:write_file(%s, os:getpid()).", erlangBinary(mark))

	e.Process = newProcess(t, spec{
		name: "ejabberd",
		path: path,
		args: []string{
			"-noinput",
			// Idle schedulers must sleep, not spin: tests share two cores.
			"+sbwt", "none", "+sbwtdcpu", "none", "+sbwtdio", "none",
			"-mnesia", "dir", strconv.Quote(filepath.Join(dir, "spool")),
			"-s", "ejabberd", "-eval", eval.String(),
		},
		env: []string{
			"ERL_LIBS=" + filepath.Dir(filepath.Dir(libs[0])),
			"EJABBERD_CONFIG_PATH=" + config,
			"EJABBERD_LOG_PATH=" + filepath.Join(dir, "log", "ejabberd.log"),
			"ERL_CRASH_DUMP=" + filepath.Join(dir, "erl_crash.dump"),
		},
		dir: dir,
		ready: func() error {
			pid, err := os.ReadFile(mark)
			if err != nil {
				return err
			}
			if string(pid) != strconv.Itoa(e.Pid()) {
				return fmt.Errorf("accounts are of an earlier start (pid %s)", pid)
			}
			return listening(e.ClientAddress(), e.ComponentAddress())()
		},
	})
	e.Start()
	return e
}

// Software implements Server.
func (e *Ejabberd) Software() string { return "ejabberd" }

// erlangBinary writes an Erlang binary literal of the UTF-8 bytes of s.
func erlangBinary(s string) string {
	var b strings.Builder
	b.WriteString("<<")
	for i, c := range []byte(s) {
		if i > 0 {
			b.WriteByte(',')
		}
		b.WriteString(strconv.Itoa(int(c)))
	}
	b.WriteString(">>")
	return b.String()
}
