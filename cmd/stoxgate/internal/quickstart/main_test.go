package quickstart

import (
	"context"
	"encoding/json"
	"flag"
	"fmt"
	"net/http"
	"os"
	"os/signal"
	"strings"
	"sync"
	"syscall"
	"testing"

	"go.uber.org/goleak"
	"go.yaml.in/yaml/v3"

	"github.com/stoxgate/stoxgate/interwork/interworktest"
)

// standIn makes the test binary play the gateway: a child of Run that serves
// what Run needs of the HTTP side. Its value says how it behaves.
const standIn = "STOXGATE_QUICKSTART_STANDIN"

func TestMain(m *testing.M) {
	if behaviour := os.Getenv(standIn); behaviour != "" {
		os.Exit(playGateway(behaviour))
	}
	flag.Parse()
	goleak.VerifyTestMain(m, goleak.Cleanup(func(code int) {
		interworktest.RemoveBinary()
		os.Exit(code)
	}))
}

// playGateway serves on the console's address of the configuration that it is
// given, and keeps identities in the state folder as lines of JSON.
func playGateway(behaviour string) int {
	file := os.Args[len(os.Args)-1]
	data, err := os.ReadFile(file)
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 1
	}
	var config struct {
		XMPP  struct{ Component, Domain, Secret string }
		SIP   struct{ Listen []string }
		State struct{ Dir string }
		HTTP  struct{ Listen string }
	}
	if err := yaml.Unmarshal(data, &config); err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 1
	}
	fmt.Printf("args %q component %s domain %s secret of %d listen %v\n",
		os.Args[1:], config.XMPP.Component, config.XMPP.Domain, len(config.XMPP.Secret), config.SIP.Listen)
	if behaviour == "broken" {
		fmt.Fprintln(os.Stderr, "the pipe organ is out of tune")
		return 3
	}
	ctx, stop := signal.NotifyContext(context.Background(), syscall.SIGTERM)
	defer stop()
	if err := os.MkdirAll(config.State.Dir, 0o700); err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 1
	}
	server := &http.Server{Addr: config.HTTP.Listen, Handler: standInAPI(config.State.Dir + "/identities.json")}
	go func() {
		<-ctx.Done()
		_ = server.Close()
	}()
	fmt.Fprintln(os.Stderr, server.ListenAndServe())
	return 0
}

func standInAPI(file string) http.Handler {
	var mu sync.Mutex
	table := map[string]identity{} // by address
	if data, err := os.ReadFile(file); err == nil {
		_ = json.Unmarshal(data, &table)
	}
	save := func(id identity) {
		table[id.AORs[0]] = id
		data, _ := json.Marshal(table)
		_ = os.WriteFile(file, data, 0o600)
	}
	mux := http.NewServeMux()
	mux.HandleFunc("GET /readyz", func(http.ResponseWriter, *http.Request) {})
	mux.HandleFunc("POST /api/v1/identities", func(w http.ResponseWriter, r *http.Request) {
		mu.Lock()
		defer mu.Unlock()
		var id identity
		if err := json.NewDecoder(r.Body).Decode(&id); err != nil {
			http.Error(w, err.Error(), http.StatusBadRequest)
			return
		}
		if _, taken := table[id.AORs[0]]; taken {
			http.Error(w, "taken", http.StatusConflict)
			return
		}
		save(id)
		w.WriteHeader(http.StatusCreated)
	})
	mux.HandleFunc("GET /api/v1/identities/{id}", func(w http.ResponseWriter, r *http.Request) {
		fmt.Fprintf(w, `{"id":%q}`, "id-"+strings.TrimPrefix(r.PathValue("id"), "sip:"))
	})
	mux.HandleFunc("PUT /api/v1/identities/{id}", func(w http.ResponseWriter, r *http.Request) {
		mu.Lock()
		defer mu.Unlock()
		var id identity
		if err := json.NewDecoder(r.Body).Decode(&id); err != nil || "sip:"+strings.TrimPrefix(r.PathValue("id"), "id-") != id.AORs[0] {
			http.Error(w, "no", http.StatusNotFound)
			return
		}
		id.Name += " again"
		save(id)
	})
	return mux
}
