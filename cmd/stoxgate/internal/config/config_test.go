package config

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"encoding/json"
	"encoding/pem"
	"fmt"
	"math/big"
	"os"
	"path/filepath"
	"reflect"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"pgregory.net/rapid"
)

func environment(pairs ...string) Environment {
	return func(name string) (string, bool) {
		for i := 0; i < len(pairs); i += 2 {
			if pairs[i] == name {
				return pairs[i+1], true
			}
		}
		return "", false
	}
}

var testEnv = environment("STOXGATE_SECRET", "from the environment", "STOXGATE_HTTP_TOKEN", "0123456789abcdef", "TRUNK_PASSWORD", "t", "PGPASSWORD", "pg", "EMPTY", "")

const minimal = `
xmpp: {component: "127.0.0.1:5347", domain: sip.example.org, secret: s}
sip: {listen: ["udp://127.0.0.1:5060"]}
`

func parse(t *testing.T, text string) *Config {
	t.Helper()
	c, err := Parse("stoxgate.yaml", []byte(text), testEnv)
	require.NoError(t, err)
	return c
}

// Every file in testdata is a configuration; what is wrong with it stands in
// the file beside it.
func TestProblemsGolden(t *testing.T) {
	files, err := filepath.Glob("testdata/*.yaml")
	require.NoError(t, err)
	require.NotEmpty(t, files)
	for _, file := range files {
		t.Run(filepath.Base(file), func(t *testing.T) {
			c, err := Load(file, testEnv)
			var b strings.Builder
			if err != nil {
				var invalid *Invalid
				require.ErrorAs(t, err, &invalid)
				b.WriteString(err.Error() + "\n")
				c = &Config{Warnings: invalid.Warnings}
			}
			for _, w := range c.Warnings {
				b.WriteString("warning: " + w.At(file) + "\n")
			}
			golden(t, strings.TrimSuffix(file, ".yaml")+".golden", b.String())
		})
	}
}

// A list of one may stand without brackets.
func TestMediaAddresses(t *testing.T) {
	for text, want := range map[string][]Host{
		"203.0.113.7": {"203.0.113.7"}, "[203.0.113.7]": {"203.0.113.7"}, `["2001:db8::7", 203.0.113.7]`: {"2001:db8::7", "203.0.113.7"},
	} {
		assert.Equal(t, want, parse(t, minimal+"media: {address: "+text+"}").Media.Address)
	}
	for text, want := range map[string]ICEPort{"auto": ICEPortAuto, "off": ICEPortOff, "0": ICEPortOff, "3478": 3478} {
		assert.Equal(t, want, parse(t, minimal+"media: {ice_port: "+text+"}").Media.ICEPort)
	}
	assert.Equal(t, ICEPortAuto, parse(t, minimal).Media.ICEPort)
}

func TestDefaults(t *testing.T) {
	c := parse(t, minimal)
	assert.Empty(t, c.Warnings)
	assert.Equal(t, "127.0.0.1:5347", c.XMPP.Component.String())
	assert.Equal(t, time.Minute, c.XMPP.Ping.D())
	assert.EqualValues(t, 256<<10, c.XMPP.MaxStanza)
	assert.Equal(t, []Domain{"sip.example.org"}, c.SIP.Domains, "the component's domain")
	assert.True(t, c.SIP.Registrar.Enabled)
	assert.Equal(t, time.Hour, c.SIP.Registrar.Expires.D())
	assert.Equal(t, []string{"opus", "g722", "pcma", "pcmu"}, c.Media.Codecs)
	assert.Equal(t, PortRange{20000, 29999}, c.Media.Ports)
	assert.Equal(t, "20000-29999", c.Media.Ports.String())
	assert.EqualValues(t, "stoxgate-data", c.State.Dir)
	assert.Equal(t, "127.0.0.1:8780", c.HTTP.Listen.String())
	assert.Equal(t, "info", c.Log.Level)
	assert.Equal(t, 5000, c.Trace.Keep)
	assert.Equal(t, "stoxgate.yaml", c.File())
	assert.Equal(t, 2, c.Line("xmpp.domain"))
	assert.Zero(t, c.Line("log.level"))
}

