# Everything runs in one virtual environment, .venv, made on first use. Stamps in it tell what is installed, so that
# a second run only rebuilds what changed. Any Python from 3.11 on will do: make PYTHON=python3.13 test

PYTHON ?= python3
VENV := .venv
RUN := $(VENV)/bin/python
PIP := $(RUN) -m pip --disable-pip-version-check --quiet
KERNELS := $(wildcard kernels_cpp/*)
CXX_FILES := $(filter %.cpp %.hpp,$(KERNELS))

.DEFAULT_GOAL := help
.NOTPARALLEL:
.DELETE_ON_ERROR:
.SECONDARY:
.PHONY: help demo test lint format bench bench-profile bench-symbolic dist clean

help:
	@echo "make demo    train a network on handwritten digits"
	@echo "make test    run the tests and the examples in docstrings"
	@echo "make lint    check style, types and format"
	@echo "make format  put the code into the format that lint asks for"
	@echo "make bench   compare with other libraries, into benchmarks/RESULTS.md"
	@echo "make dist    build an sdist and a wheel"
	@echo "make clean   remove everything that make made"

demo: $(VENV)/.extra-examples $(VENV)/.kernels
	mkdir -p build
	$(RUN) examples/demo_digits.py --output build/demo_digits.png

test: $(VENV)/.extra-test $(VENV)/.kernels
	$(RUN) -m pytest -n auto $(PYTEST_ARGS)

lint: $(VENV)/.extra-lint
	$(RUN) -m ruff check .
	$(RUN) -m ruff format --check .
	$(RUN) -m mypy
	$(VENV)/bin/clang-format --dry-run -Werror $(CXX_FILES)

format: $(VENV)/.extra-lint
	$(RUN) -m ruff check --fix .
	$(RUN) -m ruff format .
	$(VENV)/bin/clang-format -i $(CXX_FILES)

bench: $(VENV)/.extra-bench $(VENV)/.kernels
	$(RUN) -m benchmarks.run $(BENCH_ARGS)

bench-profile: $(VENV)/.extra-bench $(VENV)/.kernels
	$(RUN) -m benchmarks.profile $(BENCH_ARGS)

bench-symbolic: $(VENV)/.extra-bench $(VENV)/.kernels
	$(RUN) -m benchmarks.symbolic $(BENCH_ARGS)

dist: $(VENV)/.base
	$(PIP) install build
	$(RUN) -m build

clean:
	rm -rf $(VENV) build dist *.egg-info tracer/_kernels.*.so
	rm -rf .benchmarks .hypothesis .mypy_cache .pytest_cache .ruff_cache
	find . -name __pycache__ -type d -prune -exec rm -rf {} +

# The environment with what the build needs; the kernels are built outside pip's isolation, so that objects are reused.
$(VENV)/.base: pyproject.toml
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || \
	    { echo "tracer needs Python 3.11 or newer; name one with: make PYTHON=python3.12" >&2; exit 1; }
	test -x $(RUN) || $(PYTHON) -m venv $(VENV)
	$(RUN) -c 'import tomllib; print(*tomllib.load(open("pyproject.toml", "rb"))["build-system"]["requires"], sep="\n")' \
	    > $(VENV)/build-requirements.txt
	$(PIP) install -r $(VENV)/build-requirements.txt
	touch $@

# The folder is named beside its files so that a file that goes is noticed too.
$(VENV)/.kernels: $(VENV)/.base setup.py kernels_cpp $(KERNELS)
	$(RUN) setup.py --quiet build_ext --inplace
	touch $@

$(VENV)/.extra-%: $(VENV)/.base | $(VENV)/.kernels
	$(PIP) install --no-build-isolation --editable ".[$*]"
	touch $@
