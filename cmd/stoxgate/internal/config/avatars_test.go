package config

import (
	"testing"

	"github.com/stretchr/testify/require"
)

// Pictures: what hosts and the base of their URIs may be.
func TestAvatars(t *testing.T) {
	read := func(text string) (*Config, error) { return Parse("stoxgate.yaml", []byte(minimal+text), testEnv) }
	c, err := read("presence: { avatars: { hosts: [PBX.example.org, \"10.0.0.5:8080\", \"[2001:db8::1]:443\", \"2001:db8::2\"], icon_base: \"https://gw.example.org/avatars/\" } }\n")
	require.NoError(t, err)
	require.Equal(t, []IconHost{"pbx.example.org", "10.0.0.5:8080", "[2001:db8::1]:443", "2001:db8::2"}, c.Presence.Avatars.Hosts)
	require.True(t, c.Presence.Avatars.Fetch)
	require.EqualValues(t, 128<<10, c.Presence.Avatars.MaxSize)
	for text, want := range map[string]string{
		`hosts: ["http://pbx.example.org/"]`:                 "is a URL",
		`hosts: ["pbx.example.org:0"]`:                       "not a port",
		`hosts: ["a b"]`:                                     "not a host name",
		`icon_base: "gw.example.org/avatars/"`:               "not a URL",
		`icon_base: "ftp://gw.example.org/"`:                 "not a URL",
		`icon_base: "https://gw.example.org/avatars"`:        "https://gw.example.org/avatars/",
		`icon_base: "https://gw.example.org/avatars/?hash="`: "neither query",
		`icon_base: "https://u@gw.example.org/"`:             "neither query",
		`max_size: 1`:                                        "1KiB",
	} {
		_, err := read("presence: { avatars: { " + text + " } }\n")
		require.ErrorContains(t, err, want, text)
	}
	_, err = read("http: { listen: \"off\" }\npresence: { avatars: { icon_base: \"https://gw.example.org/a/\" } }\n")
	require.ErrorContains(t, err, "http.listen is off")
	c, err = read("presence: { avatars: { fetch: false, hosts: [pbx.example.org] } }\n")
	require.NoError(t, err)
	require.Len(t, c.Warnings, 1)
}
