package main

import "github.com/stoxgate/stoxgate/cmd/stoxgate/internal/demo"

// demoCmd shows a message each way without anything installed: an XMPP server
// with a user, a SIP phone and the gateway, all in this process.
type demoCmd struct {
	ASCII bool `name:"ascii" help:"Draw with ASCII characters only."`
	Width int  `short:"w" placeholder:"COLUMNS" help:"Width of the ladders; default: that of the terminal, else 120."`
	Log   bool `help:"Show the log of the gateway on standard error."`
}

func (demoCmd) Help() string {
	return `Every step is checked; the exit code is 1 when one fails.

Examples:
  stoxgate demo
  stoxgate demo --ascii --width 80`
}

func (c demoCmd) Run(p *program) error {
	if c.Width <= 0 {
		c.Width = terminalWidth(p.stdout, p.env)
	}
	o := demo.Options{Out: p.stdout, ASCII: c.ASCII, Width: c.Width, Version: readBuild().version}
	if c.Log {
		o.Log = p.stderr
	}
	return demo.Run(p.ctx, o)
}
