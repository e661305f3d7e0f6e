# `make demo`, `make test`: each in a virtual environment of its own.
PYTHON ?= python3
PIP = -m pip --disable-pip-version-check
SOURCES = $(shell find kerasdml -name '*.py' -o -name '*.json' -o -name '*.keras')
# Workers take runs of tests in the order of the files, so that each builds the fixtures
# of a module or session once, and few are built by both.
PYTEST = ../../.venv-test/bin/python -m pytest -q -n 2 --dist worksteal
# JAX compiles thousands of programs that run for microseconds: once for all processes,
# kept for the next run, and without LLVM's optimizations, as compiling is most of what
# these tests do. TensorFlow's tests keep the optimizations of what users run.
ON_JAX = KERAS_BACKEND=jax \
	XLA_FLAGS='--xla_backend_optimization_level=0 --xla_llvm_disable_expensive_passes=true' \
	JAX_COMPILATION_CACHE_DIR=$(CURDIR)/build/jax \
	JAX_PERSISTENT_CACHE_MIN_COMPILE_TIME_SECS=0 \
	JAX_PERSISTENT_CACHE_MIN_ENTRY_SIZE_BYTES=-1
# The others are NumPy's alone, or stand on these.
METRICS_ON_JAX = centroid_accuracy evaluate ignored kmeans mapped_embeddings multi_label retrieval

.PHONY: demo test test-addons test-beam lint clean

demo: .venv/installed
	.venv/bin/python demo/demo.py

test: .venv-test/installed
	rm -rf build/check && mkdir -p build/check
	cp -r tests docs zoo saved_models demo pyproject.toml README.md build/check/
	cd build/check && $(PYTEST)
	cd build/check && $(ON_JAX) $(PYTEST) -m 'not tensorflow_alone' \
		tests/ops tests/layers tests/miners tests/regularizers tests/losses \
		$(METRICS_ON_JAX:%=tests/metrics/test_%.py) tests/optimizers tests/references \
		tests/models/test_metric_model.py tests/models/test_replicas.py \
		tests/callbacks/test_self_paced.py

# TensorFlow Addons needs Python 3.11 and an environment of its own.
test-addons: .venv-addons/installed
	TF_USE_LEGACY_KERAS=1 .venv-addons/bin/python -m pytest -q -o addopts= tests/addons

# Apache Beam needs older packages than `make test` takes.
test-beam: .venv-beam/installed
	.venv-beam/bin/python -m pytest -q tests/bulk

lint: .venv-lint/installed
	.venv-lint/bin/ruff format --check .
	.venv-lint/bin/ruff check .

.venv/installed: setup.py $(SOURCES)
	$(PYTHON) -m venv .venv
	.venv/bin/python $(PIP) install -q '.[serve]'
	touch $@

# The wheel is what is tested, from a folder where the sources cannot be imported. Python
# compiles the modules that are imported, a small part of what is installed.
.venv-test/installed: setup.py $(SOURCES)
	$(PYTHON) -m venv .venv-test
	rm -rf build/wheel
	.venv-test/bin/python $(PIP) wheel -q --no-deps -w build/wheel .
	.venv-test/bin/python $(PIP) install -q --no-compile "$$(ls build/wheel/*.whl)[dev]"
	.venv-test/bin/python $(PIP) install -q --force-reinstall --no-deps build/wheel/*.whl
	touch $@

.venv-lint/installed:
	$(PYTHON) -m venv .venv-lint
	.venv-lint/bin/python $(PIP) install -q 'ruff~=0.17.0'
	touch $@

.venv-addons/installed: tests/addons/requirements.txt
	python3.11 -m venv .venv-addons
	.venv-addons/bin/python $(PIP) install -q -r tests/addons/requirements.txt
	touch $@

.venv-beam/installed: setup.py $(SOURCES)
	$(PYTHON) -m venv .venv-beam
	.venv-beam/bin/python $(PIP) install -q '.[beam]' pytest pytest-xdist
	touch $@

clean:
	rm -rf .venv .venv-test .venv-lint .venv-addons .venv-beam build dist *.egg-info
