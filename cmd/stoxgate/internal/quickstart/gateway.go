package quickstart

import (
	"bytes"
	"context"
	_ "embed"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"path/filepath"
	"strings"
	"text/template"
	"time"
)

//go:embed templates/stoxgate.yaml.tmpl
var gatewayText string

var gatewayConfig = template.Must(template.New("stoxgate.yaml").Parse(gatewayText))

func (s *setup) gatewayFile() string { return filepath.Join(s.dir, "stoxgate.yaml") }

// gateway is the gateway as a child.
func (s *setup) gateway(program string) *child {
	return newChild("stoxgate", filepath.Join(s.dir, "stoxgate.log"), s.dir, program, "serve", "--config", s.gatewayFile())
}

func writeGateway(s *setup, _ Options) error {
	var b strings.Builder
	err := gatewayConfig.Execute(&b, map[string]any{
		"ComponentAddress": s.componentAddress(), "Component": s.component(), "Secret": s.Secret,
		"SIP": s.sipAddress(), "Console": s.consoleAddress(), "Address": s.address, "MediaPorts": mediaPorts,
	})
	if err != nil {
		return fmt.Errorf("quickstart: configuration of stoxgate: %w", err)
	}
	return writePrivate(s.gatewayFile(), b.String())
}

// mediaPorts are enough for 50 calls, and few enough to be opened in a firewall.
const mediaPorts = "20000-20199"

// phoneDir is the folder of baresip, which adds the rest of its configuration to the account.
func (s *setup) phoneDir() string { return filepath.Join(s.dir, "baresip") }

func writePhone(s *setup, _ Options) error {
	p := s.Phones[0]
	return writePrivate(filepath.Join(s.phoneDir(), "accounts"),
		fmt.Sprintf("<%s>;auth_pass=%s;outbound=\"sip:%s;transport=tcp\"\n", s.sipURI(p.Name), p.Password, s.sipAddress()))
}

// identity is an entry of the gateway's table, as its API takes it.
type identity struct {
	JID      string   `json:"jid,omitempty"`
	AORs     []string `json:"aors"`
	Name     string   `json:"name"`
	Password string   `json:"password,omitempty"`
}

// identities are the people here: those with a Jabber account have a SIP address
// too, at which phones reach them; those with a phone have its password.
func (s *setup) identities() []identity {
	var ids []identity
	for _, a := range s.Accounts {
		ids = append(ids, identity{JID: a.Name + "@" + s.domain, AORs: []string{s.sipURI(a.Name)}, Name: title(a.Name)})
	}
	for _, p := range s.Phones {
		ids = append(ids, identity{AORs: []string{s.sipURI(p.Name)}, Name: title(p.Name), Password: p.Password})
	}
	return ids
}

func (s *setup) sipURI(name string) string { return "sip:" + name + "@" + s.component() }

func title(name string) string { return strings.ToUpper(name[:1]) + name[1:] }

// api is the gateway's HTTP side.
type api struct {
	base   string
	client http.Client
}

func newAPI(address string) *api {
	return &api{base: "http://" + address, client: http.Client{
		Timeout: 10 * time.Second, Transport: &http.Transport{DisableKeepAlives: true},
	}}
}

var errConflict = errors.New("address is taken")

func (a *api) ready(ctx context.Context) error {
	_, err := a.call(ctx, http.MethodGet, "/readyz", nil)
	return err
}

// put adds an identity, or brings the one that has its address up to date.
func (a *api) put(ctx context.Context, id identity) error {
	data, err := json.Marshal(id)
	if err != nil {
		return fmt.Errorf("quickstart: %w", err)
	}
	if _, err = a.call(ctx, http.MethodPost, "/api/v1/identities", data); err == nil || !errors.Is(err, errConflict) {
		return err
	}
	found, err := a.call(ctx, http.MethodGet, "/api/v1/identities/"+url.PathEscape(id.AORs[0]), nil)
	if err != nil {
		return err
	}
	var have struct {
		ID string `json:"id"`
	}
	if err := json.Unmarshal(found, &have); err != nil {
		return fmt.Errorf("quickstart: identity %s: %w", id.AORs[0], err)
	}
	_, err = a.call(ctx, http.MethodPut, "/api/v1/identities/"+url.PathEscape(have.ID), data)
	return err
}

func (a *api) call(ctx context.Context, method, path string, body []byte) ([]byte, error) {
	r, err := http.NewRequestWithContext(ctx, method, a.base+path, bytes.NewReader(body))
	if err != nil {
		return nil, fmt.Errorf("quickstart: %w", err)
	}
	if body != nil {
		r.Header.Set("Content-Type", "application/json")
	}
	answer, err := a.client.Do(r)
	if err != nil {
		return nil, fmt.Errorf("quickstart: %w", err)
	}
	defer answer.Body.Close()
	data, err := io.ReadAll(io.LimitReader(answer.Body, 1<<20))
	if err != nil {
		return nil, fmt.Errorf("quickstart: %w", err)
	}
	switch {
	case answer.StatusCode == http.StatusConflict:
		return nil, fmt.Errorf("quickstart: %w: %s", errConflict, bytes.TrimSpace(data))
	case answer.StatusCode >= 300:
		return nil, fmt.Errorf("quickstart: %s %s: %s: %s", method, path, answer.Status, bytes.TrimSpace(data))
	}
	return data, nil
}
