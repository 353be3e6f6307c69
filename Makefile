# Everything starts here. Each target does its own set-up; all that is assumed is a Rust toolchain,
# Python 3.10 or newer and a C compiler.

PYTHON    ?= python3
CARGO     ?= cargo
CANDIDATE ?= good
FUZZ_SECONDS ?= 60
BIN       := target/release
VENV      := .venv
DATABASE  := .make/gazetteer.db

export CUTOVER_BIN_DIR     := $(CURDIR)/$(BIN)
export CUTOVER_BIN         := $(CURDIR)/$(BIN)/cutover
export GAZETTEER_DATABASE  := $(CURDIR)/$(DATABASE)
# Properties are tried with the same cases here as everywhere; plain `cargo test` tries new ones.
export PROPTEST_RNG_SEED   ?= 1

.DEFAULT_GOAL := help
.PHONY: help demo test test-rust test-python check bench bench-peers curves hazards simulate spans conformance fuzz build \
        venv database stubs fmt clean

help: ## Show this list
	@grep -hE '^[a-z-]+:.*##' $(MAKEFILE_LIST) | awk -F ':.*## ' '{printf "  make %-12s %s\n", $$1, $$2}'
	@echo
	@echo '  make demo CANDIDATE=broken   the same with a candidate that has porting bugs'

demo: build $(DATABASE) ## Move the gazetteer from Python to Rust, and print the migration report
	$(VENV)/bin/python demo/demo.py --candidate $(CANDIDATE)

test: test-rust test-python ## Run every test

test-rust: build $(DATABASE)
	$(CARGO) test --workspace --locked --no-fail-fast
	cd wire/fuzz && $(CARGO) test --no-default-features --locked --target-dir ../../target/fuzz

test-python: build $(DATABASE)
	$(VENV)/bin/pytest -q -c python_client/pyproject.toml --rootdir python_client python_client/tests
	$(VENV)/bin/pytest -q -c python_server/pyproject.toml --rootdir python_server python_server/tests
	$(VENV)/bin/pytest -q -c tests/pytest.ini --rootdir tests tests

check: $(VENV)/.ready ## Check formatting, lints, types, stubs and docs
	$(CARGO) fmt --all --check
	$(CARGO) clippy --workspace --all-targets --locked -- -D warnings
	RUSTDOCFLAGS='-D warnings' $(CARGO) doc --workspace --no-deps --lib --locked
	$(VENV)/bin/ruff check python_client python_server tests demo bench wire
	$(VENV)/bin/ruff format --check python_client python_server tests demo bench wire
	cd python_client && ../$(VENV)/bin/mypy
	cd python_server && ../$(VENV)/bin/mypy
	$(VENV)/bin/python python_client/generate.py --check

bench: build $(DATABASE) ## Measure both arms side by side, then the proxy
	$(VENV)/bin/python bench/arms.py

bench-peers: build ## Measure the proxy beside HAProxy, nginx and Envoy (ARGS=--quick)
	$(CARGO) build --release --workspace --example relay --locked
	$(VENV)/bin/python bench/peers $(ARGS)

curves: override ARGS += --only curves
curves: bench-peers ## Show that a call costs the same whatever the rules, keys, methods and connections

hazards: build $(DATABASE) ## Show after how many calls each porting hazard is caught
	$(VENV)/bin/python tests/hazards/run.py

spans: build $(DATABASE) ## Record the real spans of tests/spans anew (wants Go 1.26)
	$(VENV)/bin/python tests/spans/record.py $(ARGS)

conformance: build ## Run h2spec against the wire engine and the proxy (wants Go)
	$(VENV)/bin/python wire/conformance.py

fuzz: ## Fuzz the wire engine and the proxy's core, FUZZ_SECONDS for each target
	$(PYTHON) wire/fuzz/run.py --seconds $(FUZZ_SECONDS)

simulate: ## Try every test and whole ramps thousands of times, and print how often they err
	$(CARGO) run --release -p cutover-compare --example simulate

build: $(VENV)/.ready ## Build everything in release mode
	$(CARGO) build --release --workspace --bins --locked

venv: $(VENV)/.ready ## Make the virtual environment

database: $(DATABASE) ## Load the 34,006 cities into SQLite

stubs: $(VENV)/.ready ## Generate the Python stubs from proto/
	$(VENV)/bin/python python_client/generate.py

fmt: $(VENV)/.ready ## Format everything
	$(CARGO) fmt --all
	$(VENV)/bin/ruff format python_client python_server tests demo bench wire

clean: ## Remove what was built
	rm -rf target $(VENV) .make

$(VENV)/.ready: requirements.txt python_client/pyproject.toml python_server/pyproject.toml
	$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 10) and "Python 3.10 or newer is needed")'
	$(PYTHON) -m venv $(VENV)
	$(VENV)/bin/pip install --quiet --disable-pip-version-check -r requirements.txt
	$(VENV)/bin/pip install --quiet --disable-pip-version-check --no-deps --no-build-isolation \
	    -e python_client -e python_server
	touch $@

$(DATABASE): $(VENV)/.ready
	mkdir -p $(@D)
	$(VENV)/bin/gazetteer-load --database $@.new
	mv $@.new $@
