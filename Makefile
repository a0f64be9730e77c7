# What people and CI type. `make demo` is the tour; `make test` is what a change must pass, `make test-all` is all.

BIN := .venv/bin
LINT := schemas infra agent gateway streams sinks tests bench

.PHONY: demo demo-e2e demo-fleet console setup test test-live test-alone test-slow test-all lint format bench requirements clean

demo: ## the whole product on real input, in one data directory
	@infra/bootstrap.sh --demo
	@$(BIN)/sealstream demo

demo-e2e: ## end-to-end encryption: seal, search, unlock, and look for leaks in every file and memory (as root)
	@infra/bootstrap.sh --demo
	@$(BIN)/sealstream demo --end-to-end

demo-fleet: ## a fleet in network namespaces; an application server and a miner are killed, and nothing is missed (as root)
	@infra/bootstrap.sh --demo
	@$(BIN)/sealstream demo --fleet

console: ## the console's pages, into gateway/console/dist/pages
	@infra/bootstrap.sh --demo

setup: ## what the product needs on this machine, and nothing more
	@infra/bootstrap.sh

test: ## all tests but the slow ones, in two runs side by side; starts and stops the real components that it needs
	@infra/bootstrap.sh --demo
	@echo "two runs side by side, some fifteen minutes; each tells at its end" >&2
	@$(MAKE) --no-print-directory --jobs=2 --output-sync=line test-live test-alone

test-live: ## of these, what needs the real components
	$(BIN)/pytest -q -m "live and not slow and not chaos"

test-alone: ## of these, what needs none of them
	$(BIN)/pytest -q -m "not live and not slow and not chaos"

test-slow: ## kills, rebalances and restarts under load, real desktops, whole commands
	@infra/bootstrap.sh --demo
	$(BIN)/pytest -q -m slow

test-chaos: ## break a fleet of several hosts in every way, then count every envelope (as root, about ten minutes)
	@infra/bootstrap.sh --demo
	$(BIN)/pytest -q -s -m chaos tests/chaos

test-all: test test-slow test-chaos lint ## all of it

lint: ## style, types, scripts
	@infra/bootstrap.sh
	$(BIN)/ruff check $(LINT)
	$(BIN)/ruff format --check $(LINT)
	$(BIN)/mypy
	@if command -v shellcheck >/dev/null; then shellcheck infra/bootstrap.sh .ci/run; fi

format: ## put the code into form
	$(BIN)/ruff check --fix $(LINT)
	$(BIN)/ruff format $(LINT)

BENCHES := seal gateway connections fleet ocr sinks replay latency blind_index live player tracing

bench: ## each bench against its peer, one after the other, on the local stack
	@infra/bootstrap.sh --demo
	@$(BIN)/sealstream up --ports auto
	@set -e; for bench in $(BENCHES); do \
	    test -e "bench/$$bench.py" || continue; \
	    echo "== $$bench"; $(BIN)/python -m "bench.$$bench"; \
	done

requirements: ## write requirements.txt anew from pyproject.toml (no registry's address comes into it)
	UV_PYTHON_DOWNLOADS=never uv export --quiet --format requirements.txt --all-groups --no-emit-project --no-header \
	    --output-file requirements.txt

clean: ## what can be made again: the environment and caches; never a data directory
	rm -rf .venv .sealstream .pytest_cache .mypy_cache .ruff_cache .hypothesis
