# Every command of the repository. `make help` lists them.
.DEFAULT_GOAL := help
SHELL := /bin/sh
PY := .venv/bin/python
export PYTHONPATH := services:infra:.
# Arguments of the scripts; each script says which it uses.
export STACK URL ROUNDS LANE MINUTES
# Compiled modules and rewritten tests are kept, whatever the shell says: `make test` starts some 150 processes.
unexport PYTHONDONTWRITEBYTECODE

.PHONY: help
help: ## list the targets
	@awk -F ':.*## ' '/^[a-z-]+:.*## /{printf "  \033[1m%-16s\033[0m %s\n", $$1, $$2}' $(MAKEFILE_LIST) | \
		if [ -t 1 ] && [ "$${TERM:-dumb}" != dumb ]; then cat; else sed 's/\x1b\[[0-9;]*m//g'; fi

.PHONY: setup
setup: ## make .venv from the locked requirements (implied by the others, quick when nothing changed)
	@scripts/setup

.PHONY: run
run: setup ## start the whole platform here, show words and their usage, stay up until Ctrl-C (ARGS=--create-queues)
	@$(PY) -m onebox run $(ARGS)

.PHONY: demo
demo: setup ## the same, then stop: exit status 0 only if words and bill are right (ARGS=--kill-engine)
	@$(PY) -m onebox demo $(ARGS)

# Four processes for everything; none beside this one where files are named, since each would first collect all tests.
IN_PARALLEL = $(if $(filter tests/%,$(ARGS)),,--numprocesses=4 --dist=loadscope --no-loadscope-reorder)

.PHONY: test
test: setup ## unit, integration and end-to-end tests; starts what it needs on free ports (ARGS="-k name" or files)
	@$(PY) -m pytest $(IN_PARALLEL) $(ARGS)

.PHONY: coverage
coverage: setup ## the unit and integration tests, and how much of each service's code they run (.coverage-report/)
	@$(PY) -m pytest $(IN_PARALLEL) $(or $(ARGS),--ignore=tests/e2e --ignore=tests/containers) \
		--cov --cov-report=term:skip-covered --cov-report=html:.coverage-report

.PHONY: observe
observe: setup ## make run with /metrics, a page of figures, and Prometheus and Grafana if they are installed
	@$(PY) -m onebox run --observe $(ARGS)

.PHONY: game-day
game-day: setup ## a fault for each alert, staged in a onebox: the alert has to fire and to end (needs prometheus; 6 min)
	@$(PY) -m pytest -v --durations=0 tests/e2e/test_alerts.py $(ARGS)

.PHONY: watch
watch: setup ## make run without the demo: a service whose code changes is started again
	@$(PY) -m onebox run --no-demo --watch $(ARGS)

.PHONY: test-infra
test-infra: setup ## the Pulumi program's tests alone, without AWS (the lock's with the real CLI, where one is on PATH)
	@$(PY) -m pytest tests/infra $(ARGS)

