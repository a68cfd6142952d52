# Every check and errand of the project. What takes more than a line or two is in scripts/.

EXAMPLE := examples/inngest-bun
# Package managers and servers that tests put between the supervisor and a server.
TOOLS := tests/tools
VENV := target/tools
# npm writes this file last, so it is there, and newer than the lock file, once an install is complete.
INSTALLED := $(EXAMPLE)/node_modules/.package-lock.json $(TOOLS)/node_modules/.package-lock.json $(VENV)/complete

# `linux` or something else: the binary for Linux is built on Linux alone.
SYSTEM := $(shell uname | tr A-Z a-z)
# What benchmarks are told to measure there.
PRODUCT := $(if $(filter linux,$(SYSTEM)),BENCH_PRODUCT=$(CURDIR)/target/cross/linux/worker-supervisor)

.DEFAULT_GOAL := help
.PHONY: help run record quick test check fmt lint doc tidy man workflows count freebsd apple macos linux arm emulate dist
.PHONY: bench bench-compare load soak fuzz mutants miri sanitize setup-cross setup-dist clean

help: ## Print this list
	@awk -F ':.*## ' '/^[a-z-]+:.*## / { printf "  make %-12s %s\n", $$1, $$2 }' Makefile

run: ## Build and run the supervisor with a demo worker in the foreground
	@sh scripts/demo.sh

record: ## Record the terminal that the README shows, docs/demo.svg, anew (needs Python)
	cargo build --release --bin worker-supervisor --example worker
	python3 scripts/record.py target/release/worker-supervisor target/release/examples/worker

# What no other system and no other program is needed for; it checks and builds only what it runs.
QUICK := --lib --test policy --test simulation

quick: fmt ## Formatting, clippy, unit tests, policy and some simulation: half a minute when warm
	cargo clippy --bins $(QUICK) -- -D warnings
	SIMULATION_SEEDS=1000 cargo test $(QUICK)

test: $(INSTALLED) ## Run all tests, against real package managers and the Inngest SDK too (needs npm, Python)
	cargo build --example worker
	cargo test --workspace --no-fail-fast --lib --bins --tests
	cargo test --workspace --no-fail-fast --doc

check: fmt lint doc tidy man workflows freebsd apple $(filter linux,$(SYSTEM)) ## Run every check that is not a test of behaviour

fmt: ## Check the formatting
	cargo fmt --all --check
	cargo fmt --manifest-path fuzz/Cargo.toml --check

# The fuzz targets are only checked, without the engine, which is C++: its place may be any path.
lint: ## Run clippy over everything; warnings are errors
	cargo clippy --workspace --all-targets -- -D warnings
	CUSTOM_LIBFUZZER_PATH=/none/libfuzzer.a CARGO_TARGET_DIR=$(CURDIR)/target \
		cargo check --manifest-path fuzz/Cargo.toml

# The documentation is for those who work on the program: links from public items to private ones are welcome.
doc: ## Build the documentation, private items too; warnings are errors
	RUSTDOCFLAGS="-D warnings -A rustdoc::private-intra-doc-links" cargo doc --no-deps --workspace --document-private-items

tidy: ## Check the style guide
	cargo test --test tidy

man: ## Check the man page (needs mandoc)
	mandoc -T lint -W warning docs/worker-supervisor.1

workflows: $(VENV)/complete ## Check the workflows
	$(VENV)/bin/actionlint -no-color -shellcheck= -pyflakes=

count: ## Count the shipped lines, room by room
	@sh scripts/count.sh

freebsd: ## Type-check for FreeBSD (needs setup-cross)
	@sh scripts/cross.sh freebsd

apple: ## Build the release binary for Apple silicon and check its size (needs setup-cross)
	@sh scripts/cross.sh apple

macos: ## Build the release binaries for both kinds of Mac, and one file of both (needs setup-cross)
	@sh scripts/cross.sh macos

linux: ## Build the small release binary for Linux and check its size (needs setup-cross)
	@sh scripts/cross.sh linux

arm: ## Build the small release binary for Linux on ARM (needs setup-cross and Debian's qemu-user)
	@sh scripts/cross.sh linux aarch64

emulate: arm ## Run tests with the program for ARM, under an emulator
	@sh scripts/emulate.sh

dist: ## Make what a release consists of, in target/dist (needs setup-cross, setup-dist and Debian's qemu-user)
	@sh scripts/dist.sh all

# Minutes, best on a machine with nothing else to do. Measures other supervisors too where they are installed, by
# scripts/bench-peers.sh or by hand.
bench: $(filter linux,$(SYSTEM)) $(INSTALLED) ## Measure everything; writes docs/bench (on Linux needs setup-cross)
	$(PRODUCT) cargo bench --bench http --bench restart --bench footprint --bench stop --bench sync --bench felt \
		--bench scale
	$(PRODUCT) cargo bench --bench report

bench-compare: ## Build commit BASE and the work tree, and measure both in one run (5 minutes)
	@sh scripts/bench-compare.sh "$(BASE)"

load: $(filter linux,$(SYSTEM)) ## Health checks on a machine that is far too busy, LOAD_SECS=600 with each of three loads
	$(PRODUCT) cargo bench --bench load

soak: ## Restart and probe ten thousand times, a million policy lives, a thousand steps of chaos (half an hour)
	cargo build --release --example worker
	cargo bench --bench soak
	SIMULATION_SEEDS=1000000 cargo test --release --test simulation
	cargo build --example worker
	CHAOS_STEPS=1000 cargo test --test chaos
	EVERY_CALL=1 cargo test --test every_call_linux -- --nocapture
	PORT_STARTS=2000 cargo test --test port_linux range_of_outgoing

fuzz: ## Fuzz whatever reads from outside, FUZZ_SECS=600 each (needs nightly Rust and cargo-fuzz)
	@sh scripts/fuzz.sh $(TARGETS)

mutants: ## Break the code in small ways and list what no test notices (hours; needs cargo-mutants)
	@sh scripts/mutants.sh $(MODULES)

miri: ## Run what Miri can run: http, policy, config, dotenv, error (needs nightly Rust with miri)
	@sh scripts/nightly.sh miri

sanitize: ## Run the tests of platform and library under the address sanitizer (needs nightly Rust)
	@sh scripts/nightly.sh sanitize

setup-cross: ## Install what freebsd, apple, macos and linux need
	@sh scripts/cross.sh setup

setup-dist: ## Install what dist needs beside that
	@sh scripts/dist.sh setup

clean: ## Remove everything that was built or installed here
	cargo clean
	rm -rf $(EXAMPLE)/node_modules $(TOOLS)/node_modules

%/node_modules/.package-lock.json: %/package-lock.json
	@command -v npm >/dev/null || { echo "cannot install: npm is missing, and the tests need it" >&2; exit 1; }
	cd $* && npm ci

$(VENV)/complete: $(TOOLS)/requirements.txt
	python3 -m venv $(VENV)
	$(VENV)/bin/pip install --quiet --no-deps --requirement $(TOOLS)/requirements.txt
	touch $@
