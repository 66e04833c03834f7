# Everything sets itself up on a fresh Debian machine that has Rust: `make demo` is the place to begin.
# PostgreSQL and wrk are installed with apt-get where they are missing and we are root; otherwise the command to run is told.

CARGO ?= cargo
# Seconds that each fuzz target runs.
FUZZ_SECONDS ?= 60
# How long the soak goes on; what the load test compares with (AGAINST='postgrest {config}'), which scenarios (ONLY=embed).
SOAK_SECONDS ?= 86400
# How long the soak mixes identities, before that.
ISOLATION_SECONDS ?= 1800
LOADTEST = loadtest/run.py
TARGET := $(or $(CARGO_TARGET_DIR),target)
FUZZ_TARGETS := head chunked query frame payload token number row
DIST := trunkline-$(shell sed -n 's/^version = "\(.*\)"/\1/p' Cargo.toml | head -n 1)-$(shell uname -s | tr A-Z a-z)-$(shell uname -m)

.PHONY: help demo build build-bench check test clients bench loadtest soak dist fuzz

help:
	@echo 'make demo      a private PostgreSQL with sample data, served on port 3000; Ctrl-C removes it'
	@echo 'make build     the optimised server: target/release/trunkline'
	@echo 'make check     formatting, lints, tidy'
	@echo 'make test      every test, the conformance corpus included'
	@echo 'make clients   the JavaScript and Python clients of PostgREST against the server; fetches them'
	@echo 'make bench     micro benchmarks'
	@echo 'make loadtest  requests per second and CPU per request, by scenario'
	@echo 'make soak      identities mixed for ISOLATION_SECONDS, an outage, 70,000 relations, then the load for SOAK_SECONDS, watching memory'
	@echo 'make fuzz      every fuzz target for FUZZ_SECONDS'
	@echo 'make dist      the archive to hand out, in dist/; the binary in it is static, which is proved in an empty root directory'

demo:
	scripts/setup-postgres
	$(CARGO) run --release -- demo

build:
	$(CARGO) build --release

build-bench:
	$(CARGO) build --release --package trunkline-bench --bins

check:
	$(CARGO) fmt --all --check
	$(CARGO) clippy --workspace --all-targets -- -D warnings
	$(CARGO) test --test tidy

test:
	scripts/setup-postgres --tests
	scripts/setup-postgres-18
	scripts/setup-proxies pgbouncer
	$(CARGO) test --workspace --no-fail-fast

clients: build
	scripts/setup-postgres
	tests/clients/run.py $(TARGET)/release/trunkline

bench:
	$(CARGO) bench --package trunkline-bench

loadtest: build build-bench
	scripts/setup-postgres
	scripts/setup-wrk
	scripts/setup-proxies haproxy
	$(LOADTEST) $(if $(AGAINST),--against '$(AGAINST)') $(if $(ONLY),--only $(ONLY))

soak: build build-bench
	scripts/setup-postgres
	scripts/setup-wrk
	ISOLATION_SECONDS=$(ISOLATION_SECONDS) $(CARGO) test --test isolation -- --nocapture
	ISOLATION_SECONDS=20 $(CARGO) test --test isolation --features mutant-keep-settings -- --nocapture
	OUTAGE_SECONDS=60 WIDE_RELATIONS=70000 $(CARGO) test --release --test operations reliability -- --nocapture
	$(LOADTEST) --soak $(SOAK_SECONDS)

# Static with glibc, which holds the resolver for /etc/hosts and DNS itself; getrandom by system call, because the weak symbol
# that it looks for by default is not found in a static binary and an empty root has no /dev/urandom.
STATIC = -C target-feature=+crt-static --cfg getrandom_backend="linux_getrandom"
STATIC_TARGET = $(shell uname -m)-unknown-linux-gnu

dist:
	RUSTFLAGS='$(STATIC)' $(CARGO) build --release --locked --bin trunkline --target $(STATIC_TARGET)
	scripts/setup-postgres
	scripts/prove-static $(TARGET)/$(STATIC_TARGET)/release/trunkline
	rm -rf dist/$(DIST)
	mkdir -p dist/$(DIST)
	cp $(TARGET)/$(STATIC_TARGET)/release/trunkline README.md CHANGELOG.md LICENSE dist/$(DIST)/
	cp -r contrib dist/$(DIST)/
	tar -C dist --sort=name --owner=0 --group=0 --numeric-owner -czf dist/$(DIST).tar.gz $(DIST)
	cd dist && sha256sum $(DIST).tar.gz > $(DIST).tar.gz.sha256 && cat $(DIST).tar.gz.sha256

fuzz:
	scripts/setup-fuzz
	cd fuzz && for target in $(FUZZ_TARGETS); do \
	  $(CARGO) +nightly fuzz run $$target -- -max_total_time=$(FUZZ_SECONDS) || exit 1; \
	done
