package main

import "github.com/stoxgate/stoxgate/cmd/stoxgate/internal/quickstart"

// quickstartCmd brings up everything on this machine, to be tried with clients
// of one's own.
type quickstartCmd struct {
	Dir     string `default:".run" placeholder:"DIR" completion:"file" help:"Folder for everything (${default}); it can be deleted at any moment."`
	Address string `default:"127.0.0.1" placeholder:"IP" help:"Address to listen on (${default})."`
	Domain  string `default:"localhost" placeholder:"DOMAIN" help:"Domain of the Jabber accounts (${default})."`
}

func (quickstartCmd) Help() string {
	return `Installs Prosody when it is missing (Debian), configures it and a gateway, makes two Jabber
accounts and two phones, starts everything and tells what to type into clients. Ctrl-C stops it.

Examples:
  stoxgate quickstart
  stoxgate quickstart --address 192.0.2.10   for clients on other machines`
}

func (c quickstartCmd) Run(p *program) error {
	return quickstart.Run(p.ctx, quickstart.Options{Dir: c.Dir, Address: c.Address, Domain: c.Domain, Out: p.stdout})
}
