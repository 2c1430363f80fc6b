# make quickstart   train, evaluate, report and enlarge one photo (about 5 minutes on two cores)
# make fields       train on months of sea surface temperatures, answer later ones from a few readings, fill a map
# make test         the tests
# make test-all     the tests, those on a Ray cluster too (installs it)
# make lint         ruff and the type checker
# make docs         the pages of docs/ as a site, into site/; a warning is an error
# make release-check  builds, installs and tries what a release would be
PYTHON ?= python3
BIN := .venv/bin
RUN := runs/quickstart
FIELDS := runs/fields
SST = $$($(BIN)/python -c "import iris_sample_data; print(iris_sample_data.path)")/ostia_monthly.nc
# Two processes of one thread each: faster than one of two, and two of two stand in each other's way.
PYTEST := OMP_NUM_THREADS=1 $(BIN)/python -m pytest -n 2
export OMP_WAIT_POLICY := PASSIVE
export GOMP_SPINCOUNT := 20000
export PYTHONNOUSERSITE := 1

.PHONY: quickstart fields test test-all test-fast lint docs release-check clean
quickstart: .venv/installed
	$(BIN)/gridless train photo-quick -o $(RUN)
	$(BIN)/gridless eval $(RUN) --beside photo
	$(BIN)/gridless report $(RUN) -o $(RUN)
	$(BIN)/gridless predict photo "$$(find .venv/lib* -path '*skimage/data/chelsea.png' | head -n 1)" --scale 3.7 -o $(RUN)/chelsea-x3.7.png
	@echo
	@echo "See $(RUN)/report.html (also report.md, results.csv) and the enlarged photo $(RUN)/chelsea-x3.7.png"

# Months 1 … 42 are learnt from (the last four of them validate), 43 … 54 are asked. The readings are no measurements of
# stations: they are month 50 at 50 random places of the sea, so that the answer can be held against the whole of it.
fields: .venv/installed-fields
	$(BIN)/gridless train fields --data "$(SST)" --data.val 4 --data.test 12 -o $(FIELDS)
	$(BIN)/gridless eval $(FIELDS)
	$(BIN)/gridless report $(FIELDS) -o $(FIELDS)
	$(BIN)/python examples/pseudo_stations.py "$(SST)" $(FIELDS)/readings.csv --step 50 --count 50
	$(BIN)/gridless predict $(FIELDS) $(FIELDS)/readings.csv --value surface_temperature --units surface_temperature=K --like "$(SST)" --mask -o $(FIELDS)/filled.nc
	$(BIN)/gridless predict $(FIELDS) $(FIELDS)/readings.csv --value surface_temperature --units surface_temperature=K --like "$(SST)" --mask -o $(FIELDS)/filled.png
	@echo
	@echo "See $(FIELDS)/report.html, and the filled month $(FIELDS)/filled.nc and $(FIELDS)/filled.png"

test: .venv/installed-dev
	$(PYTEST)

test-all: .venv/installed-dev
	$(BIN)/pip install --quiet -c constraints.txt -e ".[ray]"
	$(PYTEST)

test-fast: .venv/installed-dev
	$(PYTEST) -m "not slow"

lint: .venv/installed-dev
	$(BIN)/ruff check . && $(BIN)/ruff format --check .
	$(BIN)/basedpyright --pythonpath $(BIN)/python

docs: .venv/installed-docs
	NO_MKDOCS_2_WARNING=1 $(BIN)/python -m mkdocs build --strict --quiet
	@echo "See site/index.html"

release-check: .venv/installed-dev
	$(BIN)/python -m release.check

# The CPU build of torch first: a local wheel if there is one, else PyTorch's own CPU index.
.venv/installed: pyproject.toml constraints.txt
	test -x $(BIN)/python || $(PYTHON) -m venv .venv
	$(BIN)/python -c "import torch" 2>/dev/null \
	  || $(BIN)/pip install --quiet -c constraints.txt "torch==2.13.0+cpu" 2>/dev/null \
	  || $(BIN)/pip install --quiet --no-deps --index-url https://download.pytorch.org/whl/cpu "torch==2.13.0"
	$(BIN)/pip install --quiet -c constraints.txt -e ".[eval,photos]"
	touch $@

.venv/installed-fields: .venv/installed
	$(BIN)/pip install --quiet -c constraints.txt -e ".[eval,fields,sensors]" iris-sample-data
	touch $@

.venv/installed-dev: .venv/installed
	$(BIN)/pip install --quiet -c constraints.txt -e ".[dev]"
	touch $@

.venv/installed-docs: .venv/installed
	$(BIN)/pip install --quiet -c constraints.txt -e ".[docs]"
	touch $@

clean:
	rm -rf .venv runs site
