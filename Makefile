# Two commands for a person: `make demo` and `make test`. Both make .venv on first use and need no network afterwards.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
STAMP := $(VENV)/.installed
# One thread for each of two workers, who steal whole runs of tests, so that what a file's tests share is made once. The
# bytecode is kept whatever the shell says: every process that a test starts would compile the sources anew.
PYTEST := OMP_NUM_THREADS=1 PYTHONDONTWRITEBYTECODE= $(BIN)/python -m pytest
WORKERS := -n 2 --dist worksteal

# A peer of the curvature tests drags in torchvision, which nothing here imports. Where PyTorch and torchvision come from two
# places, the one is often built without CUDA and the other with: it cannot load then, and whoever finds it breaks on it.
LOADABLE = $(BIN)/python -c 'import torchvision' 2>/dev/null || $(BIN)/python -m pip uninstall -qq -y torchvision

.PHONY: demo test test-slow test-thorough evidence check golden docs docs-tools plotly images bench gpu-check package clean

demo: $(STAMP)
	@rm -rf demo-study
	@$(BIN)/lastbit audit --out demo-study

test: $(STAMP)
	$(PYTEST) $(WORKERS) -m "not slow and not evidence and not gpu"

test-slow: $(STAMP)
	$(PYTEST) $(WORKERS) -m "slow and not thorough and not evidence and not gpu"

# The slow tests that take longest, two thirds of the time of all: before a release, and after a change of what they are of.
test-thorough: $(STAMP)
	$(PYTEST) $(WORKERS) -m "slow and thorough and not evidence and not gpu"

# What takes longer than CI has: simulated levels, claims, real libraries. The table is committed with the change it speaks for.
evidence: $(STAMP)
	@PIP_CONSTRAINT=constraints.txt PIP_DISABLE_PIP_VERSION_CHECK=1 $(BIN)/python -m pip install -q -e '.[evidence]'
	@$(LOADABLE)
	LASTBIT_EVIDENCE=docs/evidence.md $(PYTEST) -m evidence

check: $(STAMP)
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/python -m pytest tests/test_architecture.py

# After a change of what a command takes or concludes: the help texts and the JSON schemas that the tests compare with.
golden: $(STAMP)
	$(BIN)/python tests/cli/test_cli_help.py
	$(BIN)/python tests/studies/test_json_schemas.py

# The documentation site, into site/. The studies of its gallery are trained the first time, in some minutes.
docs: docs-tools
	$(BIN)/python tools/docs_site.py

# What builds the site is nobody else's need.
docs-tools: $(STAMP)
	@PIP_CONSTRAINT=constraints.txt PIP_DISABLE_PIP_VERSION_CHECK=1 $(BIN)/python -m pip install -q -e '.[docs]'

# The pictures of reports in the docs, taken anew from trainings of the built-in digits. It needs Chromium.
images: $(STAMP)
	$(BIN)/python tools/docs_images.py

# The part of plotly.js that reports hold, out of the whole that the Python package brings. It needs node, 18 or newer.
plotly: $(STAMP)
	node --expose-internals --stack-size=4000 tools/plotly_bundle.js \
		"$$($(BIN)/python -c 'import plotly; print(plotly.__path__[0])')/package_data/plotly.min.js" \
		src/lastbit/report/templates/plotly.min.js.gz

# The peers that the curvature is compared with are nobody else's need.
bench: $(STAMP)
	@PIP_CONSTRAINT=constraints.txt PIP_DISABLE_PIP_VERSION_CHECK=1 $(BIN)/python -m pip install -q -e '.[bench]'
	@$(LOADABLE)
	@for script in bench/*.py; do $(BIN)/python $$script || exit 1; done

# All that needs a GPU, in some six minutes on one: its tests, the replicas' bench, an audit, a trace, an eos. Without one it does
# as much as a processor can.
gpu-check: $(STAMP)
	$(BIN)/python tools/gpu_check.py

# What is released, built, looked into, and used in an empty environment that pip fills.
package: $(STAMP)
	$(BIN)/python tools/check_package.py --whole --out dist

$(STAMP): pyproject.toml constraints.txt
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || \
		{ echo "lastbit needs Python 3.11 or newer; say which with: make PYTHON=python3.12 demo"; exit 2; }
	@$(PYTHON) -c 'import ensurepip, venv' 2>/dev/null || \
		{ echo "Python's venv module is missing; on Debian: apt-get install python3-venv"; exit 2; }
	@echo "Making $(VENV) (a few minutes the first time: it fetches PyTorch) ..."
	@$(PYTHON) -m venv $(VENV)
	@PIP_CONSTRAINT=constraints.txt PIP_DISABLE_PIP_VERSION_CHECK=1 $(BIN)/python -m pip install -q torch
	@PIP_CONSTRAINT=constraints.txt PIP_DISABLE_PIP_VERSION_CHECK=1 $(BIN)/python -m pip install -q -e '.[test,dev]'
	@$(LOADABLE)
	@touch $(STAMP)

clean:
	rm -rf $(VENV) demo-study site build dist .mypy_cache .ruff_cache .pytest_cache .hypothesis
