// Package quickstart is what `make run` does: a Jabber server, the gateway, two
// Jabber accounts and two SIP phones on one machine, ready to be tried with
// clients of one's own.
//
// Decisions:
//
//   - Everything lives in one folder (.run): configurations, secrets, data and
//     logs. Passwords and ports are kept there, so that clients set up once work
//     again the next time. The folder can be deleted at any moment.
//   - Prosody comes from Debian's package, runs as whoever started this, with a
//     configuration of its own, and leaves a Prosody of the machine alone; ports
//     that are taken are replaced by others.
//   - The gateway is a child process with a configuration that anyone could have
//     written: what is tried here is the program, not a mode of it.
//   - Only loopback is used unless another address is asked for.
package quickstart

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"time"
)

// ErrBusy is returned when the folder is in use by another run.
var ErrBusy = errors.New("quickstart: is running already in this folder")

// Options says where and how. The zero value is what `make run` uses.
type Options struct {
	Dir     string    // folder for everything; default .run
	Address string    // IP address to listen on; default 127.0.0.1
	Domain  string    // of the Jabber accounts; the component is sip.Domain; default localhost
	Program string    // the stoxgate program; default the one that is running
	Out     io.Writer // for what people read; default standard output
}

func (o *Options) setDefaults() error {
	if o.Dir == "" {
		o.Dir = ".run"
	}
	if o.Address == "" {
		o.Address = "127.0.0.1"
	}
	if o.Domain == "" {
		o.Domain = "localhost"
	}
	if o.Out == nil {
		o.Out = os.Stdout
	}
	if o.Program == "" {
		program, err := os.Executable()
		if err != nil {
			return fmt.Errorf("quickstart: %w", err)
		}
		o.Program = program
	}
	for _, path := range []*string{&o.Dir, &o.Program} {
		absolute, err := filepath.Abs(*path)
		if err != nil {
			return fmt.Errorf("quickstart: %w", err)
		}
		*path = absolute
	}
	return nil
}

// How long things may take. Prosody starts within half a second and the
// gateway within one; machines that have just booted are slower.
const (
	startTimeout = 30 * time.Second
	stopTimeout  = 20 * time.Second
)

// Run starts everything, tells how to use it, and stops everything when ctx
// ends, which is no error. It is one when a program can't be installed, doesn't
// start, or ends by itself; its last lines are part of the error then.
func Run(ctx context.Context, o Options) (err error) {
	if err := o.setDefaults(); err != nil {
		return err
	}
	if err := os.MkdirAll(o.Dir, 0o700); err != nil {
		return fmt.Errorf("quickstart: %w", err)
	}
	unlock, err := lock(filepath.Join(o.Dir, "lock"))
	if err != nil {
		return err
	}
	defer unlock()
	prosody, prosodyctl, err := findProsody(ctx, o)
	if err != nil {
		return quiet(ctx, err)
	}
	s, err := loadSetup(o)
	if err != nil {
		return err
	}

	server := s.prosody(prosody)
	if err := writeProsody(s, o); err != nil {
		return err
	}
	if err := registerAccounts(ctx, s, o, prosodyctl); err != nil {
		return quiet(ctx, err)
	}
	if err := server.start(); err != nil {
		return err
	}
	defer func() { err = errors.Join(err, server.stop()) }()
	if err := server.waitFor(ctx, startTimeout, s.prosodyReady); err != nil {
		return quiet(ctx, err)
	}

	gateway := s.gateway(o.Program)
	if err := errors.Join(writeGateway(s, o), writePhone(s, o)); err != nil {
		return err
	}
	if err := gateway.start(); err != nil {
		return err
	}
	defer func() { err = errors.Join(err, gateway.stop()) }()
	api := newAPI(s.consoleAddress())
	if err := gateway.waitFor(ctx, startTimeout, api.ready); err != nil {
		return quiet(ctx, err)
	}
	for _, id := range s.identities() {
		if err := api.put(ctx, id); err != nil {
			return quiet(ctx, err)
		}
	}
	if err := printHelp(o.Out, s, o); err != nil {
		return fmt.Errorf("quickstart: %w", err)
	}

	select {
	case <-ctx.Done():
		fmt.Fprintln(o.Out, "\nstopping")
		return nil
	case <-server.exited:
		return server.died()
	case <-gateway.exited:
		return gateway.died()
	}
}

// quiet drops an error that came of being told to stop.
func quiet(ctx context.Context, err error) error {
	if ctx.Err() != nil {
		return nil
	}
	return err
}
