package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"strings"

	"github.com/stoxgate/stoxgate/cmd/stoxgate/internal/config"
	"github.com/stoxgate/stoxgate/cmd/stoxgate/internal/console"
	"github.com/stoxgate/stoxgate/interwork/identity"
)

// identityCmd changes the identity table: through the API of the running
// gateway, or in the database itself when no gateway answers.
type identityCmd struct {
	Add    identityAddCmd    `cmd:"" help:"Add an identity."`
	Update identityUpdateCmd `cmd:"" help:"Change an identity."`
	List   identityListCmd   `cmd:"" help:"List identities."`
	Show   identityShowCmd   `cmd:"" help:"Show one identity."`
	Remove identityRemoveCmd `cmd:"" help:"Remove identities."`
	Import identityImportCmd `cmd:"" help:"Add and update identities from CSV."`
	Export identityExportCmd `cmd:"" help:"Write all identities as CSV."`
}

func (identityCmd) Help() string {
	return `An identity is one person or one phone: a JID, SIP addresses and telephone numbers that belong
together, and what a phone logs in with. Changes take effect in the running gateway at once.

Examples:
  stoxgate identity add mira@chat.example --aor mira@sip.example.org --number +4930123456
  stoxgate identity add --aor otto@sip.example.org --generate-password
  stoxgate identity list otto
  stoxgate identity update otto@sip.example.org --name "Otto Quay"
  stoxgate identity export > identities.csv`
}

// table opens the identity table and returns how to close it.
func (f daemonFlags) table(p *program) (console.Identities, func(), error) {
	client, err := f.client(p)
	if err == nil {
		if err = client.Alive(p.ctx); err == nil {
			return client, client.Close, nil
		}
		client.Close()
	}
	if f.Console != "" || !errors.Is(err, console.ErrUnreachable) {
		return nil, nil, err
	}
	c, err := f.loadClient(p)
	if err != nil {
		return nil, nil, err
	}
	table, closeTable, err := openTable(p.ctx, c)
	if err != nil {
		return nil, nil, err
	}
	fmt.Fprintln(p.stderr, "no gateway answers at "+consoleName(c)+"; using the database itself")
	return table, closeTable, nil
}

func consoleName(c *config.Config) string {
	if c.HTTP.Listen.Off() {
		return "http.listen (off)"
	}
	return c.HTTP.Listen.String()
}

// identityFlags are the properties of an identity.
type identityFlags struct {
	AOR          []string `name:"aor" sep:"none" placeholder:"ADDRESS" help:"SIP address of record, user@domain; may be given several times. The first is how the person appears on SIP."`
	Number       []string `sep:"none" placeholder:"NUMBER" help:"Telephone number; may be given several times."`
	Name         string   `placeholder:"NAME" help:"Display name."`
	Trunk        string   `placeholder:"NAME" help:"Trunk that this identity prefers."`
	Password     string   `placeholder:"PASSWORD" xor:"password" help:"Password for phones. Other users of this machine can see it while the command runs."`
	PasswordFile string   `placeholder:"FILE" xor:"password" completion:"file" help:"File with the password; - is standard input."`
	Generate     bool     `name:"generate-password" xor:"password" help:"Make a password and print it."`
	CallOut      *bool    `negatable:"" help:"May send to the other side (default: yes)."`
	CallIn       *bool    `negatable:"" help:"May be reached from the other side (default: yes)."`
	ShowCallerID *bool    `name:"show-caller-id" negatable:"" help:"Others see the number (default: yes)."`
}

// password returns what the flags say, and whether it was made up here.
func (f identityFlags) password(p *program) (password string, generated bool, err error) {
	switch {
	case f.Generate:
		return identity.NewPassword(), true, nil
	case f.PasswordFile == "":
		return f.Password, false, nil
	}
	var data []byte
	if f.PasswordFile == "-" {
		data, err = io.ReadAll(io.LimitReader(p.stdin, 4096))
	} else {
		data, err = os.ReadFile(f.PasswordFile)
	}
	if err != nil {
		return "", false, fmt.Errorf("password: %w", err)
	}
	password = strings.TrimRight(string(data), "\r\n")
	if password == "" {
		return "", false, fmt.Errorf("%w: the password is empty", console.ErrInvalid)
	}
	return password, false, nil
}

type identityAddCmd struct {
	daemonFlags   `embed:""`
	JID           string `arg:"" optional:"" help:"Bare JID; leave it out for a phone only."`
	ID            string `name:"id" placeholder:"ID" help:"Name for the operator, and a user name for phones; default: made from the addresses."`
	identityFlags `embed:""`
	JSON          bool `name:"json" help:"Print the identity as JSON."`
}

