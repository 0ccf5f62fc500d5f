PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
# Most tests wait for programs and for the disk half of their time.
WORKERS ?= $(shell echo $$(( ($$(nproc) * 3 + 1) / 2 )))

.PHONY: reference bench-server deb test-deb release help demo-needs demo demo-once test check requirements bench kill window fuzz mutants test-sid test-trixie clean

help:
	@echo "make demo              try it out: a server, a mirror of it, packages that arrive; Ctrl-C ends it"
	@echo "make demo-once         the same, proved with apt-get, then it ends"
	@echo "make test              run all tests; installs the clients that they need"
	@echo "make test ARGS='tests/agent -k plan'   run some of them"
	@echo "make check             ruff, mypy, import-linter, deptry, vulture and the rules of the architecture"
	@echo "make reference         regenerate docs/reference.md from the code"
	@echo "make requirements      pin what pyproject.toml asks for, with hashes; what is pinned stays as it is"
	@echo "make deb               build the Debian packages of agent and server for bookworm and trixie into dist/"
	@echo "make test-deb          build and install them in fresh roots of both, with lintian and a real client"
	@echo "make release           build what a release consists of, from a clean clone at its tag, into dist/"
	@echo "make test-sid          the tests with clients of other releases, on Debian sid"
	@echo "make test-trixie       follow the README and the pages of docs/ in Debian 13"
	@echo "make kill              kill the agent 200 times at random moments, and look after each; ARGS=--counted: at system calls"
	@echo "make window            have real clients meet every tree of a publication that makes a difference to them"
	@echo "make fuzz              feed all readers with inputs made wrong for 10 minutes; ARGS='--minutes 60', ARGS='--replay FILE'"
	@echo "make mutants           change the program in 300 places, one at a time, and count which changes the tests notice"
	@echo "make bench             measure beside aptly, reprepro, createrepo_c, dumb-pypi …; takes hours, ARGS=--quick minutes"
	@echo "make bench-server      measure what a tag costs packrat-server with many mirrors"
	@echo "make clean             remove the virtual environment, the demo and what tests downloaded"

$(VENV)/run: requirements/run.txt pyproject.toml src/packrat_core/__init__.py
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
	@$(BIN)/pytest -n $(WORKERS) --dist loadfile --no-loadscope-reorder --max-worker-restart 3 --durations 20 $(or $(ARGS),tests)

check: $(VENV)/test
	@$(BIN)/ruff check .
	@$(BIN)/ruff format --check .
	@$(BIN)/mypy
	@$(BIN)/lint-imports --no-cache
	@$(BIN)/deptry src bench
	@$(BIN)/deptry src bench tests --exclude '^$$' --ignore DEP002,DEP004
	@$(BIN)/vulture
	@$(BIN)/vulture src bench tests
	@$(BIN)/pytest tests/project/test_architecture.py

reference: $(VENV)/test
	@PYTHONPATH=tests $(BIN)/python -m support.reference

# Pins are for all platforms and for every Python that we support; no registry's address gets into the files.
COMPILE = $(UV) pip compile -q $(UPGRADE:%=--upgrade-package %) --universal --python-version 3.11 --generate-hashes --no-header --no-annotate
UV ?= .cache/clients/bin/uv

requirements:
	@test -x "$$(command -v $(UV))" || { echo "uv is missing: run tests/provision.sh, or set UV=/path/to/uv" >&2; exit 1; }
	@$(COMPILE) --extra server pyproject.toml requirements/build.in -o requirements/run.txt
	@$(COMPILE) --extra server --extra test pyproject.toml requirements/build.in -o requirements/test.txt
	@$(COMPILE) requirements/clients.in -o requirements/clients.txt
	@$(COMPILE) requirements/peers.in -o requirements/peers.txt
	@$(COMPILE) requirements/bench.in -o requirements/bench.txt

# What it downloads stays in .cache/deb. DEB=--release trixie builds for one.
deb: $(VENV)/run
	@$(BIN)/python packaging/deb/build.py $(DEB)

release: $(VENV)/run
	@packaging/release

test-deb: $(VENV)/test
	@tests/provision.sh
	@tests/provision.sh lintian
	@PACKRAT_DEB=all $(BIN)/pytest tests/clients/test_deb.py

# sid changes daily, so it is not in `test`.
test-sid: $(VENV)/test
	@rm -rf .cache/debian-sid
	@PACKRAT_MORE_RELEASES=debian-sid tests/provision.sh
	@PACKRAT_MORE_RELEASES=debian-sid $(BIN)/pytest -k debian-sid tests

# Of the roots, only those of Debian 12 are made for `test`.
test-trixie: $(VENV)/test
	@PACKRAT_WALK_RELEASE=debian-13 tests/provision.sh
	@PACKRAT_WALK_RELEASE=debian-13 $(BIN)/pytest tests/clients/test_readme_walk.py tests/clients/test_docs_*.py

kill: $(VENV)/test
	@tests/provision.sh gpg gpgv
	@PYTHONPATH=tests $(BIN)/python -m bench.kill $(ARGS)

window: $(VENV)/test
	@tests/provision.sh
	@PACKRAT_WINDOW=all $(BIN)/pytest tests/crash/test_window.py

fuzz: $(VENV)/test
	@PYTHONPATH=tests $(BIN)/python -m bench.fuzz $(ARGS)

mutants: $(VENV)/test
	@tests/provision.sh gpg gpgv
	@$(BIN)/python -m bench.mutants $(ARGS)

bench-server: $(VENV)/test
	@tests/provision.sh initdb
	@PYTHONPATH=tests $(BIN)/python -m bench.wake $(ARGS)

bench: $(VENV)/test
	@tests/provision.sh aptly reprepro apt-ftparchive createrepo_c aria2c nginx dumb-pypi
	@$(BIN)/python -m bench $(ARGS)

clean:
	rm -rf $(VENV) packrat-demo .cache
