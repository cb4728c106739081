# Everything a contributor types. On Windows, or without make, README.md has the plain commands.
PYTHON ?= python3
VENV ?= .venv
BIN = $(VENV)/bin

.PHONY: demo serve test check editor browser slow bench bench-web soak train clean

demo: $(VENV)/installed
	$(BIN)/graphengine run workflows/text_to_image.json --out output

serve: $(VENV)/installed
	$(BIN)/graphengine serve

test: $(VENV)/installed-dev
	$(BIN)/python -m pytest -n logical --dist loadfile

check: $(VENV)/installed-dev
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/mypy
	$(BIN)/lint-imports
	$(BIN)/graphengine schema | diff - graphengine/core/graphengine-workflow-1.schema.json
	$(BIN)/graphengine schema --api | diff - graphengine/server/openapi.json

# The browser editor: types, lint, unit tests, and a build of what is served.
editor: $(VENV)/installed-dev
	cd web && PATH="$(CURDIR)/$(BIN):$$PATH" npm ci --ignore-scripts --no-audit --no-fund
	cd web && PATH="$(CURDIR)/$(BIN):$$PATH" npm run check
	cd web && PATH="$(CURDIR)/$(BIN):$$PATH" npm run build

# The editor in a real browser; chromium must be installed.
browser: editor
	$(BIN)/python -m pytest -m browser

slow: $(VENV)/installed-dev
	$(BIN)/python -m pytest -m slow

bench: $(VENV)/installed-dev
	$(BIN)/python -m tests.bench

# The editor in a real browser; chromium must be installed.
bench-web: editor
	$(BIN)/python -m tests.bench web

# Kill servers and workers for an hour, and count what is lost.
soak: $(VENV)/installed-dev
	$(BIN)/python -m tests.faults.scorecard --full

# The embedded model, from nothing. Its parts are saved in the data folder; run it again to go on.
train: $(VENV)/installed
	$(BIN)/graphengine run workflows/train_text_encoder.json --out output
	OMP_NUM_THREADS=1 $(BIN)/graphengine run workflows/train_autoencoder.json --out output & \
	OMP_NUM_THREADS=1 $(BIN)/graphengine run workflows/train_unet.json --out output; wait
	$(BIN)/graphengine run workflows/assemble_checkpoint.json --out output

clean:
	rm -rf $(VENV) output

$(VENV)/installed: pyproject.toml constraints.txt
	$(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet -c constraints.txt torch
	$(BIN)/python -m pip install --quiet -c constraints.txt -e .
	touch $@

$(VENV)/installed-dev: $(VENV)/installed
	$(BIN)/python -m pip install --quiet -c constraints.txt -e ".[dev]"
	touch $@
