# LowSER: one command each. `make` alone lists them.
# Every target first brings .venv up to requirements.lock, where it is missing or older than it.

PYTHON ?=
VENV := .venv
BIN := $(VENV)/bin
STAMP := $(VENV)/.lock-stamp
PACKAGE_STAMP := $(VENV)/.package-stamp
PIP := $(BIN)/python -m pip --disable-pip-version-check --no-input
WORK ?= work
LAB_OPTIONS ?=
BENCHMARKS := $(sort $(filter-out benchmarks/bench_gpu.py,$(wildcard benchmarks/bench_*.py)))

.DEFAULT_GOAL := help
.PHONY: help setup course test slow nbval lab book pdf browser sounds notebooks gpu bench lint lock clean

help: ## list the targets
	@awk -F ':.*## ' '/^[a-z]+:.*## / { printf "  make %-10s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)

setup: $(PACKAGE_STAMP) ## make .venv from requirements.lock, on Python 3.11 or 3.12
	@echo "Ready. Next: $(BIN)/lowser doctor"

# The stamp is written last, so that an installation that breaks off is taken up again.
# setuptools and wheel come first and build what has no wheel: nothing outside the lock takes part.
$(STAMP): requirements.lock
	@rm -f $(STAMP) $(PACKAGE_STAMP)
	@supported='import sys, venv, ensurepip; sys.exit(not (3, 11) <= sys.version_info[:2] <= (3, 12))'; \
	if $(BIN)/python -c "$$supported" 2>/dev/null && $(BIN)/python -m pip --version >/dev/null 2>&1; then \
	  echo "Bringing $(VENV) up to requirements.lock ..."; \
	else \
	  found=''; \
	  for candidate in $(or $(PYTHON),python3.12 python3.11 python3 python); do \
	    if "$$candidate" -c "$$supported" 2>/dev/null; then found=$$candidate; break; fi; \
	  done; \
	  if [ -z "$$found" ]; then \
	    echo "LowSER needs Python 3.11 or 3.12 with its venv module; tried:" \
	      "$(or $(PYTHON),python3.12 python3.11 python3 python)." >&2; \
	    echo "Install one (on Debian also python3-venv), or name it: make PYTHON=/path/to/python3.12" >&2; \
	    exit 1; \
	  fi; \
	  echo "Making $(VENV) with $$found ..."; \
	  "$$found" -m venv --clear $(VENV) || exit 1; \
	fi
	@$(PIP) install --quiet --no-deps $$(grep -E '^(setuptools|wheel)==' requirements.lock)
	@echo "Installing requirements.lock: some minutes, and about 6 GB on disk ..."
	@$(PIP) install --quiet --no-deps --no-build-isolation -r requirements.lock
	@touch $(STAMP)

$(PACKAGE_STAMP): $(STAMP) pyproject.toml
	@$(PIP) install --quiet --no-deps --no-build-isolation -e .
	@$(PIP) check
	@touch $(PACKAGE_STAMP)

course: $(PACKAGE_STAMP) ## run the chapters from raw audio on, offline, in the fast profile
	$(BIN)/lowser run --profile fast --output build/course --results build/course/results

# Stored outputs are those of a processor: a card rounds otherwise.
test nbval: export CUDA_VISIBLE_DEVICES =

test: $(PACKAGE_STAMP) ## all tests, and every notebook against its stored output
	$(BIN)/python -m pytest --nbval tests notebooks

slow: $(PACKAGE_STAMP) ## tests of minutes: chapters with the paper profile, made-up corpora
	$(BIN)/python -m pytest -m slow

nbval: $(PACKAGE_STAMP) ## the notebooks alone, as they stand, on one thread, without wide vectors
	$(BIN)/python -m pytest --nbval notebooks
	OMP_NUM_THREADS=1 $(BIN)/python -m pytest --nbval notebooks
	ATEN_CPU_CAPABILITY=default $(BIN)/python -m pytest --nbval notebooks

# Students write into copies: what is in work/ already is never touched, and git does not see it.
lab: $(PACKAGE_STAMP) ## open copies of the chapters in JupyterLab; what you write in work/ stays
	@$(BIN)/python book/lab_copies.py $(WORK)
	JUPYTER_CONFIG_PATH="$(CURDIR)/book/jupyter$${JUPYTER_CONFIG_PATH:+:$$JUPYTER_CONFIG_PATH}" \
	  $(BIN)/jupyter lab --LabApp.news_url=None \
	  --LabApp.check_for_updates_class=jupyterlab.NeverCheckForUpdate $(LAB_OPTIONS) $(WORK)

book: $(PACKAGE_STAMP) ## build the book into book/_build/html; a warning is an error
	$(BIN)/python book/make_pages.py
	$(BIN)/python book/prepare.py
	$(BIN)/jupyter-book build book --all -n -W --keep-going

pdf: book ## print the whole course into book/_build/lowser.pdf, through Chromium
	$(BIN)/python book/print_pdf.py

browser: book ## try the book and the lab in Chromium (Debian: apt-get install chromium)
	$(BIN)/python -m pytest -m browser tests/book_browser

sounds: $(PACKAGE_STAMP) ## make the book's listening test and grid of transforms anew
	$(BIN)/python book/make_sounds.py

notebooks: $(PACKAGE_STAMP) ## run the chapters in the fast profile and store their outputs
	$(BIN)/lowser refresh

# At most 12 minutes on one card; where there is none, it says so and tries the same on the processor.
gpu: $(PACKAGE_STAMP) ## on a GPU: its tests, the ten chapters, training steps; report in build/gpu
	$(BIN)/lowser doctor
	$(BIN)/python benchmarks/bench_gpu.py --output build/gpu/steps.json
	$(BIN)/python -m pytest -q tests/augment/test_transforms.py tests/encoders/test_whisper.py \
	  tests/views/test_mel.py
	$(BIN)/lowser run --profile fast --output build/gpu/course --results build/gpu/results

bench: $(PACKAGE_STAMP) ## timings beside what you would pick instead
	@for benchmark in $(BENCHMARKS); do \
	  echo "== $$benchmark"; $(BIN)/python "$$benchmark" || exit 1; \
	done

lint: $(PACKAGE_STAMP) ## ruff, mypy and codespell
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/codespell

lock: ## resolve requirements.lock anew from pyproject.toml (needs the network)
	@scratch=$$(mktemp -d) && trap 'rm -rf "$$scratch"' EXIT && \
	$(or $(PYTHON),python3) -m venv "$$scratch/venv" && \
	"$$scratch/venv/bin/python" -m pip install --quiet --disable-pip-version-check uv && \
	"$$scratch/venv/bin/uv" pip compile --quiet --upgrade --universal --python-version 3.11 \
	  --fork-strategy fewest --no-annotate --no-header --all-extras \
	  --output-file "$$scratch/resolved" pyproject.toml && \
	{ sed -n '/^#/!q;p' requirements.lock; \
	  grep -v -E "python_full_version >= '3.13'|== '(win32|nt|emscripten)'$$" "$$scratch/resolved"; \
	} > requirements.lock.new && mv requirements.lock.new requirements.lock
	@echo "Renewed. Bring environment.yml to the same versions, then: make test"

clean: ## remove what the targets made, save for .venv
	rm -rf build dist book/_build book/notebooks book/_extra .pytest_cache .mypy_cache .ruff_cache .hypothesis
	rm -rf *.egg-info
	find . -name __pycache__ -not -path './$(VENV)/*' -prune -exec rm -rf {} +
