package console

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
	"strconv"
	"strings"
	"time"

	"github.com/stoxgate/stoxgate/interwork/journal"
)

// Errors of a Client besides ErrNotFound, ErrConflict and ErrInvalid.
var (
	// ErrUnreachable means that nobody answers at the address of the console.
	ErrUnreachable = errors.New("no gateway answers")
	// ErrUnauthorized means that the token is missing or wrong.
	ErrUnauthorized = errors.New("the gateway does not accept the token")
)

// Client talks to the API of a running gateway. It implements Identities.
type Client struct {
	base  string
	token string
	http  *http.Client
}

// dialTimeout is short: the console is on this machine or near it.
const dialTimeout = 3 * time.Second

// NewClient makes a client for the console at address, host:port. An
// unspecified address, which a daemon may listen on, is reached at loopback.
func NewClient(address, token string) *Client {
	if host, port, err := net.SplitHostPort(address); err == nil {
		switch host {
		case "", "::":
			address = net.JoinHostPort("::1", port)
		case "0.0.0.0":
			address = net.JoinHostPort("127.0.0.1", port)
		}
	}
	dialer := &net.Dialer{Timeout: dialTimeout}
	return &Client{
		base: "http://" + address, token: token,
		http: &http.Client{Transport: &http.Transport{Proxy: nil, DialContext: dialer.DialContext, ResponseHeaderTimeout: 5 * time.Minute}},
	}
}

// Close lets go of idle connections.
func (c *Client) Close() { c.http.CloseIdleConnections() }

// do sends one request. The caller closes the body of the response.
func (c *Client) do(ctx context.Context, method, path, media string, body io.Reader, header ...string) (*http.Response, error) {
	req, err := http.NewRequestWithContext(ctx, method, c.base+path, body)
	if err != nil {
		return nil, fmt.Errorf("console: %w", err)
	}
	if c.token != "" {
		req.Header.Set("Authorization", "Bearer "+c.token)
	}
	if media != "" {
		req.Header.Set("Content-Type", media)
	}
	for i := 0; i+1 < len(header); i += 2 {
		req.Header.Set(header[i], header[i+1])
	}
	res, err := c.http.Do(req)
	if err != nil {
		if ctx.Err() != nil {
			return nil, ctx.Err()
		}
		var noise *url.Error // repeats the address
		if errors.As(err, &noise) {
			err = noise.Err
		}
		return nil, fmt.Errorf("%w at %s: %w", ErrUnreachable, c.base, err)
	}
	if res.StatusCode/100 == 2 {
		return res, nil
	}
	defer res.Body.Close()
	return nil, responseError(res)
}

// responseError makes the error that the console was given out of its answer.
func responseError(res *http.Response) error {
	var p Problem
	data, _ := io.ReadAll(io.LimitReader(res.Body, maxBody))
	if json.Unmarshal(data, &p) != nil || p.Detail == "" {
		p.Detail = res.Status
	}
	var kind error
	switch res.StatusCode {
	case http.StatusUnauthorized:
		return ErrUnauthorized
	case http.StatusNotFound:
		kind = ErrNotFound
	case http.StatusConflict:
		kind = ErrConflict
	case http.StatusUnprocessableEntity, http.StatusBadRequest, http.StatusRequestEntityTooLarge:
		kind = ErrInvalid
	default:
		return fmt.Errorf("console: %s", p.Detail)
	}
	return remote{kind, p.Detail}
}

// remote is an error of a source on the other side; its text was made there.
type remote struct {
	kind   error
	detail string
}

func (r remote) Error() string { return r.detail }
func (r remote) Unwrap() error { return r.kind }

// json sends in as JSON, unless it is nil, and reads the answer into out.
func (c *Client) json(ctx context.Context, method, path string, in, out any) error {
	var body io.Reader
	media := ""
	if in != nil {
		data, err := json.Marshal(in)
		if err != nil {
			return fmt.Errorf("console: %w", err)
		}
		body, media = bytes.NewReader(data), "application/json"
	}
	res, err := c.do(ctx, method, path, media, body)
	if err != nil {
		return err
	}
	defer res.Body.Close()
	if out == nil {
		return nil
	}
	if err := json.NewDecoder(res.Body).Decode(out); err != nil {
		return fmt.Errorf("console: answer to %s %s: %w", method, path, err)
	}
	return nil
}

// Alive asks /healthz.
func (c *Client) Alive(ctx context.Context) error {
	res, err := c.do(ctx, http.MethodGet, healthPath, "", nil)
	if err != nil {
		return err
	}
	return res.Body.Close()
}

// Status asks for the state of the gateway.
func (c *Client) Status(ctx context.Context) (r Report, err error) {
	return r, c.json(ctx, http.MethodGet, apiPath+"/status", nil, &r)
}

// List implements Identities.
func (c *Client) List(ctx context.Context, q IdentityQuery) (page IdentityPage, err error) {
	v := url.Values{}
	if q.Search != "" {
		v.Set("search", q.Search)
	}
	if q.After != "" {
		v.Set("after", q.After)
	}
	if q.Limit > 0 {
		v.Set("limit", strconv.Itoa(q.Limit))
	}
	return page, c.json(ctx, http.MethodGet, apiPath+"/identities?"+v.Encode(), nil, &page)
}

