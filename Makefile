# `make help` lists the targets. Everything is cargo underneath; what is here beside it installs
# packages that are missing and knows the order of things.

DEPENDENCIES := packaging/install-dependencies
CARGO        ?= cargo
# Where Debian has varnishd, and users don't look.
export PATH  := $(PATH):/usr/sbin

help: ## this list
	@sed -n 's/^\([a-z-]*\):.*## \(.*\)/\1\t\2/p' $(MAKEFILE_LIST) | expand -t 12

build: ## the module, the command line tool and the example programs, optimised
	@$(DEPENDENCIES) build examples
	$(CARGO) build --release --locked --package vmod_tinykvm --package tinykvm-cli
	$(MAKE) --no-print-directory -C guest/examples

demo: ## Varnish with example programs on 127.0.0.1:8080, until Ctrl-C
	@packaging/demo

test: ## all tests: unit tests, programs in real VMs, Varnish test cases, examples
	@.ci/test

vtc: ## only the Varnish test cases; make vtc TEST=hello runs those with hello in their name
	@$(DEPENDENCIES) build test
	$(CARGO) test --profile checked --locked --package vmod_tinykvm --test vtc -- $(TEST)

programs: ## real programs, timed: target/programs.json, docs/programs.md; make programs TEST=lua runs one
	@$(DEPENDENCIES) build programs
	$(CARGO) run --profile checked --locked --package tinykvm-programs -- $(TEST)

test-svm: ## the tests that boot guests, once more on emulated AMD hardware
	@$(DEPENDENCIES) build test svm
	tests/svm/run $(TEST)

bench: ## measures, prints, and writes target/bench.json
	@$(DEPENDENCIES) build bench
	$(CARGO) build --release --locked --package vmod_tinykvm
	$(CARGO) run --release --locked --package tinykvm-benches -- $(BENCH)

fuzz: ## 10 million arbitrary system calls against the personality; make fuzz FUZZ="--seconds 30"
	@$(DEPENDENCIES) build
	$(CARGO) run --profile checked --locked --package tinykvm-fuzz -- $(FUZZ)

mutants: ## changes the code in small ways; shows what no test notices (hours); make mutants TEST=pool
	@$(DEPENDENCIES) build
	packaging/mutants $(TEST)

lint: ## formatting, clippy, documentation, house rules
	@.ci/lint

fmt: ## formats all Rust code
	$(CARGO) fmt --all
	cd guest/rust && $(CARGO) fmt
	for example in guest/examples/*/Cargo.toml; do $(CARGO) fmt --manifest-path $$example; done

doc: ## API documentation and manual page: target/doc, target/vmod_tinykvm.3
	@$(DEPENDENCIES) build doc
	@packaging/manual

headers: ## regenerates guest/c/include/tinykvm_abi.h from crates/abi
	BLESS=1 $(CARGO) test --profile checked --locked --package tinykvm-abi header

ci: ## everything that a change has to pass
	@.ci/run

.PHONY: help build demo test vtc programs test-svm bench fuzz mutants lint fmt doc headers ci