func (c identityAddCmd) Run(p *program) error {
	password, generated, err := c.password(p)
	if err != nil {
		return err
	}
	table, done, err := c.table(p)
	if err != nil {
		return err
	}
	defer done()
	added, err := table.Add(p.ctx, console.IdentityInput{
		ID: c.ID, JID: c.JID, AORs: c.AOR, Numbers: c.Number, Name: c.Name, Trunk: c.Trunk, Password: password,
		CallOut: c.CallOut, CallIn: c.CallIn, ShowCallerID: c.ShowCallerID,
	})
	if err != nil {
		return err
	}
	return p.changed(added, "added", password, generated, c.JSON)
}

// changed tells what happened to an identity.
func (p *program) changed(id console.Identity, what, password string, generated, asJSON bool) error {
	if generated {
		fmt.Fprintf(p.stderr, "password: %s\n", password)
	}
	if asJSON {
		return json.NewEncoder(p.stdout).Encode(id)
	}
	_, err := fmt.Fprintf(p.stdout, "%s %s\n", what, id.ID)
	return err
}

type identityUpdateCmd struct {
	daemonFlags   `embed:""`
	ID            string `arg:"" help:"ID, or one of the addresses."`
	JID           string `name:"jid" placeholder:"JID" help:"New JID; - removes it."`
	identityFlags `embed:""`
	JSON          bool `name:"json" help:"Print the identity as JSON."`
}

func (identityUpdateCmd) Help() string {
	return "What is not given stays as it is; addresses and numbers that are given replace the old ones."
}

func (c identityUpdateCmd) Run(p *program) error {
	password, generated, err := c.password(p)
	if err != nil {
		return err
	}
	table, done, err := c.table(p)
	if err != nil {
		return err
	}
	defer done()
	old, err := table.Get(p.ctx, c.ID)
	if err != nil {
		return err
	}
	updated, err := table.Update(p.ctx, old.ID, c.input(old, password))
	if err != nil {
		return err
	}
	return p.changed(updated, "changed", password, generated, c.JSON)
}

// input puts the flags over what is there.
func (c identityUpdateCmd) input(old console.Identity, password string) console.IdentityInput {
	in := console.IdentityInput{
		JID: old.JID, AORs: old.AORs, Numbers: old.Numbers, Name: old.Name, Trunk: old.Trunk, Password: password,
		CallOut: &old.CallOut, CallIn: &old.CallIn, ShowCallerID: &old.ShowCallerID,
	}
	for given, field := range map[*string]*string{&c.JID: &in.JID, &c.Name: &in.Name, &c.Trunk: &in.Trunk} {
		switch *given {
		case "":
		case "-":
			*field = ""
		default:
			*field = *given
		}
	}
	if c.AOR != nil {
		in.AORs = c.AOR
	}
	if c.Number != nil {
		in.Numbers = c.Number
	}
	for given, field := range map[*bool]**bool{c.CallOut: &in.CallOut, c.CallIn: &in.CallIn, c.ShowCallerID: &in.ShowCallerID} {
		if given != nil {
			*field = given
		}
	}
	return in
}

type identityListCmd struct {
	daemonFlags `embed:""`
	Search      string `arg:"" optional:"" help:"Only identities with an address or name that contains this."`
	Limit       int    `default:"0" placeholder:"N" help:"At most N identities; default: all."`
	JSON        bool   `name:"json" help:"One JSON object a line."`
}

// pageSize is how many identities are asked for at a time.
const pageSize = 1000

func (c identityListCmd) Run(p *program) error {
	table, done, err := c.table(p)
	if err != nil {
		return err
	}
	defer done()
	t := newTable("ID", "JID", "SIP", "NUMBERS", "NAME", "LOGIN", "TRUNK")
	enc := json.NewEncoder(p.stdout)
	err = eachIdentity(p.ctx, table, c.Search, c.Limit, func(i console.Identity) error {
		if c.JSON {
			return enc.Encode(i)
		}
		t.row(i.ID, dash(i.JID), dash(strings.Join(i.AORs, " ")), dash(strings.Join(i.Numbers, " ")), dash(i.Name), yesNo(len(i.Logins) > 0), dash(i.Trunk))
		return nil
	})
	if err != nil || c.JSON {
		return err
	}
	return t.print(p.stdout)
}

