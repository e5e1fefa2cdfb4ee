# Everything sets itself up: `make smoke` on a machine with Python 3.11 and make is all there is to do.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
SMOKE := $(BIN)/locust --config scenarios/smoke.conf
ARGS ?=

.PHONY: help smoke leak isolation golden-path suites recovery soak ui preflight calibrate compiled incidents detection-matrix bench accuracy scale coverage
.PHONY: test test-long lint format clean

help:
	@echo "make smoke   20 users for 40 s on the reference backend: verdict and report"
	@echo "make leak    the same on a backend that leaks: red, with its evidence"
	@echo "make isolation   50 people press on every place where one's data could reach another"
	@echo "make golden-path   50 people do everything for 5 minutes, each in journeys of its own"
	@echo "make suites  the platform's checks and suites, as one load test, by name"
	@echo "make recovery    the backend restarts and puts people off; do they come back with nothing lost?"
	@echo "make soak        half an hour of people whose tokens live two minutes: what is lost, what grows"
	@echo "make ui      explore in the Locust web UI on http://127.0.0.1:8089"
	@echo "make preflight   is the target ready? what is wrong, where, and what to do"
	@echo "make calibrate   up to how many events a second does this machine know when each one came?"
	@echo "make compiled    the receive path as C, where there is a compiler: load tests cost less"
	@echo "make bench       beside k6, plain Locust and a bare reader: CPU per event, error against the sender's clock"
	@echo "make accuracy    stamps against the sender's clock at half and nearly all of a processor"
	@echo "make scale       100 to 10,000 users on this machine: memory, CPU, lag, loss"
	@echo "make coverage    do the statistics hold what they say? On simulated load tests"
	@echo "make detection-matrix   every fault of the reference backend: what it is caught as, and how soon"
	@echo "make incidents   real leaks of real libraries: found on the release that has them, not on the fixed one"
	@echo "make test    all tests          make lint    style and types          make test-long   those that take minutes"
	@echo "ARGS=… adds Locust options: make smoke ARGS='--users 50 --host wss://…'"

smoke: $(VENV)/ready
	@$(SMOKE) $(ARGS)

# Exit code 3 is what this is for; make reports any other as an error of its own.
leak: $(VENV)/ready
	@$(SMOKE) --faults leak_content --fail-fast $(ARGS); code=$$?; \
	$(BIN)/python -m reports evidence results/latest; exit $$code

isolation: $(VENV)/ready
	@$(BIN)/locust --config scenarios/isolation.conf $(ARGS)

golden-path: $(VENV)/ready
	@$(BIN)/locust --config scenarios/golden_path.conf $(ARGS)

# The reference backend restarts, puts people off and loses parts of itself, and is right all the same.
recovery: $(VENV)/ready
	@$(BIN)/locust --config scenarios/recovery.conf $(ARGS)

# Half an hour of people who stay, with tokens that live two minutes.
soak: $(VENV)/ready
	@PYTHONPATH=. $(BIN)/python -m bench.soak $(ARGS)

suites: $(VENV)/ready
	@$(BIN)/locust --config scenarios/suites.conf $(ARGS)

ui: $(VENV)/ready
	@$(BIN)/locust $(ARGS)

preflight: $(VENV)/ready
	@$(BIN)/python -m crosstalk.tools.preflight --config scenarios/smoke.conf $(ARGS)

# The result stays with this machine; load tests warn above half of it.
calibrate: $(VENV)/ready
	@$(BIN)/python -m crosstalk.tools.calibrate $(ARGS)

# The same sources through mypyc; one that is edited afterwards runs as it is.
compiled: $(VENV)/ready
	@$(BIN)/python -m pip install -q --disable-pip-version-check -r requirements-compile.txt
	@$(BIN)/python -m crosstalk.tools.compile

# Compiled where there is a compiler; both are measured. About 25 minutes.
bench: $(VENV)/ready-bench
	@$(BIN)/python -m crosstalk.tools.compile || true
	@PYTHONPATH=. $(BIN)/python -m bench.side_by_side $(ARGS)

accuracy: $(VENV)/ready
	@PYTHONPATH=. $(BIN)/python -m bench.accuracy $(ARGS)

scale: $(VENV)/ready
	@PYTHONPATH=. $(BIN)/python -m bench.scale $(ARGS)

coverage: $(VENV)/ready
	@PYTHONPATH=. $(BIN)/python -m bench.coverage $(ARGS)

# Installs the releases into environments of their own; ARGS='--times 10' repeats each load test.
incidents: $(VENV)/ready
	@$(BIN)/python -m examples.incidents $(ARGS)

# Some minutes; bench/results gets the table and the picture.
detection-matrix: $(VENV)/ready
	@PYTHONPATH=. $(BIN)/python -m bench.detection_matrix $(ARGS)

test: $(VENV)/ready-dev
	@$(BIN)/python -m pytest -n 4 --dist loadgroup $(ARGS)

# A load test of minutes each: not part of `make test`.
test-long: $(VENV)/ready-dev
	@$(BIN)/python -m pytest -m long $(ARGS)

lint: $(VENV)/ready-dev
	@$(BIN)/ruff check . && $(BIN)/ruff format --check . && $(BIN)/mypy crosstalk reports users scenarios locustfile.py

format: $(VENV)/ready-dev
	@$(BIN)/ruff check --fix . ; $(BIN)/ruff format .

clean:
	rm -rf $(VENV) results build *.egg-info .pytest_cache .mypy_cache .ruff_cache

$(VENV)/ready: requirements.txt
	@$(PYTHON) -c 'import sys; sys.exit(0 if sys.version_info >= (3, 11) else "Python 3.11 or newer is needed, this is " + sys.version.split()[0] + "; say make PYTHON=python3.11 …")'
	@test -x $(BIN)/python || $(PYTHON) -m venv $(VENV)
	@echo "installing what requirements.txt names …"
	@$(BIN)/python -m pip install -q --disable-pip-version-check -r requirements.txt
	@touch $@

$(VENV)/ready-bench: $(VENV)/ready bench/requirements.txt requirements-compile.txt
	@$(BIN)/python -m pip install -q --disable-pip-version-check -r bench/requirements.txt -r requirements-compile.txt
	@touch $@

$(VENV)/ready-dev: $(VENV)/ready requirements-dev.txt
	@$(BIN)/python -m pip install -q --disable-pip-version-check -r requirements-dev.txt
	@touch $@
