# `make demo`, `make test`: each in a virtual environment of its own.
PYTHON ?= python3
PIP = -m pip --disable-pip-version-check
SOURCES = $(shell find kerasdml -name '*.py' -o -name '*.json' -o -name '*.keras')

.PHONY: demo test test-addons lint clean

demo: .venv/installed
	.venv/bin/python demo/demo.py

test: .venv-test/installed
	rm -rf build/check && mkdir -p build/check
	cp -r tests docs zoo saved_models demo pyproject.toml README.md build/check/
	cd build/check && ../../.venv-test/bin/python -m pytest -q -n 2
	cd build/check && KERAS_BACKEND=jax ../../.venv-test/bin/python -m pytest -q -n 2 \
		-m 'not tensorflow_alone' \
		tests/ops tests/layers tests/miners tests/regularizers tests/losses tests/metrics \
		tests/models/test_metric_model.py tests/optimizers tests/references \
		tests/callbacks/test_self_paced.py

# TensorFlow Addons needs Python 3.11 and an environment of its own.
test-addons: .venv-addons/installed
	TF_USE_LEGACY_KERAS=1 .venv-addons/bin/python -m pytest -q -o addopts= tests/addons

lint: .venv-lint/installed
	.venv-lint/bin/ruff format --check .
	.venv-lint/bin/ruff check .

.venv/installed: setup.py $(SOURCES)
	$(PYTHON) -m venv .venv
	.venv/bin/python $(PIP) install -q '.[serve]'
	touch $@

# The wheel is what is tested, from a folder where the sources cannot be imported.
.venv-test/installed: setup.py $(SOURCES)
	$(PYTHON) -m venv .venv-test
	rm -rf build/wheel
	.venv-test/bin/python $(PIP) wheel -q --no-deps -w build/wheel .
	.venv-test/bin/python $(PIP) install -q "$$(ls build/wheel/*.whl)[dev]"
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

clean:
	rm -rf .venv .venv-test .venv-lint .venv-addons build dist *.egg-info
