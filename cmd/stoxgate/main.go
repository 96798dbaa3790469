// Command stoxgate is a gateway between XMPP and SIP: a person on a Jabber
// server and a person on a SIP phone exchange messages.
//
// It is the one program of the project and the only place with flags, signals
// and exit codes. What it runs lives in package interwork; the configuration
// file in internal/config, the HTTP side in internal/console.
package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/signal"
	"syscall"
	"time"

	"github.com/alecthomas/kong"
	"github.com/rs/zerolog"

	"github.com/stoxgate/stoxgate/cmd/stoxgate/internal/config"
	"github.com/stoxgate/stoxgate/cmd/stoxgate/internal/console"
)

// Exit codes, as the help tells them.
const (
	exitOK          = 0
	exitFailed      = 1
	exitUsage       = 2
	exitConfig      = 3
	exitUnreachable = 4
	exitRefused     = 5
	exitInterrupted = 130
)

const exitHelp = `Exit codes:
  0    done
  1    failed; check: something is wrong; demo: a step failed; translate: it has no counterpart
  2    the command line is wrong
  3    the configuration is wrong
  4    nobody answers: the gateway does not run, or does not accept the token
  5    refused: no such identity, an address has an owner already, a value is not possible
  130  stopped at once by a second signal`

// program is what a command may use of its surroundings, so that tests can give
// their own.
type program struct {
	ctx    context.Context // ends when the program is asked to stop
	stdin  io.Reader
	stdout io.Writer
	stderr io.Writer
	env    config.Environment
	hangup <-chan os.Signal // SIGHUP, nil in most tests
	model  *kong.Application
}

func main() {
	zerolog.TimeFieldFormat = time.RFC3339Nano // messages take less than a second
	ctx, _ := signals(os.Stderr, os.Exit)      // for as long as the program runs
	hangup := make(chan os.Signal, 1)
	signal.Notify(hangup, syscall.SIGHUP)
	os.Exit(run(os.Args[1:], &program{
		ctx: ctx, stdin: os.Stdin, stdout: os.Stdout, stderr: os.Stderr, env: os.LookupEnv, hangup: hangup,
	}))
}

// signals returns a context that ends with the first SIGINT or SIGTERM. The
// second one ends the program through exit.
func signals(stderr io.Writer, exit func(int)) (context.Context, func()) {
	ctx, cancel := context.WithCancel(context.Background())
	caught := make(chan os.Signal, 2)
	done := make(chan struct{})
	signal.Notify(caught, syscall.SIGINT, syscall.SIGTERM)
	go func() {
		select {
		case s := <-caught:
			fmt.Fprintf(stderr, "stoxgate: %s: stopping; a second signal stops at once\n", s)
			cancel()
		case <-done:
			return
		}
		select {
		case <-caught:
			exit(exitInterrupted)
		case <-done:
		}
	}()
	return ctx, func() {
		signal.Stop(caught)
		close(done)
		cancel()
	}
}

// run parses the command line and runs the command; it returns the exit code.
func run(args []string, p *program) (code int) {
	var commands cli
	parser, err := newParser(&commands, p)
	if err != nil {
		fmt.Fprintln(p.stderr, "stoxgate:", err)
		return exitFailed
	}
	defer func() {
		if v := recover(); v != nil {
			early, ok := v.(earlyExit)
			if !ok {
				panic(v)
			}
			code = int(early)
		}
	}()
	parsed, err := parser.Parse(args)
	if err != nil {
		fmt.Fprintf(p.stderr, "stoxgate: %v\n", err)
		var wrong *kong.ParseError
		if errors.As(err, &wrong) && wrong.Context != nil && wrong.Context.Selected() != nil {
			fmt.Fprintf(p.stderr, "Run \"stoxgate %s --help\" for help.\n", wrong.Context.Selected().Path())
		} else {
			fmt.Fprintln(p.stderr, "Run \"stoxgate --help\" for help.")
		}
		return exitUsage
	}
	p.model = parser.Model
	return p.exit(parsed.Run(p))
}

// earlyExit carries an exit code out of kong, which ends the program itself
// after --help.
type earlyExit int

func newParser(commands *cli, p *program) (*kong.Kong, error) {
	return kong.New(commands,
		kong.Name("stoxgate"),
		kong.Description("Gateway between XMPP and SIP.\n\n"+exitHelp),
		kong.Writers(p.stdout, p.stderr),
		kong.Exit(func(code int) { panic(earlyExit(code)) }),
		kong.ConfigureHelp(kong.HelpOptions{Compact: true, NoExpandSubcommands: true, NoAppDescFormat: true, WrapUpperBound: 100}),
		kong.Vars{"config": defaultConfig},
	)
}

// exit reports err and chooses the exit code that belongs to it.
func (p *program) exit(err error) int {
	var silent silentError
	switch {
	case err == nil, errors.Is(err, context.Canceled) && p.ctx.Err() != nil:
		return exitOK
	case errors.As(err, &silent):
		return silent.code
	case config.IsInvalid(err):
		fmt.Fprintln(p.stderr, err) // one line for each problem, with file and line
		return exitConfig
	}
	fmt.Fprintf(p.stderr, "stoxgate: %v\n", err)
	switch {
	case errors.Is(err, os.ErrNotExist) && errors.Is(err, errConfigFile):
		return exitConfig
	case errors.Is(err, console.ErrUnreachable), errors.Is(err, console.ErrUnauthorized):
		return exitUnreachable
	case errors.Is(err, console.ErrNotFound), errors.Is(err, console.ErrConflict), errors.Is(err, console.ErrInvalid):
		return exitRefused
	}
	return exitFailed
}

// silentError ends the program with a code when everything has been said.
type silentError struct{ code int }

func (silentError) Error() string { return "failed" }
