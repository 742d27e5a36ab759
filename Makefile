# make demo    run the demo study and name what it made          make test    pass the tests
# make docs    all pages as one static site, site/index.html
# make test-slurm    pass the tests that need a cluster, on one brought up here from Debian's packages (make slurm-packages)
# Needs Python ≥ 3.11 and make. uv is used where it is present and fetched beside the project where it is not.
.DEFAULT_GOAL := demo
.PHONY: demo test coverage lint docs environment test-slurm slurm-packages

UV := $(shell command -v uv || echo .uv/bin/uv)
UV_VERSION := 0.13.8
BIN := .venv/bin

environment: .venv/.complete

.venv/.complete: pyproject.toml uv.lock $(filter .uv/%,$(UV))
	$(UV) sync --locked
	touch $@

.uv/bin/uv:
	python3 -m venv .uv
	.uv/bin/python -m pip install --quiet uv==$(UV_VERSION)

# What tests and the site of the documentation need beside it.
.venv/.tests: .venv/.complete
	$(UV) sync --locked --all-groups
	touch $@

demo: environment
	$(BIN)/snakemake -c all --config studies=demo
	$(BIN)/snakemake -c all --config studies=demo -- report
	@echo; echo "Tables, figures and report of the demo study:"
	@ls results/studies/demo/tables/*.md results/studies/demo/figures/*.png results/studies/demo/index.html results/report.zip

# Neighbours stay together, and share what was made for their file.
test: .venv/.tests
	$(BIN)/pytest -n 2 --dist worksteal

# Half as long again.
coverage: .venv/.tests
	$(BIN)/pytest -n 2 --dist worksteal --cov --cov-report=term

# Six at a time: a test mostly waits for SLURM. MARKS="not slow" leaves out what is shown in another way too.
MARKS := slow or not slow
test-slurm: .venv/.tests
	ESPALIER_SLURM_TESTS=1 $(BIN)/pytest -n 6 -m "$(MARKS)" tests/slurm

slurm-packages:
	apt-get update
	DEBIAN_FRONTEND=noninteractive apt-get install -y --no-install-recommends slurm-wlm slurm-client munge slurmdbd mariadb-server iproute2

lint: .venv/.tests
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/lint-imports
	$(BIN)/snakefmt --check Snakefile workflow/rules
	$(BIN)/snakemake --lint

# The notice is of another program than the one that is pinned.
docs: .venv/.tests
	NO_MKDOCS_2_WARNING=1 $(BIN)/mkdocs build --quiet
	@echo "site/index.html; with its search: $(BIN)/python -m http.server -d site"
