# The chores of the project. `make` alone lists them.

TARGET := $(or $(CARGO_TARGET_DIR),$(CURDIR)/target)
VENV := $(TARGET)/python-venv
PORTAL := portal/dist/index.html.gz
PORTAL_SOURCES := $(shell find portal/src portal/public -type f) $(addprefix portal/,index.html package-lock.json package.json tsconfig.json vite.config.ts)
CHROMIUM := /usr/bin/chromium
# apt needs root; without it, what is missing is named and the user installs it.
APT := $(shell [ "$$(id -u)" = 0 ] && echo apt-get || echo sudo -n apt-get)

.PHONY: help run build test lint unit portal-unit blackbox portal-test nightly clients oracle bench score reference screenshots

help:
	@echo "make run     build, then start Turnstone with an agent for this machine"
	@echo "make test    build, then run all tests"
	@echo "make nightly the tests that take too long for every change"
	@echo "make lint    formatting and clippy"
	@echo "make bench   measure it all, beside DuckDB and ClickHouse where ../shared is; needs some 60 GB of disk;"
	@echo "             writes docs/performance.md"
	@echo "make reference   render docs/reference from the specifications"
	@echo "make screenshots take the pictures of docs/portal"
	@echo "make score   score the query language against ../shared/conformance, where it is there"

# The agent reads the packet filter through nft or iptables; where there is neither, and packages can be installed
# without asking, nftables is.
run: $(PORTAL)
	cargo build --release --locked --workspace
	@command -v nft >/dev/null || command -v iptables-save >/dev/null || \
		($(APT) update -q && $(APT) install -y -q nftables) >/dev/null 2>&1 || \
		echo "neither nft nor iptables is here: the agent cannot see the firewall"
	exec $(TARGET)/release/turnstone up --raw-events

build: $(PORTAL)
	cargo build --locked --workspace

test: lint-format unit portal-unit blackbox portal-test clients oracle

# The portal's files, which become part of the program.
$(PORTAL): $(PORTAL_SOURCES)
	@command -v npm >/dev/null || ($(APT) update -q && $(APT) install -y -q nodejs npm) || \
		(echo "the portal is built with Node.js 18.20 or newer; install nodejs and npm" && false)
	cd portal && npm ci --silent && npm run --silent build

.PHONY: lint-format
lint-format:
	cargo fmt --all --check
	python3 docs/reference/render.py --check

reference:
	python3 docs/reference/render.py

lint: lint-format
	cargo clippy --locked --workspace --all-targets -- -D warnings

unit: $(PORTAL)
	cargo test --locked --workspace

portal-unit: $(PORTAL)
	cd portal && npm test --silent

blackbox: build $(VENV)/ready
	@ls /usr/lib/*/faketime/libfaketimeMT.so.1 >/dev/null 2>&1 || ($(APT) update -q && $(APT) install -y -q faketime)
	TURNSTONE_BIN=$(TARGET)/debug $(VENV)/bin/pytest -q tests/blackbox

# The portal in a real browser, against the real program.
portal-test: build $(VENV)/ready $(CHROMIUM)
	TURNSTONE_BIN=$(TARGET)/debug $(VENV)/bin/pytest -q tests/portal

screenshots: build $(VENV)/ready $(CHROMIUM)
	TURNSTONE_BIN=$(TARGET)/debug $(VENV)/bin/python tests/portal/screenshots.py docs/portal

$(CHROMIUM):
	$(APT) update -q && $(APT) install -y -q chromium

# What takes too long for every change: 200 kills at random moments.
nightly: build $(VENV)/ready
	TURNSTONE_KILL_ROUNDS=200 TURNSTONE_BIN=$(TARGET)/debug $(VENV)/bin/pytest -q tests/blackbox/test_durability.py -k random_moments

# Clients of the Azure ecosystem, unmodified; some have environments of their own.
clients: build $(VENV)/ready
	@command -v npm >/dev/null || ($(APT) update -q && $(APT) install -y -q nodejs npm)
	TURNSTONE_CLIENT_VENVS=$(TARGET)/client-venvs TURNSTONE_BIN=$(TARGET)/debug $(VENV)/bin/pytest -q tests/clients

# Queries made from a grammar, against Microsoft's language service.
oracle: build $(VENV)/ready $(TARGET)/oracle/ready
	TURNSTONE_BIN=$(TARGET)/debug ORACLE_MODULES=$(TARGET)/oracle/node_modules $(VENV)/bin/pytest -q tests/oracle

$(TARGET)/oracle/ready: tests/oracle/package.json
	@command -v npm >/dev/null || ($(APT) update -q && $(APT) install -y -q nodejs npm)
	@mkdir -p $(TARGET)/oracle && cp tests/oracle/package.json $(TARGET)/oracle/
	npm install --silent --no-package-lock --prefix $(TARGET)/oracle
	@touch $@

$(VENV)/ready: tests/requirements.txt
	@python3 -c 'import ensurepip, venv' 2>/dev/null || ($(APT) update -q && $(APT) install -y -q python3-venv)
	python3 -m venv $(VENV)
	$(VENV)/bin/pip install -q -r tests/requirements.txt
	@touch $@

bench: $(PORTAL) $(CHROMIUM) $(TARGET)/peers-venv/ready
	cargo build --release --locked --workspace
	python3 -B bench/bench.py --bin $(TARGET)/release --python $(TARGET)/peers-venv/bin/python --work $(TARGET)/bench \
		--results $(TARGET)/bench/results --out docs/performance.md

$(TARGET)/peers-venv/ready:
	@python3 -c 'import ensurepip, venv' 2>/dev/null || ($(APT) update -q && $(APT) install -y -q python3-venv)
	python3 -m venv $(TARGET)/peers-venv
	$(TARGET)/peers-venv/bin/pip install -q duckdb chdb numpy pyarrow playwright
	@touch $@

score: build
	python3 -B bench/score.py --bin $(TARGET)/debug