func identityPath(id string) string { return apiPath + "/identities/" + url.PathEscape(id) }

// Get implements Identities.
func (c *Client) Get(ctx context.Context, id string) (out Identity, err error) {
	return out, c.json(ctx, http.MethodGet, identityPath(id), nil, &out)
}

// Add implements Identities.
func (c *Client) Add(ctx context.Context, in IdentityInput) (out Identity, err error) {
	return out, c.json(ctx, http.MethodPost, apiPath+"/identities", in, &out)
}

// Update implements Identities.
func (c *Client) Update(ctx context.Context, id string, in IdentityInput) (out Identity, err error) {
	return out, c.json(ctx, http.MethodPut, identityPath(id), in, &out)
}

// Remove implements Identities.
func (c *Client) Remove(ctx context.Context, id string) error {
	return c.json(ctx, http.MethodDelete, identityPath(id), nil, nil)
}

// Import implements Identities.
func (c *Client) Import(ctx context.Context, csv io.Reader, dryRun bool) (out ImportResult, err error) {
	res, err := c.do(ctx, http.MethodPost, importPath+"?dry_run="+strconv.FormatBool(dryRun), mediaCSV, csv)
	if err != nil {
		return out, err
	}
	defer res.Body.Close()
	if err := json.NewDecoder(res.Body).Decode(&out); err != nil {
		return out, fmt.Errorf("console: answer to the import: %w", err)
	}
	return out, nil
}

// Export implements Identities.
func (c *Client) Export(ctx context.Context, csv io.Writer) error {
	res, err := c.do(ctx, http.MethodGet, importPath, "", nil)
	if err != nil {
		return err
	}
	defer res.Body.Close()
	if _, err := io.Copy(csv, res.Body); err != nil {
		return fmt.Errorf("console: export: %w", err)
	}
	return nil
}

// Flow returns what the journal keeps of one flow.
func (c *Client) Flow(ctx context.Context, id string) ([]journal.Entry, error) {
	var rows []journal.Row
	if err := c.json(ctx, http.MethodGet, apiPath+"/flows/"+url.PathEscape(id), nil, &rows); err != nil {
		return nil, err
	}
	entries := make([]journal.Entry, len(rows))
	for i := range rows {
		entries[i] = rows[i].Entry()
	}
	return entries, nil
}

// Flows returns the n flows that were active last.
func (c *Client) Flows(ctx context.Context, n int) (flows []journal.FlowInfo, err error) {
	return flows, c.json(ctx, http.MethodGet, apiPath+"/flows?limit="+strconv.Itoa(n), nil, &flows)
}

// Following says which part of the journal to follow.
type Following struct {
	Flow   string // only this one
	Recent int    // begin with as many entries of the past
	Raw    bool   // with the messages
	After  uint64 // begin after this entry instead; 0: not
	Opened func() // called when the stream stands; may be nil
}

// maxEvent bounds one line of the stream.
const maxEvent = 4 << 20

// Follow calls entry for every entry as it comes and dropped when some were
// lost, until ctx ends or the stream does: nil then, for the gateway has shut
// down; an error when the connection failed.
func (c *Client) Follow(ctx context.Context, f Following, entry func(journal.Entry), dropped func(n int)) error {
	v := url.Values{"raw": {strconv.FormatBool(f.Raw)}}
	if f.Flow != "" {
		v.Set("flow", f.Flow)
	}
	if f.Recent > 0 {
		v.Set("recent", strconv.Itoa(f.Recent))
	}
	var header []string
	if f.After > 0 {
		header = []string{"Last-Event-ID", strconv.FormatUint(f.After, 10)}
	}
	res, err := c.do(ctx, http.MethodGet, apiPath+"/journal/live?"+v.Encode(), "", nil, header...)
	if err != nil {
		return err
	}
	defer res.Body.Close()
	if f.Opened != nil {
		f.Opened()
	}
	err = readEvents(res.Body, func(event, data string) error {
		switch event {
		case "entry":
			var row journal.Row
			if err := json.Unmarshal([]byte(data), &row); err != nil {
				return fmt.Errorf("console: event: %w", err)
			}
			entry(row.Entry())
		case "dropped":
			if n, err := strconv.Atoi(data); err == nil && dropped != nil {
				dropped(n)
			}
		}
		return nil
	})
	if ctx.Err() != nil {
		return ctx.Err()
	}
	return err
}

// readEvents reads an event stream as far as this package writes them: one line
// of data for an event.
func readEvents(r io.Reader, handle func(event, data string) error) error {
	lines := bufio.NewScanner(r)
	lines.Buffer(nil, maxEvent)
	event, data := "", ""
	for lines.Scan() {
		name, value, _ := strings.Cut(lines.Text(), ":")
		value = strings.TrimPrefix(value, " ")
		switch {
		case lines.Text() == "":
			if data != "" {
				if err := handle(event, data); err != nil {
					return err
				}
			}
			event, data = "", ""
		case name == "event":
			event = value
		case name == "data":
			data = value
		}
	}
	return lines.Err()
}
