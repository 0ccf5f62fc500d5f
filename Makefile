PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
ARGS ?= tests
WORKERS ?= auto

.PHONY: help demo-needs demo demo-once test check bench kill clean

help:
	@echo "make demo              try it out: a server, a mirror of it, packages that arrive; Ctrl-C ends it"
	@echo "make demo-once         the same, proved with apt-get, then it ends"
	@echo "make test              run all tests; installs the clients that they need"
	@echo "make test ARGS='tests/unit -k plan'   run some of them"
	@echo "make check             ruff, mypy and the rules of the architecture"
	@echo "make kill              kill the agent 200 times at random moments, and look after each"
	@echo "make bench             measure against aptly, reprepro and apt-ftparchive"
	@echo "make clean             remove the virtual environment, the demo and what tests downloaded"

$(VENV)/run: requirements/run.txt pyproject.toml
	@PYTHON="$(PYTHON)" packaging/check-needs python
	@test -x $(BIN)/python || $(PYTHON) -m venv $(VENV)
	@echo "installing into $(VENV) ..."
	@$(BIN)/pip install -q --disable-pip-version-check --require-hashes -r requirements/run.txt
	@$(BIN)/pip install -q --disable-pip-version-check --no-deps --no-build-isolation -e .
	@touch $@

$(VENV)/test: $(VENV)/run requirements/test.txt
	@$(BIN)/pip install -q --disable-pip-version-check --require-hashes -r requirements/test.txt
	@touch $@

# Everything that the demo lacks is named before anything is installed.
demo-needs:
	@PYTHON="$(PYTHON)" packaging/check-needs python demo

demo: demo-needs $(VENV)/run
	@$(BIN)/packrat-agent demo

demo-once: demo-needs $(VENV)/run
	@$(BIN)/packrat-agent demo --once --listen 127.0.0.1:0

test: $(VENV)/test
	@tests/provision.sh
	@$(BIN)/pytest -n $(WORKERS) --dist loadfile $(ARGS)

check: $(VENV)/test
	@$(BIN)/ruff check .
	@$(BIN)/ruff format --check .
	@$(BIN)/mypy
	@$(BIN)/pytest tests/unit/test_architecture.py

kill: $(VENV)/test
	@tests/provision.sh gpg gpgv
	@PYTHONPATH=tests $(BIN)/python -m bench.kill $(KILL)

bench: $(VENV)/test
	@tests/provision.sh aptly reprepro apt-ftparchive
	@$(BIN)/python -m bench $(BENCH)

clean:
	rm -rf $(VENV) packrat-demo .cache
