# What one can do here. `make` alone lists it.

SHELL = /bin/sh
NEXTEST := $(shell cargo nextest --version >/dev/null 2>&1 && echo yes)

TESTS_MAY = --allow clippy::unwrap_used --allow clippy::expect_used --allow clippy::panic
SCRIPTS = fuzz/run compliance/fetch compliance/hosts compliance/licences compliance/tally demo/run packaging/install .ci/run

.PHONY: help demo test test-newer check fmt lint deny bench fuzz fetch release install clean-fetched

help: ## List these targets
	@awk -F ':.*## ' '/^[a-z-]+:.*## / { printf "  make %-14s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)

demo: release ## The story, live: ten wrong passwords, and the gate closes (about a minute)
	@compliance/fetch tools genuine
	@demo/run

test: fetch ## All tests, against a real kernel and the genuine Fail2ban where it has the behaviour
	cargo build --quiet --package portcullis
	@rm -rf target/compliance
ifeq ($(NEXTEST),yes)
	PORTCULLIS_BIN='$(CURDIR)/target/debug/portcullis' cargo nextest run --workspace --no-fail-fast
else
	PORTCULLIS_BIN='$(CURDIR)/target/debug/portcullis' cargo test --workspace --all-targets --no-fail-fast
endif
	cargo test --workspace --doc --quiet
	@compliance/tally

test-newer: ## The sample corpus, dates, counting and encodings once more, held to Fail2ban 1.1 (of Debian 13)
	@compliance/fetch tools newer
	FAIL2BAN=1.1 cargo test --package portcullis-compliance --test samples --test dates --test counting --test encodings

check: fmt lint deny test ## What must hold before a commit: format, lints, licences, tests

fmt: ## Is everything formatted?
	cargo fmt --all --check

lint: ## Clippy, with warnings as errors; shellcheck, if installed
	cargo clippy --workspace -- --deny warnings
	# Tests, and what they are helped by, may panic: that is how they speak.
	cargo clippy --workspace --all-targets -- --deny warnings $(TESTS_MAY)
	@if command -v shellcheck >/dev/null; then shellcheck --severity=warning $(SCRIPTS); fi

deny: ## Licences and sources of all dependencies (and advisories, if cargo-deny is installed)
	@compliance/licences

bench: release ## Ours and the genuine Fail2ban in one run, and the ratio
	@compliance/fetch tools genuine
	cargo build --release --quiet --package portcullis-compliance --examples
	@target/release/examples/bench
	@target/release/examples/bans
	@target/release/examples/reject
	@target/release/examples/lines
	@target/release/examples/control
	@target/release/examples/configuration
	@target/release/examples/jails
	# No line of 8 KiB takes more than 2 ms of CPU: lines made from the syntax tree of each stock pattern; the worst are printed.
	@cargo test --release --quiet --package portcullis-compliance --test adversary -- --nocapture no_line

fuzz: ## Every parser of foreign bytes under libFuzzer, half a minute each (fuzz/run SECONDS TARGET for more)
	@fuzz/run 30

fetch: ## The genuine Fail2ban and the tools of the tests, unpacked under target/, nothing installed
	@compliance/fetch tools genuine

release: ## The release binary: target/release/portcullis
	cargo build --release --package portcullis

install: ## The release binary and its unit, below DESTDIR (see packaging/)
	packaging/install

clean-fetched: ## Remove what `make fetch` has fetched
	rm -rf target/genuine target/newer target/tools target/clients target/shells target/apt
