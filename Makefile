# Everything from a bare clone with nothing but Python >= 3.11 and make.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
CODE := actors barray bench coordinator data_sources docs market trading
INSTALLED := $(VENV)/.installed

.PHONY: install demo demo-live test check bench docs format clean
.DEFAULT_GOAL := install
# Modules are compiled once, not by each of a thousand processes.
export PYTHONDONTWRITEBYTECODE :=

install: $(INSTALLED)

$(INSTALLED): pyproject.toml constraints.txt
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11) and "Python 3.11 or newer is needed: make PYTHON=python3.12 …")'
	@if command -v uv >/dev/null 2>&1; then \
		uv venv --quiet --allow-existing --python $(PYTHON) $(VENV) && \
		uv pip install --quiet --python $(BIN)/python -c constraints.txt -e '.[dev]'; \
	else \
		$(PYTHON) -m venv $(VENV) && \
		$(BIN)/python -m pip install --quiet --no-compile --disable-pip-version-check -c constraints.txt -e '.[dev]'; \
	fi
	@$(BIN)/python -m compileall -q -j 0 $(VENV)/lib $(CODE) >/dev/null || true  # on all cores; some packages hold what isn't Python
	@touch $@

demo: install
	@$(BIN)/barray demo

demo-live: install
	@$(BIN)/python -m tests.vendors.demo_live

test: install
	@$(MAKE) --no-print-directory -j 2 lint compiled
	$(BIN)/python -m pytest -n 3 --dist loadfile --no-loadscope-reorder  # many wait for Ray; the long ones come first

check: install lint
	@$(BIN)/python -m pytest -n logical -m "not ray and not long" --hypothesis-profile=check

# Modules, and tests as pytest rewrites them, before many processes import them at once.
.PHONY: compiled
compiled: install
	@$(BIN)/python -m compileall -q $(CODE)
	@$(BIN)/python -m pytest --collect-only -qq >/dev/null || true  # what is wrong there the tests tell

.PHONY: lint
lint: install
	@$(BIN)/ruff check .
	@$(BIN)/ruff format --check --quiet .
	@$(BIN)/mypy
	@$(BIN)/lint-imports --no-cache >/dev/null || $(BIN)/lint-imports --no-cache

format: install
	@$(BIN)/ruff check --fix --quiet . ; $(BIN)/ruff format --quiet .

# All measurements, each one JSON line; see bench/README.md.
bench: install
	@for name in symbol step0 fanout session_windows session spawn; do $(BIN)/python -m bench.$$name || exit 1; done

# The site, in site/: opens from disk. Strict: what does not resolve fails the build.
docs: $(VENV)/.docs-installed
	@$(BIN)/python -m sphinx -q -E -W --keep-going -d $(VENV)/.doctrees docs site
	@echo "open site/index.html"

$(VENV)/.docs-installed: $(INSTALLED)
	@if command -v uv >/dev/null 2>&1; then \
		uv pip install --quiet --python $(BIN)/python -c constraints.txt -e '.[docs]'; \
	else \
		$(BIN)/python -m pip install --quiet --disable-pip-version-check -c constraints.txt -e '.[docs]'; \
	fi
	@touch $@

clean:
	rm -rf $(VENV) demo-out site build dist *.egg-info
