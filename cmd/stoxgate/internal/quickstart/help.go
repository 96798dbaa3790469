package quickstart

import (
	_ "embed"
	"io"
	"net"
	"strconv"
	"text/tabwriter"
	"text/template"
)

//go:embed templates/help.txt.tmpl
var helpText string

var help = template.Must(template.New("help").Parse(helpText))

// printHelp tells what to type into a Jabber client and a SIP phone.
func printHelp(w io.Writer, s *setup, o Options) error {
	columns := tabwriter.NewWriter(w, 0, 0, 3, ' ', 0)
	err := help.Execute(columns, map[string]any{
		"Console": s.consoleAddress(), "Config": s.gatewayFile(), "Dir": o.Dir,
		"Domain": s.domain, "Component": s.component(), "Address": s.address, "Port": strconv.Itoa(s.Ports.Client),
		"SIP": net.JoinHostPort(s.address, strconv.Itoa(s.Ports.SIP)), "UsualSIP": s.Ports.SIP == 5060,
		"Accounts": s.Accounts, "Phones": s.Phones,
	})
	if err != nil {
		return err
	}
	return columns.Flush()
}