func TestEverythingSet(t *testing.T) {
	dir := t.TempDir()
	cert, key := writeCertificate(t, dir, time.Now().Add(time.Hour))
	c := parse(t, `
xmpp: {component: "[::1]:5347", domain: SIP.Example.Org., secret: "a${STOXGATE_SECRET}b$${c}"}
sip:
  listen: ["udp://0.0.0.0", "tls://[::1]:5071"]
  advertise: "[2001:DB8::1]"
  domains: [sip.example.org, 192.0.2.1, "2001:db8::2"]
  trusted: [192.0.2.1, "2001:db8::/32"]
  trunks:
    - {name: pbx, uri: "sip:pbx.example.org;transport=TCP", numbers: ["+", "+4930"], domains: ["*", PBX.example.org], username: u, password: "${EMPTY:-x}"}
  tls: {cert: `+cert+`, key: `+key+`}
identity: {default_region: de}
messages: {keep_for: 7d}
state: {dir: /var/lib/stoxgate}
http: {listen: "off"}
`)
	assert.Equal(t, HostPort{"::1", 5347}, c.XMPP.Component)
	assert.Equal(t, Domain("sip.example.org"), c.XMPP.Domain)
	assert.Equal(t, Secret("afrom the environmentb${c}"), c.XMPP.Secret)
	assert.Equal(t, []Listen{{"udp", "0.0.0.0", 5060}, {"tls", "::1", 5071}}, c.SIP.Listen)
	assert.Equal(t, "tls://[::1]:5071", c.SIP.Listen[1].String())
	assert.Equal(t, Host("2001:db8::1"), c.SIP.Advertise)
	assert.Equal(t, []Domain{"sip.example.org", "192.0.2.1", "[2001:db8::2]"}, c.SIP.Domains)
	assert.Equal(t, "192.0.2.1/32", c.SIP.Trusted[0].String())
	trunk := c.SIP.Trunks[0]
	assert.Equal(t, "tcp", trunk.URI.Transport())
	assert.Equal(t, []string{"*", "pbx.example.org"}, trunk.Domains)
	assert.Equal(t, Secret("x"), trunk.Password)
	assert.Equal(t, Region("DE"), c.Identity.DefaultRegion)
	assert.Equal(t, 7*24*time.Hour, c.Messages.KeepFor.D())
	assert.EqualValues(t, "/var/lib/stoxgate", c.State.Dir)
	assert.True(t, c.HTTP.Listen.Off())
}

// writeCertificate makes a self-signed pair in dir, valid until the given time.
func writeCertificate(t *testing.T, dir string, until time.Time) (cert, key string) {
	t.Helper()
	private, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	require.NoError(t, err)
	template := &x509.Certificate{SerialNumber: big.NewInt(1), NotBefore: until.Add(-48 * time.Hour), NotAfter: until, DNSNames: []string{"sip.example.org"}}
	der, err := x509.CreateCertificate(rand.Reader, template, template, &private.PublicKey, private)
	require.NoError(t, err)
	pkcs8, err := x509.MarshalPKCS8PrivateKey(private)
	require.NoError(t, err)
	cert, key = filepath.Join(dir, "cert.pem"), filepath.Join(dir, "key.pem")
	require.NoError(t, os.WriteFile(cert, pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der}), 0o600))
	require.NoError(t, os.WriteFile(key, pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: pkcs8}), 0o600))
	return cert, key
}

