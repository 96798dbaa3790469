# make run    a Jabber server, the gateway, two users on each side: try it
# make test   everything that is checked, with real peers; installs what it needs
# make check  the fast part of it: format, vet, lint, unit tests
# make build  the program, ./stoxgate
# make bench  messages a second, latency and CPU, in both directions; presence with BENCH=presence,
#             side by side with the C gateway with BENCH="-against kamailio"
# make fuzz   every fuzz test for FUZZTIME (30s)
# make deps   what the tests need: Debian packages, and Go tools below .tools

GO ?= go
export PATH := $(CURDIR)/.tools/bin:$(PATH)

.DEFAULT_GOAL := build
.NOTPARALLEL:
.PHONY: run test check build bench fuzz deps format vet lint gotest unit clean

# Built first: `go run` would call every Ctrl-C a failure.
run:
	@mkdir -p -m 700 .run
	@$(GO) build -o .run/stoxgate ./cmd/stoxgate
	@.run/stoxgate quickstart --dir .run

build:
	CGO_ENABLED=0 $(GO) build -trimpath -o stoxgate ./cmd/stoxgate

test: deps format vet lint gotest

check: format vet lint unit

deps:
	@.ci/deps

format:
	@files=$$(gofumpt -l .); if [ -n "$$files" ]; then echo "not formatted (gofumpt -w):"; echo "$$files"; exit 1; fi

vet:
	$(GO) vet ./...

lint:
	golangci-lint run --allow-parallel-runners ./...

gotest:
	@.ci/gotest

# Without the race detector and the real programs.
unit:
	$(GO) test $$($(GO) list ./... | grep -v /interwork/interworktest)

bench:
	$(GO) run ./interwork/interworktest/bench $(BENCH)

fuzz:
	@.ci/fuzz

clean:
	rm -rf stoxgate .tools
