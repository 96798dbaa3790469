package interwork

import (
	"context"
	"fmt"
	"net"
	"time"

	"github.com/miekg/dns"

	"github.com/stoxgate/stoxgate/interwork/identity"
	"github.com/stoxgate/stoxgate/mapping"
)

// enumTimeout bounds one question to one server: a message waits for the answer.
const enumTimeout = 2 * time.Second

// enumDNS asks DNS servers for the NAPTR records of telephone numbers (RFC 6116).
type enumDNS struct{ servers []string }

// NewENUM makes a look-up of numbers in the DNS; servers are address:port, none means
// those of the system.
func NewENUM(servers []string) (identity.ENUM, error) {
	if len(servers) == 0 {
		conf, err := dns.ClientConfigFromFile("/etc/resolv.conf")
		if err != nil {
			return nil, fmt.Errorf("interwork: enum: %w", err)
		}
		for _, s := range conf.Servers {
			servers = append(servers, net.JoinHostPort(s, conf.Port))
		}
	}
	return enumDNS{servers}, nil
}

// NAPTR implements identity.ENUM.
func (e enumDNS) NAPTR(ctx context.Context, name string) ([]mapping.NAPTR, error) {
	question := new(dns.Msg).SetQuestion(dns.Fqdn(name), dns.TypeNAPTR)
	question.SetEdns0(1232, false)
	err := fmt.Errorf("interwork: enum: no DNS server")
	for _, server := range e.servers {
		var answer *dns.Msg
		if answer, err = e.ask(ctx, question, server); err == nil {
			return naptrRecords(answer), nil
		}
	}
	return nil, err
}

func (e enumDNS) ask(ctx context.Context, question *dns.Msg, server string) (*dns.Msg, error) {
	for _, network := range []string{"udp", "tcp"} {
		client := dns.Client{Net: network, Timeout: enumTimeout}
		answer, _, err := client.ExchangeContext(ctx, question, server)
		switch {
		case err != nil:
			return nil, fmt.Errorf("interwork: enum: %w", err)
		case answer.Truncated && network == "udp":
			continue
		case answer.Rcode != dns.RcodeSuccess && answer.Rcode != dns.RcodeNameError:
			return nil, fmt.Errorf("interwork: enum: %s says %s", server, dns.RcodeToString[answer.Rcode])
		}
		return answer, nil
	}
	return nil, fmt.Errorf("interwork: enum: %s cuts its answer short", server)
}

func naptrRecords(answer *dns.Msg) (list []mapping.NAPTR) {
	for _, rr := range answer.Answer {
		if n, ok := rr.(*dns.NAPTR); ok {
			list = append(list, mapping.NAPTR{
				Order: n.Order, Preference: n.Preference, Flags: n.Flags, Services: n.Service, Regexp: n.Regexp, Replacement: n.Replacement,
			})
		}
	}
	return list
}