func TestFiles(t *testing.T) {
	dir := t.TempDir()
	writeCertificate(t, dir, time.Now().Add(time.Hour))
	write := func(name, text string, mode os.FileMode) {
		require.NoError(t, os.WriteFile(filepath.Join(dir, name), []byte(text), mode))
		require.NoError(t, os.Chmod(filepath.Join(dir, name), mode))
	}
	write("secret", "  hidden \n", 0o600)
	write("open", "open", 0o644)
	write("empty", "\n", 0o600)
	load := func(xmpp, rest string) (*Config, string) {
		write("c.yaml", "xmpp: {component: '127.0.0.1:5347', domain: sip.example.org, "+xmpp+"}\n"+rest, 0o600)
		c, err := Load(filepath.Join(dir, "c.yaml"), testEnv)
		if err != nil {
			return nil, strings.ReplaceAll(err.Error(), dir, "DIR")
		}
		return c, ""
	}
	const udp = "sip: {listen: ['udp://127.0.0.1:5060']}"

	c, text := load("secret_file: secret", udp)
	require.Empty(t, text)
	assert.Equal(t, Secret("hidden"), c.XMPP.Secret)
	assert.Empty(t, c.Warnings)
	assert.Equal(t, filepath.Join(dir, "stoxgate-data"), string(c.State.Dir))

	c, _ = load("secret_file: open", udp)
	require.Len(t, c.Warnings, 1)
	assert.Contains(t, c.Warnings[0].String(), "every user of this machine can read")

	_, text = load("secret_file: missing", udp)
	assert.Equal(t, "DIR/c.yaml:1: xmpp.secret_file: DIR/missing: no such file or directory", text)
	_, text = load("secret_file: empty", udp)
	assert.Equal(t, "DIR/c.yaml:1: xmpp.secret_file: DIR/empty is empty", text)
	_, text = load("secret_file: .", udp)
	assert.Contains(t, text, "is a directory")

	c, text = load("secret: s", "sip: {listen: ['tls://127.0.0.1'], tls: {cert: cert.pem, key: key.pem, client_ca: cert.pem}}")
	require.Empty(t, text)
	assert.Empty(t, c.Warnings)
	_, text = load("secret: s", "sip: {listen: ['wss://127.0.0.1'], tls: {cert: cert.pem, key: cert.pem, client_ca: key.pem}}")
	assert.Contains(t, text, "both must be PEM files and belong together")
	assert.Contains(t, text, "sip.tls.client_ca: DIR/key.pem holds no PEM certificate")
	_, text = load("secret: s", "sip: {listen: ['wss://127.0.0.1'], tls: {cert: nowhere.pem, key: key.pem}}")
	assert.Equal(t, "DIR/c.yaml:2: sip.tls.cert: DIR/nowhere.pem: no such file or directory", text)

	writeCertificate(t, dir, time.Now().Add(-time.Hour))
	c, _ = load("secret: s", "sip: {listen: ['udp://127.0.0.1:5060'], tls: {cert: cert.pem, key: key.pem}}")
	require.Len(t, c.Warnings, 2)
	assert.Contains(t, c.Warnings[0].String(), "expired on")
	assert.Contains(t, c.Warnings[1].String(), "has neither tls:// nor wss://")

	_, err := Load(filepath.Join(dir, "nowhere.yaml"), testEnv)
	require.ErrorIs(t, err, os.ErrNotExist)
	assert.False(t, IsInvalid(err))
}

func TestSecretsDoNotPrint(t *testing.T) {
	c := parse(t, strings.ReplaceAll(minimal, "secret: s", "secret: visible"))
	text, err := json.Marshal(c.XMPP.Secret)
	require.NoError(t, err)
	for _, s := range []string{fmt.Sprint(c), fmt.Sprintf("%+v", *c), fmt.Sprintf("%#v", c.XMPP), string(text)} {
		assert.NotContains(t, s, "visible")
	}
}

// The example works as it is, and with every key in it switched on.
func TestExample(t *testing.T) {
	c := parse(t, Example())
	assert.Empty(t, c.Warnings)
	assert.Equal(t, Secret("from the environment"), c.XMPP.Secret)

	full := regexp.MustCompile(`(?m)^( *)#([a-z-]|  )`).ReplaceAllString(Example(), "$1$2")
	c, err := Parse("example.yaml", []byte(full), testEnv)
	require.NoError(t, err, full)
	given := map[string]bool{}
	walkKeys(reflect.TypeFor[Config](), "", func(path string, f *field) {
		line := c.Line(strings.ReplaceAll(path, "[]", "[0]"))
		given[path] = line > 0
		if line == 0 && !strings.HasSuffix(path, "password_file") && !strings.HasSuffix(path, "realm") {
			t.Errorf("%s is not in the example", path)
		}
	})
	assert.Greater(t, len(given), 60)
}

