package main

import (
	"errors"
	"fmt"

	"github.com/alecthomas/kong"

	"github.com/stoxgate/stoxgate/cmd/stoxgate/internal/config"
)

// cli is the grammar of the command line.
type cli struct {
	Serve      serveCmd      `cmd:"" help:"Run the gateway."`
	Demo       demoCmd       `cmd:"" help:"Show the gateway at work: an XMPP server, a phone and the gateway in one process."`
	Quickstart quickstartCmd `cmd:"" help:"Set up and run a Jabber server, the gateway, accounts and phones on this machine."`
	Check      checkCmd      `cmd:"" help:"Check the configuration and probe both sides."`
	Identity   identityCmd   `cmd:"" help:"List and change identities: who is who on both sides."`
	Calls      callsCmd      `cmd:"" help:"List calls: who spoke with whom, when, and how it sounded."`
	Translate  translateCmd  `cmd:"" help:"Translate one stanza or one SIP message from standard input."`
	Trace      traceCmd      `cmd:"" help:"Watch the messages of a running gateway as a ladder."`
	Config     configCmd     `cmd:"" help:"Print the reference or an example of the configuration file."`
	Version    versionCmd    `cmd:"" help:"Print the version."`
	Completion completionCmd `cmd:"" help:"Print a completion script for a shell."`
}

const defaultConfig = "stoxgate.yaml"

// configFlag is the flag of the commands that need the configuration.
type configFlag struct {
	Config string `short:"c" default:"${config}" env:"STOXGATE_CONFIG" placeholder:"FILE" completion:"file" help:"Configuration file (${default}, environment ${env})."`
}

// errConfigFile marks errors of reading the file itself.
var errConfigFile = errors.New("configuration file")

// explain says what to do about an error of reading the file.
func (f configFlag) explain(err error) error {
	if config.IsInvalid(err) {
		return err
	}
	return fmt.Errorf("%w: %w; \"stoxgate config example\" prints one to begin with", errConfigFile, err)
}

// loadClient reads the configuration for commands that only look for the
// running gateway. Variables that are set for the service, and not in the shell
// of whoever gives a command, are not missed then.
func (f configFlag) loadClient(p *program) (*config.Config, error) {
	c, err := config.Load(f.Config, p.env)
	if err == nil {
		return c, nil
	}
	lenient, again := config.Load(f.Config, func(name string) (string, bool) {
		if v, ok := p.env(name); ok {
			return v, true
		}
		return "not-set-in-this-environment", true
	})
	if again == nil {
		return lenient, nil
	}
	return nil, f.explain(err)
}

// configCmd prints what the program knows about its configuration file.
type configCmd struct {
	Reference configReferenceCmd `cmd:"" help:"Print the reference of all keys, in Markdown."`
	Example   configExampleCmd   `cmd:"" help:"Print an annotated example."`
}

type configReferenceCmd struct{}

func (configReferenceCmd) Run(p *program) error {
	_, err := fmt.Fprint(p.stdout, config.Reference())
	return err
}

type configExampleCmd struct{}

func (configExampleCmd) Help() string {
	return `Examples:
  stoxgate config example > stoxgate.yaml`
}

func (configExampleCmd) Run(p *program) error {
	_, err := fmt.Fprint(p.stdout, config.Example())
	return err
}

var _ kong.HelpProvider = configExampleCmd{}
