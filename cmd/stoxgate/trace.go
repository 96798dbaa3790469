package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"strconv"
	"strings"
	"time"

	"github.com/stoxgate/stoxgate/cmd/stoxgate/internal/console"
	"github.com/stoxgate/stoxgate/interwork/journal"
)

// daemonFlags say where the running gateway is.
type daemonFlags struct {
	configFlag `embed:""`
	Console    string `placeholder:"HOST:PORT" help:"Console of the gateway; default: http.listen of the configuration."`
	Token      string `env:"STOXGATE_TOKEN" placeholder:"TOKEN" help:"Token of the console (environment ${env}); default: http.token of the configuration."`
}

// client makes a client for the gateway's console.
func (f daemonFlags) client(p *program) (*console.Client, error) {
	if f.Console != "" {
		return console.NewClient(f.Console, f.Token), nil
	}
	c, err := f.loadClient(p)
	if err != nil {
		return nil, err
	}
	if c.HTTP.Listen.Off() {
		return nil, fmt.Errorf("%w: http.listen is off in %s", console.ErrUnreachable, f.Config)
	}
	token := string(c.HTTP.Token)
	if f.Token != "" {
		token = f.Token
	}
	return console.NewClient(c.HTTP.Listen.String(), token), nil
}

// traceCmd draws what the journal of a running gateway holds.
type traceCmd struct {
	daemonFlags `embed:""`
	Flow        string `arg:"" optional:"" help:"Draw this flow and end; default: follow everything."`
	List        bool   `short:"l" help:"List the latest flows and end."`
	Recent      int    `short:"n" default:"0" placeholder:"N" help:"Begin with the last N entries; with --list, the number of flows (20)."`
	Raw         bool   `short:"r" help:"Show the messages too. Bodies are blanked unless trace.raw is on."`
	ASCII       bool   `name:"ascii" help:"Draw with ASCII characters only."`
	JSON        bool   `name:"json" help:"One JSON object a line instead of a drawing."`
	Width       int    `short:"w" placeholder:"COLUMNS" help:"Width of the drawing; default: that of the terminal, else 120."`
}

func (traceCmd) Help() string {
	return `Examples:
  stoxgate trace                      follow all messages
  stoxgate trace -n 50 --raw          begin with the last 50 entries, show the messages
  stoxgate trace --list               what happened lately
  stoxgate trace m-K3F9-1             the ladder of one flow
  stoxgate trace --json | jq .flow    for programs`
}

// reconnectAfter is the pause before a lost stream is opened again.
const reconnectAfter = time.Second

func (c traceCmd) Run(p *program) error {
	client, err := c.client(p)
	if err != nil {
		return err
	}
	defer client.Close()
	switch {
	case c.List:
		return c.list(p, client)
	case c.Flow != "":
		return c.draw(p, client)
	default:
		return c.follow(p, client)
	}
}

func (c traceCmd) list(p *program, client *console.Client) error {
	n := c.Recent
	if n <= 0 {
		n = 20
	}
	flows, err := client.Flows(p.ctx, n)
	if err != nil {
		return err
	}
	if c.JSON {
		enc := json.NewEncoder(p.stdout)
		for _, f := range flows {
			if err := enc.Encode(f); err != nil {
				return err
			}
		}
		return nil
	}
	t := newTable("FLOW", "TIME", "STEPS", "WHO", "WHAT", "LAST")
	for _, f := range flows {
		t.row(f.ID, f.Start.Local().Format("15:04:05"), strconv.Itoa(f.Entries), strings.Join(f.Peers, " "), f.Summary, f.Last)
	}
	return t.print(p.stdout)
}

func (c traceCmd) options(p *program) journal.LadderOptions {
	width := c.Width
	if width <= 0 {
		width = terminalWidth(p.stdout, p.env)
	}
	return journal.LadderOptions{Width: width, ASCII: c.ASCII}
}

func (c traceCmd) draw(p *program, client *console.Client) error {
	entries, err := client.Flow(p.ctx, c.Flow)
	if err != nil {
		return err
	}
	if c.JSON {
		return c.rows(p, entries)
	}
	if _, err := fmt.Fprint(p.stdout, journal.Ladder(entries, c.options(p))); err != nil {
		return err
	}
	for i := range entries {
		c.raw(p, &entries[i])
	}
	return nil
}

func (c traceCmd) rows(p *program, entries []journal.Entry) error {
	enc := json.NewEncoder(p.stdout)
	for i := range entries {
		if err := enc.Encode(entries[i].Row()); err != nil {
			return err
		}
	}
	return nil
}

// raw prints a message under its arrow.
func (c traceCmd) raw(p *program, e *journal.Entry) {
	if !c.Raw || len(e.Message) == 0 {
		return
	}
	fmt.Fprintf(p.stdout, "--- %s %s -> %s\n%s\n", e.At.Local().Format("15:04:05.000"), e.From, e.To, printable(e.Message))
}

// follow draws until it is stopped; it waits for a gateway that restarts.
func (c traceCmd) follow(p *program, client *console.Client) error {
	view := journal.NewLive(c.options(p))
	var broken error // of writing, which ends everything
	headed, connected := false, false
	from := console.Following{Recent: c.Recent, Raw: c.Raw, Opened: func() { connected = true }}
	ctx, cancel := context.WithCancel(p.ctx)
	defer cancel()
	show := func(e journal.Entry) {
		from.After = e.Seq
		if c.JSON {
			broken = c.rows(p, []journal.Entry{e})
		} else {
			e.At = e.At.Local()
			text := view.Draw(e)
			if !headed {
				text, headed = view.Heading()+text, true
			}
			_, broken = fmt.Fprint(p.stdout, text)
			c.raw(p, &e)
		}
		if broken != nil {
			cancel()
		}
	}
	lost := func(n int) { fmt.Fprintf(p.stderr, "stoxgate: %d entries were too fast for this terminal\n", n) }
	for {
		err := client.Follow(ctx, from, show, lost)
		switch {
		case broken != nil:
			return broken
		case ctx.Err() != nil:
			return ctx.Err()
		case !connected, errors.Is(err, console.ErrUnauthorized):
			return err
		case !errors.Is(err, console.ErrUnreachable): // that was said when the stream ended
			fmt.Fprintln(p.stderr, "stoxgate: the gateway is gone; waiting for it to come back")
		}
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-time.After(reconnectAfter):
		}
	}
}

// printable keeps line ends and replaces what could steer a terminal.
func printable(message []byte) string {
	return strings.Map(func(r rune) rune {
		switch {
		case r == '\r':
			return -1
		case r == '\n' || r == '\t':
			return r
		case r < 0x20 || r >= 0x7f && r < 0xa0 || r >= 0x200e && r <= 0x200f || r >= 0x202a && r <= 0x202e || r >= 0x2066 && r <= 0x2069:
			return '\uFFFD'
		}
		return r
	}, string(message))
}
