package relay

import (
	"bytes"
	"fmt"
	"maps"
	"net"
	"net/netip"
	"os"
	"os/exec"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

// BenchmarkRtpengine puts the load of BenchmarkRelay on rtpengine in userspace, for
// comparison.
func BenchmarkRtpengine(b *testing.B) {
	program, err := exec.LookPath("rtpengine")
	if err != nil {
		b.Skip("no rtpengine")
	}
	for _, mode := range []string{"plain", "sdes", "sdes-cm"} {
		for _, calls := range []int{100, 400, 600} {
			b.Run(fmt.Sprintf("%s/calls=%d", mode, calls), func(b *testing.B) { benchmarkRtpengine(b, program, mode, calls) })
		}
	}
}

const rtpengineControl = "127.0.0.1:30997"

func benchmarkRtpengine(b *testing.B, program, mode string, calls int) {
	cmd := exec.Command(program, "--table=-1", "--interface=127.0.0.1", "--listen-ng="+rtpengineControl, "--port-min=31000",
		"--port-max="+strconv.Itoa(31100+8*calls), "--foreground", "--log-stderr", "--log-level=1", "--num-threads=2")
	require.NoError(b, cmd.Start())
	defer func() {
		_ = cmd.Process.Kill()
		_ = cmd.Wait()
	}()
	control, err := net.Dial("udp", rtpengineControl)
	require.NoError(b, err)
	defer control.Close()
	n := 0
	ask := func(command map[string]string) string {
		var body bytes.Buffer
		body.WriteString("d")
		for _, k := range slices.Sorted(maps.Keys(command)) {
			v := command[k]
			fmt.Fprintf(&body, "%d:%s", len(k), k)
			if strings.HasPrefix(v, "l") {
				body.WriteString(v)
			} else {
				fmt.Fprintf(&body, "%d:%s", len(v), v)
			}
		}
		body.WriteString("e")
		answer := make([]byte, 65536)
		for range 250 { // it may not be there yet
			n++
			_, _ = fmt.Fprintf(control, "%d %s", n, body.Bytes())
			require.NoError(b, control.SetReadDeadline(time.Now().Add(200*time.Millisecond)))
			if n, err := control.Read(answer); err == nil {
				return string(answer[:n])
			}
			<-time.After(20 * time.Millisecond)
		}
		require.Fail(b, "rtpengine does not answer")
		return ""
	}
	require.Contains(b, ask(map[string]string{"command": "ping"}), "pong")
	load := startLoad(b, 2*calls)
	for i := range calls {
		rtpengineCall(b, ask, mode, i, load.parties[2*i:2*i+2], load.legs[2*i:2*i+2])
	}
	load.run(b, func() time.Duration { return processorTime(b, cmd.Process.Pid) })
}

var (
	portOf = regexp.MustCompile(`m=audio (\d+) `)
	keyOf  = regexp.MustCompile(`a=crypto:\d+ (\S+) (inline:[^\s|]+)`)
)

// rtpengineCall makes one call by an offer from the first party and an answer of the other.
func rtpengineCall(b *testing.B, ask func(map[string]string) string, mode string, i int, parties []netip.AddrPort, legs []loadLeg) {
	name := map[string]string{"sdes": "AEAD_AES_128_GCM", "sdes-cm": "AES_CM_128_HMAC_SHA1_80"}[mode]
	description := func(party netip.AddrPort, profile, more string) string {
		return fmt.Sprintf("v=0\r\no=- 1 1 IN IP4 127.0.0.1\r\ns=-\r\nc=IN IP4 127.0.0.1\r\nt=0 0\r\nm=audio %d %s 0\r\na=rtpmap:0 PCMU/8000\r\n%s", party.Port(), profile, more)
	}
	profile, more := "RTP/AVP", ""
	legs[0] = loadLeg{Party: parties[0], Suite: name}
	legs[1] = loadLeg{Party: parties[1]}
	if name != "" {
		s, _ := findSuite(name)
		k := newKey(s)
		profile, more = "RTP/SAVP", "a=crypto:1 "+name+" "+k.inline()+"\r\n"
		legs[0].Out = append(append([]byte{}, k.key...), k.salt...)
	}
	command := func(verb string, sdp string, add map[string]string) string {
		c := map[string]string{
			"command": verb, "call-id": fmt.Sprint("call", i), "from-tag": "a", "sdp": sdp, "ICE": "remove", "DTLS": "off", "rtcp-mux": "l5:demuxe",
			"replace": "l6:origine",
		}
		maps.Copy(c, add)
		return ask(c)
	}
	relay := func(sdp string) netip.AddrPort {
		m := portOf.FindStringSubmatch(sdp)
		require.NotNil(b, m, sdp)
		port, err := strconv.ParseUint(m[1], 10, 16)
		require.NoError(b, err)
		return netip.AddrPortFrom(netip.MustParseAddr("127.0.0.1"), uint16(port))
	}
	legs[1].Relay = relay(command("offer", description(parties[0], profile, more), map[string]string{"transport-protocol": "RTP/AVP"}))
	answer := command("answer", description(parties[1], "RTP/AVP", ""), map[string]string{"to-tag": "b"})
	legs[0].Relay = relay(answer)
	if name == "" {
		return
	}
	m := keyOf.FindStringSubmatch(answer)
	require.NotNil(b, m, answer)
	require.Equal(b, name, m[1])
	own, err := parseKey(Crypto{Tag: 1, Suite: m[1], KeyParams: m[2]})
	require.NoError(b, err)
	legs[0].In = append(append([]byte{}, own.key...), own.salt...)
}

// processorTime is what a process has used, from /proc, in hundredths of a second.
func processorTime(b *testing.B, pid int) time.Duration {
	text, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", pid))
	require.NoError(b, err)
	fields := strings.Fields(string(text[bytes.LastIndexByte(text, ')')+1:]))
	user, err := strconv.Atoi(fields[11])
	require.NoError(b, err)
	system, err := strconv.Atoi(fields[12])
	require.NoError(b, err)
	return time.Duration(user+system) * 10 * time.Millisecond
}
