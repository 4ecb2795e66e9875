# Every command of the house. `make help` lists them.
.DEFAULT_GOAL := help
SHELL := /bin/sh
PY := .venv/bin/python
export PYTHONPATH := services:infra:.

.PHONY: help
help: ## list the targets
	@awk -F ':.*## ' '/^[a-z-]+:.*## /{printf "  \033[1m%-14s\033[0m %s\n", $$1, $$2}' $(MAKEFILE_LIST) | \
		if [ -t 1 ]; then cat; else sed 's/\x1b\[[0-9;]*m//g'; fi

.PHONY: setup
setup: ## make .venv from the locked requirements (implied by the others, quick when nothing changed)
	@scripts/setup

.PHONY: run
run: setup ## start the whole platform here, show words and a bill, stay up until Ctrl-C
	@$(PY) -m onebox run

.PHONY: demo
demo: setup ## the same, then stop: exit status 0 only if words and bill are right
	@$(PY) -m onebox demo

.PHONY: test
test: setup ## unit, integration and end-to-end tests; starts what it needs on free ports (ARGS="-k name")
	@$(PY) -m pytest --numprocesses=2 --dist=loadfile --no-loadscope-reorder $(ARGS)

.PHONY: lint
lint: setup ## ruff (rules and format)
	@.venv/bin/ruff check .
	@.venv/bin/ruff format --check --quiet . || { echo "lint: files above need 'make format'"; exit 1; }

.PHONY: types
types: setup ## mypy --strict
	@.venv/bin/mypy

.PHONY: preview
preview: setup ## what `pulumi up` would make, without AWS (STACK=prod, ARGS=--json or --mermaid)
	@$(PY) -m aldea_infra.preview $(or $(STACK),prod) $(ARGS)

.PHONY: snapshots
snapshots: setup ## accept the previews of both stacks as reviewed
	@for stack in prod dev; do $(PY) -m aldea_infra.preview $$stack > tests/infra/snapshots/$$stack.txt || exit 1; done

.PHONY: format
format: setup ## rewrite the sources in the house's format
	@.venv/bin/ruff check --fix --quiet . || true
	@.venv/bin/ruff format .

.PHONY: lock
lock: setup ## rebuild requirements/*.txt from pyproject.toml (UPGRADE=1 for newest versions)
	@scripts/lock

.PHONY: images
images: ## build every service's container image (PYTHON_IMAGE=… DOCKER=… SERVICES="ws_proxy …")
	@scripts/images $(SERVICES)

.PHONY: test-images
test-images: setup images ## the images' own tests: user, size, signals, read-only root
	@TEST_IMAGES=1 $(PY) -m pytest tests/containers -s

.PHONY: bench
bench: bench-relay bench-http bench-usage ## every benchmark, one after another; leave the machine alone meanwhile

.PHONY: bench-relay
bench-relay: setup ## ws_proxy beside nginx and a message-level proxy, 6 min (ARGS="--quick", "--json", "throughput")
	@$(PY) -m benchmarks.relay $(ARGS)

.PHONY: bench-http
bench-http: setup ## http_proxy beside nginx and a plain aiohttp proxy, 4 min (ARGS="--quick", "--json", "requests")
	@$(PY) -m benchmarks.http $(ARGS)

.PHONY: bench-usage
bench-usage: setup ## the usage pipeline beside the same upserts straight from asyncpg, 2 min (ARGS="--quick", "--json")
	@$(PY) -m benchmarks.usage $(ARGS)

.PHONY: fuzz
fuzz: setup ## a million random and mutated inputs against the WebSocket code (ARGS="--seed 7 --inputs 100000")
	@$(PY) -m benchmarks.fuzz $(ARGS)

.PHONY: faults
faults: setup ## processes killed, paused and lying under 50 live streams; Redis paused for a whole minute
	@FAULTS_PAUSE_SECONDS=60 $(PY) -m pytest tests/integration/test_ws_faults.py -v

.PHONY: chaos
chaos: setup ## usage under kills, pauses, cuts, duplicates: every second billed once (MINUTES=30 SEED=1 ARGS=--json)
	@$(PY) -m tests.chaos $(if $(MINUTES),--minutes $(MINUTES)) --seed $(or $(SEED),1) $(ARGS)

.PHONY: clean
clean: ## remove .venv, caches and the onebox's data
	@rm -rf .venv .onebox .mypy_cache .ruff_cache .hypothesis
	@find . -name __pycache__ -type d -prune -exec rm -rf {} +
