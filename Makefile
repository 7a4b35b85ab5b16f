# make demo | test | test-isa | faults | lint | bench: each first sets up what it needs, in VENV, and installs nothing the second time.
#   PYTHON=python3.12    the interpreter of a new environment
#   VENV=/other/place    the environment; this Makefile owns it
#   DEMO_ARGS, TEST_ARGS, FAULTS_ARGS, BENCH_ARGS    arguments for what is run

# The set pins pip itself: a newer one refuses the index's Detectron2, so do not advertise it.
export PIP_DISABLE_PIP_VERSION_CHECK := 1

PYTHON ?= python3
VENV ?= .venv
TEST_ARGS ?= -n 2
# What computes, and so may round otherwise on another CPU: `make test-isa` runs it as on two older ones.
NUMERIC := tests/gpu tests/layers tests/losses tests/modeling tests/paper tests/inference tests/training \
  tests/evaluation tests/benchmarks tests/checkpoint/test_checkpointer_imagenet.py tests/test_assets.py \
  tests/test_detectors.py tests/test_second_device.py $(wildcard tests/test_parity*.py)
# They start processes and train; the arithmetic in there is tested above.
NOT_NUMERIC := tests/training/test_train_net.py tests/paper/test_reproduce.py

BIN := $(VENV)/bin
DETECTRON2_TOOLS := tools/install_detectron2.py tools/detectron2_edits.py tools/detectron2_sources.py

# A stamp is written last and named after the content of what it depends on: an interrupted step is done again, and a file
# that is merely newer than the environment costs nothing.
digest = $(shell cat $(1) | cksum | tr ' ' '-')
PACKAGES := $(VENV)/.packages-$(call digest,requirements.txt requirements-dev.txt)
DETECTRON2 := $(VENV)/.detectron2-$(call digest,$(DETECTRON2_TOOLS))
PROJECT := $(VENV)/.project-$(call digest,setup.py pyproject.toml)-$(shell pwd | cksum | tr ' ' '-')

.PHONY: help setup demo test test-isa faults lint bench clean
.DELETE_ON_ERROR:

help:
	@sed -n '1,4s/^# *//p' Makefile

setup: $(PROJECT)

demo: setup
	$(BIN)/python tools/demo.py $(DEMO_ARGS)

test: setup
	$(BIN)/python -m pytest $(TEST_ARGS)

test-isa: setup
	ATEN_CPU_CAPABILITY=default ONEDNN_MAX_CPU_ISA=SSE41 \
	  $(BIN)/python -m pytest $(TEST_ARGS) $(NUMERIC) $(NOT_NUMERIC:%=--ignore=%)
	ATEN_CPU_CAPABILITY=avx2 ONEDNN_MAX_CPU_ISA=AVX2 \
	  $(BIN)/python -m pytest $(TEST_ARGS) $(NUMERIC) $(NOT_NUMERIC:%=--ignore=%)

faults: setup
	$(BIN)/python -W ignore tools/faults.py $(FAULTS_ARGS)

lint: setup
	$(BIN)/python -m ruff format --check .
	$(BIN)/python -m ruff check .
	$(BIN)/lint-imports --no-cache
	$(BIN)/python -m mypy

bench: setup
	$(BIN)/python -m benchmarks.speed $(BENCH_ARGS)

$(PACKAGES):
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || { \
	  echo "make: the pinned set needs Python 3.11 or newer as $(PYTHON): install one, or name it with PYTHON=..." >&2; exit 1; }
	@$(PYTHON) -c 'import ensurepip, venv' 2>/dev/null || { \
	  echo "make: $(PYTHON) has no venv module: install python3-venv (Debian, Ubuntu), or name another with PYTHON=..." >&2; exit 1; }
	@test -x $(BIN)/python && $(BIN)/python -m pip --version >/dev/null 2>&1 || $(PYTHON) -m venv $(VENV)
	@rm -f $(VENV)/.packages-*
	@echo "Installing the pinned packages into $(VENV) (several GB with CUDA's libraries; once)"
	@$(BIN)/python -m pip install --requirement requirements.txt --requirement requirements-dev.txt
	@touch $@

# A stamp says that the Detectron2 in there is of our making: it is replaced when the edits or the packages have changed.
$(DETECTRON2): $(PACKAGES)
	@for stamp in $(VENV)/.detectron2-*; do if test -e "$$stamp"; then mv "$$stamp" $(VENV)/.replace-detectron2; fi; done
	@if test -e $(VENV)/.replace-detectron2; then \
	  $(BIN)/python -m pip uninstall -qq --yes detectron2 pb1-detectron2; fi
	@$(BIN)/python tools/install_detectron2.py
	@rm -f $(VENV)/.replace-detectron2 && touch $@

$(PROJECT): $(DETECTRON2)
	@rm -f $(VENV)/.project-*
	@$(BIN)/python -m pip install --quiet --no-deps --no-build-isolation --editable .
	@touch $@

clean:
	rm -rf build dist *.egg-info .mypy_cache .pytest_cache .ruff_cache
	find . -name __pycache__ -type d -not -path './.venv/*' -prune -exec rm -rf {} +