.PHONY: lint
lint: setup ## ruff (rules and format); zizmor and GitHub's schema on the workflows; compose.yaml against its schema
	@.venv/bin/ruff check .
	@.venv/bin/ruff format --check --quiet . || { echo "lint: files above need 'make format'"; exit 1; }
	@.venv/bin/zizmor --offline --quiet --persona=pedantic --strict-collection .github
	@.venv/bin/check-jsonschema --quiet --builtin-schema vendor.github-workflows .github/workflows/*.yml
	@.venv/bin/check-jsonschema --quiet --builtin-schema vendor.dependabot .github/dependabot.yml
	@.venv/bin/check-jsonschema --quiet --builtin-schema vendor.compose-spec compose.yaml

.PHONY: types
types: setup ## mypy --strict
	@.venv/bin/mypy

.PHONY: preview
preview: setup ## what `pulumi up` would create, without AWS (STACK=prod, ARGS=--json or --mermaid)
	@$(PY) -m aldea_infra.preview $(or $(STACK),prod) $(ARGS)

.PHONY: preview-offline
preview-offline: setup ## both stacks' previews as Markdown in .deploy/, without AWS
	@scripts/preview offline

.PHONY: preview-cloud
preview-cloud: setup ## `pulumi preview` of STACK with the deployed images, as Markdown in .deploy/
	@scripts/preview cloud

.PHONY: rehearse
rehearse: setup ## plan, apply on an emulator, and change STACK with terraform and AWS's provider, where both are (TF_PLUGIN_DIR=)
	@$(PY) -m aldea_infra.rehearse $(or $(STACK),prod) $(ARGS)

.PHONY: preflight
preflight: setup ## what prevents STACK's first `pulumi up`, read from its account (ARGS=--json)
	@$(PY) -m aldea_infra.preflight $(or $(STACK),prod) $(ARGS)

.PHONY: drift
drift: setup ## what somebody changed in AWS behind STACK's back, as Markdown in .deploy/; fails if anything
	@scripts/preview drift

.PHONY: comment
comment: ## put the preview NAME on the pull request PR (GITHUB_TOKEN, GITHUB_REPOSITORY, GITHUB_API_URL)
	@scripts/comment "$(NAME)" "$(PR)"

.PHONY: snapshots
snapshots: setup ## accept the previews of both stacks as reviewed
	@for stack in prod dev; do $(PY) -m aldea_infra.preview $$stack > tests/infra/snapshots/$$stack.txt || exit 1; done

.PHONY: observability
observability: setup ## write the rules and dashboards of observability/ anew
	@$(PY) -m onebox.observe

.PHONY: format
format: setup ## rewrite the sources in the project's format
	@.venv/bin/ruff check --fix --quiet . || true
	@.venv/bin/ruff format .

.PHONY: lock
lock: setup ## rebuild requirements/*.txt from pyproject.toml (UPGRADE=1 for newest versions)
	@scripts/lock

.PHONY: images
images: ## build every service's container image (PYTHON_IMAGE=… DOCKER=… SERVICES="ws_proxy …")
	@scripts/images $(SERVICES)

.PHONY: test-images
test-images: setup images ## every image and the platform from them: user, size, signals, read-only root, a stream, a push
	@TEST_IMAGES=1 $(PY) -m pytest tests/containers $(ARGS)

.PHONY: run-images
run-images: setup ## make run, but every service from its image (`make images` first), locked down as in production
	@$(PY) -m onebox run --images $(ARGS)

.PHONY: push-images
push-images: setup ## build and push what STACK's registry lacks; digests to .deploy/images.json
	@$(PY) -m aldea_infra.publish $(STACK) --out .deploy/images.json \
		$(if $(wildcard .deploy/previous.json),--cache .deploy/previous.json) $(ARGS)

.PHONY: sign-images
sign-images: setup ## sign .deploy/images.json in STACK's registry and attest what is in each (GitHub only: cosign, syft)
	@scripts/sign

.PHONY: audit
audit: setup ## known weaknesses of the locked packages, every file of requirements/ (pip-audit, fetched by uv)
	@for file in requirements/*.txt; do echo "audit: $$file"; \
		.venv/bin/uvx --quiet pip-audit==2.9.0 --disable-pip --require-hashes --requirement "$$file" || exit 1; done

.PHONY: deploy-begin
deploy-begin: setup ## note which digests run in STACK now, for its cache and its rollback
	@scripts/deploy begin

.PHONY: deploy-migrate
deploy-migrate: setup ## migrate STACK's database by a one-off task with the new backend (or the deployed one), wait for it
	@scripts/deploy migrate

.PHONY: deploy-up
deploy-up: setup ## `pulumi up` of STACK with .deploy/images.json
	@scripts/deploy up

.PHONY: deploy-staged
deploy-staged: setup ## deploy-up in stages: a lane at 5 %, watched, 50 %, everywhere; or back (LANE=live1 MINUTES=5)
	@scripts/deploy staged

.PHONY: deploy-verify
deploy-verify: setup ## wait until STACK is steady, compare definitions and running digests with .deploy/images.json
	@scripts/deploy verify

.PHONY: deploy-prune
deploy-prune: setup ## delete images of STACK's registry that nothing runs or goes back to (the newest 20, and a month's, stay)
	@scripts/deploy prune

.PHONY: deploy-rollback
deploy-rollback: setup ## put STACK back to .deploy/previous.json, and verify that
	@scripts/deploy rollback

.PHONY: smoke
smoke: setup ## one stream, one upload, their bill, through STACK's address (none: the onebox here; URL=… CANARY_KEY=…)
	@scripts/smoke

.PHONY: bench
bench: bench-relay bench-http bench-usage bench-alerts bench-api ## every benchmark, one after another; leave the machine alone meanwhile

.PHONY: bench-relay
bench-relay: setup ## ws_proxy against nginx and a message-level proxy, 6 min (ARGS="--quick", "--json", "throughput")
	@$(PY) -m benchmarks.relay $(ARGS)

.PHONY: bench-http
bench-http: setup ## http_proxy against nginx and a plain aiohttp proxy, 4 min (ARGS="--quick", "--json", "requests")
	@$(PY) -m benchmarks.http $(ARGS)

.PHONY: accuracy
accuracy: setup ## word error rates of the STT server's engines, their speed and memory, 8 min (ARGS="--quick", "--streams", "--json")
	@$(PY) -m benchmarks.accuracy $(ARGS)

.PHONY: bench-tracing
bench-tracing: setup ## processor time of ws_proxy with a tenth of the streams traced, against none, 3 min (ARGS="--rounds 10", "--json")
	@$(PY) -m benchmarks.tracing $(ARGS)

.PHONY: bench-first-words
bench-first-words: setup ## the proxy's time to first words against its client's own clock, 1 min (ARGS="--json")
	@$(PY) -m benchmarks.first_words $(ARGS)

.PHONY: bench-usage
bench-usage: setup ## the usage pipeline against the same upserts straight from asyncpg, 2 min (ARGS="--quick", "--json")
	@$(PY) -m benchmarks.usage $(ARGS)

.PHONY: bench-alerts
bench-alerts: setup ## from the reading that crosses a threshold to the webhook, at 1,000 readings/s, 2 min (ARGS="--quick", "--json")
	@$(PY) -m benchmarks.alerts $(ARGS)

.PHONY: bench-api
bench-api: setup ## the Platform API against bare statements, at 5 million requests of usage, 6 min (ARGS="--quick", "--json")
	@$(PY) -m benchmarks.api $(ARGS)

.PHONY: scale
scale: setup ## what so many streams need, from measured costs (ARGS="--streams 250000 --seconds 60", "--write" for docs/scale.md)
	@$(PY) -m benchmarks.scale $(ARGS)

.PHONY: settings
settings: setup ## write docs/settings.md from the settings classes
	@$(PY) -m tests.settings_document

.PHONY: figures
figures: setup ## write the last results of every benchmark into README.md and docs/performance.md
	@$(PY) -m benchmarks.figures

.PHONY: fuzz
fuzz: setup fuzz-edge fuzz-heads ## strangers' requests to every service, a million heads, a million inputs to the WebSocket code (ARGS="--seed 7")
	@$(PY) -m benchmarks.fuzz $(ARGS)

.PHONY: fuzz-edge
fuzz-edge: setup ## strangers' requests to every service alone: no 5xx, no hang, nothing left (SEED=1 REQUESTS=20000)
	@FUZZ_SEED=$(or $(SEED),1) FUZZ_REQUESTS=$(or $(REQUESTS),20000) $(PY) -m pytest tests/integration/platform/test_fuzz.py -s

.PHONY: fuzz-heads
fuzz-heads: setup ## a million heads of requests: what http_proxy reads without aiohttp, aiohttp reads the same (ARGS="--seed 7")
	@$(PY) -m benchmarks.fuzz_heads $(ARGS)

.PHONY: faults
faults: setup ## processes killed, paused and misbehaving under 50 live streams; Redis paused for a whole minute
	@FAULTS_PAUSE_SECONDS=60 FAULTS_STREAMS=50 $(PY) -m pytest -v \
		$(addprefix tests/integration/ws_proxy/,test_ws_faults.py test_ws_peers.py test_ws_unbroken.py)

.PHONY: clients
clients: setup ## unmodified clients of JavaScript, Go, Rust and Python against a onebox, where their toolchains are (ARGS="js go")
	@$(PY) -m tests.clients $(ARGS)

.PHONY: chaos
chaos: setup ## kills, pauses, cuts, duplicates: every word and second once (MINUTES=30 SEED=1 ARGS="--streams 50 --json")
	@$(PY) -m tests.chaos $(if $(MINUTES),--minutes $(MINUTES)) --seed $(or $(SEED),1) $(ARGS)

.PHONY: screenshots
screenshots: setup ## every page of the console, both themes, phone and wide, as PNG (FOLDER=… ARGS="overview usage")
	@$(PY) -m tests.e2e.screenshots $(or $(FOLDER),.onebox/screenshots) $(ARGS)

.PHONY: dashboards
dashboards: setup ## the shipped dashboards as PNG, from a platform under load, where Prometheus is installed (FOLDER=… MINUTES=8)
	@$(PY) -m tests.e2e.dashboards $(or $(FOLDER),.onebox/screenshots) $(MINUTES)

.PHONY: console-figures
console-figures: setup ## size and CPU time of the console's pages in a real Chromium; leave the machine alone meanwhile
	@$(PY) -m tests.e2e.figures

.PHONY: clean
clean: ## remove .venv, caches and the onebox's data, unless the platform runs
	@scripts/clean

.PHONY: clean-data
clean-data: ## remove the onebox's data alone, unless the platform runs
	@scripts/clean data