// eachIdentity goes through the pages of a list; limit 0 means all.
func eachIdentity(ctx context.Context, table console.Identities, search string, limit int, visit func(console.Identity) error) error {
	left := limit
	for after := ""; ; {
		n := pageSize
		if limit > 0 {
			n = min(n, left)
		}
		page, err := table.List(ctx, console.IdentityQuery{Search: search, After: after, Limit: n})
		if err != nil {
			return err
		}
		for _, i := range page.Identities {
			if err := visit(i); err != nil {
				return err
			}
		}
		left -= len(page.Identities)
		if page.Next == "" || limit > 0 && left <= 0 {
			return nil
		}
		after = page.Next
	}
}

func yesNo(b bool) string {
	if b {
		return "yes"
	}
	return "no"
}

func dash(s string) string {
	if s == "" {
		return "-"
	}
	return s
}

type identityShowCmd struct {
	daemonFlags `embed:""`
	ID          string `arg:"" help:"ID, or one of the addresses."`
	JSON        bool   `name:"json" help:"Print it as JSON."`
}

func (c identityShowCmd) Run(p *program) error {
	table, done, err := c.table(p)
	if err != nil {
		return err
	}
	defer done()
	i, err := table.Get(p.ctx, c.ID)
	if err != nil {
		return err
	}
	if c.JSON {
		return json.NewEncoder(p.stdout).Encode(i)
	}
	t := newTable("id", i.ID)
	t.row("JID", dash(i.JID))
	t.row("SIP", dash(strings.Join(i.AORs, " ")))
	t.row("numbers", dash(strings.Join(i.Numbers, " ")))
	t.row("name", dash(i.Name))
	t.row("phones log in as", dash(strings.Join(i.Logins, " ")))
	t.row("trunk", dash(i.Trunk))
	t.row("may send", yesNo(i.CallOut))
	t.row("may be reached", yesNo(i.CallIn))
	t.row("number is shown", yesNo(i.ShowCallerID))
	return t.print(p.stdout)
}

type identityRemoveCmd struct {
	daemonFlags `embed:""`
	ID          []string `arg:"" help:"IDs, or addresses."`
}

func (c identityRemoveCmd) Run(p *program) error {
	table, done, err := c.table(p)
	if err != nil {
		return err
	}
	defer done()
	var failed []error
	for _, id := range c.ID {
		i, err := table.Get(p.ctx, id)
		if err == nil {
			err = table.Remove(p.ctx, i.ID)
		}
		if err != nil {
			failed = append(failed, err)
			continue
		}
		fmt.Fprintf(p.stdout, "removed %s\n", i.ID)
	}
	return errors.Join(failed...)
}

type identityImportCmd struct {
	daemonFlags `embed:""`
	File        string `arg:"" optional:"" default:"-" completion:"file" help:"CSV file; - is standard input (${default})."`
	DryRun      bool   `short:"d" help:"Only tell what would be done."`
}

func (identityImportCmd) Help() string {
	return `The first line names the columns, as "stoxgate identity export" writes them. A line whose id
is known updates that identity, every other line adds one. When one line is wrong, none counts.`
}

func (c identityImportCmd) Run(p *program) error {
	in := p.stdin
	if c.File != "-" {
		f, err := os.Open(c.File)
		if err != nil {
			return err
		}
		defer f.Close()
		in = f
	}
	table, done, err := c.table(p)
	if err != nil {
		return err
	}
	defer done()
	result, err := table.Import(p.ctx, in, c.DryRun)
	if err != nil {
		return err
	}
	_, err = fmt.Fprintf(p.stdout, "added %d, updated %d, unchanged %d\n", result.Added, result.Updated, result.Unchanged)
	return err
}

type identityExportCmd struct {
	daemonFlags `embed:""`
	File        string `arg:"" optional:"" default:"-" completion:"file" help:"CSV file; - is standard output (${default})."`
}

func (c identityExportCmd) Run(p *program) (err error) {
	table, done, err := c.table(p)
	if err != nil {
		return err
	}
	defer done()
	if c.File == "-" {
		return table.Export(p.ctx, p.stdout)
	}
	// The file holds digest hashes: nobody else may read it.
	f, err := os.OpenFile(c.File, os.O_WRONLY|os.O_CREATE|os.O_TRUNC, 0o600)
	if err != nil {
		return err
	}
	defer func() {
		if e := f.Close(); err == nil {
			err = e
		}
	}()
	return table.Export(p.ctx, f)
}