// Every key says what it is for, and every default obeys its own bounds.
func TestSchema(t *testing.T) {
	walkKeys(reflect.TypeFor[Config](), "", func(path string, f *field) {
		assert.NotEmpty(t, f.doc, path)
		assert.True(t, strings.HasSuffix(f.doc, "."), path)
		assert.Regexp(t, `^[a-z_]+$`, f.name)
		assert.False(t, f.required && f.def != "", path)
		if f.def == "" || isSection(f.typ) {
			return
		}
		d := &decoder{places: map[string]int{}, env: testEnv}
		d.field(nil, false, reflect.New(f.typ).Elem(), f, path, 0)
		assert.Empty(t, d.problems, path)
	})
}

func TestExpand(t *testing.T) {
	env := environment("A", "1", "EMPTY", "", "REF", "${A}")
	for in, want := range map[string]string{
		"plain $A": "plain $A", "${A}": "1", "x${A}${A}y": "x11y", "${A:-2}": "1", "${EMPTY:-2}": "2", "${EMPTY}": "",
		"${NO:-}": "", "${NO:-a:-b}": "a:-b", "$${A}": "${A}", "$$${A}": "$${A}", "${REF}": "${A}", "$": "$", "}": "}",
	} {
		got, err := expand(in, env)
		require.NoError(t, err, in)
		assert.Equal(t, want, got, in)
	}
	for in, want := range map[string]string{
		"${NO}":     "environment variable NO is not set",
		"${}":       "${}: not the name of an environment variable",
		"${1A:-x}":  "${1A}: not the name of an environment variable",
		"a${A":      `"${" without "}"`,
		"${N}${OO}": "environment variable N is not set\nenvironment variable OO is not set",
	} {
		_, err := expand(in, env)
		assert.EqualError(t, err, want, in)
	}
}

func TestDidYouMean(t *testing.T) {
	words := []string{"component", "domain", "secret", "secret_file"}
	for in, want := range map[string]string{
		"componnet": "component", "Domain": "domain", "secretfile": "secret_file", "secert": "secret", "x": "", "listen": "", "domainn": "domain",
	} {
		if want != "" {
			want = fmt.Sprintf("did you mean %q?", want)
		}
		assert.Equal(t, want, didYouMean(in, words), in)
	}
}

func TestEditDistance(t *testing.T) {
	assert.Equal(t, 1, editDistance("abc", "acb"))
	assert.Equal(t, 3, editDistance("kitten", "sitting"))
	rapid.Check(t, func(t *rapid.T) {
		a, b := rapid.StringMatching(`[a-c]{0,6}`).Draw(t, "a"), rapid.StringMatching(`[a-c]{0,6}`).Draw(t, "b")
		d := editDistance(a, b)
		if d != editDistance(b, a) || (d == 0) != (a == b) || d > max(len(a), len(b)) {
			t.Fatalf("distance of %q and %q is %d", a, b, d)
		}
	})
}

func TestAliasLoopEnds(t *testing.T) {
	_, err := Parse("loop.yaml", []byte("xmpp: &x {tls: *x}\nsip: {trunks: [*x, &t [*t]]}"), testEnv)
	require.Error(t, err)
}

func TestLargeFile(t *testing.T) {
	_, err := Parse("big.yaml", make([]byte, maxFile+1), testEnv)
	require.ErrorContains(t, err, "larger than 4 MiB")
}

func FuzzParse(f *testing.F) {
	files, _ := filepath.Glob("testdata/*.yaml")
	for _, file := range files {
		data, err := os.ReadFile(file)
		if err != nil {
			f.Fatal(err)
		}
		f.Add(data)
	}
	f.Add([]byte(minimal))
	f.Fuzz(func(t *testing.T, data []byte) {
		c, err := Parse("fuzz.yaml", data, testEnv)
		if err == nil && (c.XMPP.Domain == "" || c.XMPP.Secret == "" || len(c.SIP.Listen) == 0) {
			t.Fatal("a required value is missing")
		}
	})
}
