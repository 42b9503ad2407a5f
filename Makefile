# Everything a fresh machine needs happens here: each target makes .venv ready first.
#   TORCH=auto|cpu|cuda|system  picks torch (tools/setup.py says how)
#   PYTHON=python3.12           picks the Python that .venv is made with
#   ARGS="..."                  goes to the program that the target runs
#   JOBS=3                      how many tests run side by side: half their time they only wait

PYTHON ?= python3
TORCH ?=
ARGS ?=
JOBS ?= 3

BIN := .venv/bin
READY := .venv/.ready
CODE := $(patsubst %/,%,$(sort $(dir $(wildcard lora_tui/*.py demo/*.py benchmarks/*.py tests/*.py tools/*.py))))
export TORCH

.DEFAULT_GOAL := help
.PHONY: help run test check format lock demo-model bench bench-speed bench-memory bench-look bench-compare bench-export bench-survival bench-sweep gpu-check wheel clean distclean setup FORCE

help:  ## what there is to do
	@awk -F ':.*## ' '/^[a-z-]+:.*## / { printf "  make %-15s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)
	@echo; sed -n '2,5s/^# *//p' $(MAKEFILE_LIST)

run: $(READY)  ## open the app (ARGS="train demo" runs a command instead)
	@$(BIN)/lora-tui $(ARGS)

test: $(READY)  ## the whole test suite (ARGS="tests/core -k presets" picks)
	$(BIN)/pytest -n $(JOBS) --dist loadgroup $(ARGS)

check: $(READY)  ## format, lint, types, import rules: all of them, then fails if one did
	@failed=; for step in "ruff format --check --output-format concise ." "ruff check --output-format concise ." "mypy $(CODE)" lint-imports; do \
		echo "- $$step"; $(BIN)/$$step || failed="$$failed $${step%% *}"; \
	done; test -z "$$failed" || { echo "failed:$$failed"; exit 1; }

format: $(READY)  ## write the format, fix what ruff can fix
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

lock: $(READY)  ## write the locks from pyproject.toml (ARGS=--upgrade moves to newer versions)
	$(BIN)/python tools/lock.py $(ARGS)

demo-model: $(READY)  ## train the demo's base model anew
	$(BIN)/python -m demo.pretrain --out lora_tui/assets $(ARGS)

bench: $(READY)  ## measure the app's speed, into docs/benchmarks.md
	$(BIN)/python -m benchmarks.app_speed $(ARGS)

bench-speed: $(READY)  ## training beside stock TRL and Unsloth, into docs/benchmarks.md (ARGS=FILE.jsonl)
	$(BIN)/python -m benchmarks.speed --profile $(ARGS)

bench-memory: $(READY)  ## set the memory estimate against runs, into docs/memory.md (ARGS=FILE.jsonl)
	$(BIN)/python -m benchmarks.memory $(ARGS)

bench-look: $(READY)  ## time the data report and the check, into docs/benchmarks.md (ARGS=FILE.jsonl)
	$(BIN)/python -m benchmarks.look_before $(ARGS)

bench-compare: $(READY)  ## comparing, swapping, LoRA against full, into docs (ARGS=FILE.jsonl)
	$(BIN)/python -m benchmarks.compare_demo
	$(BIN)/python -m benchmarks.swap $(ARGS)
	$(BIN)/python -m benchmarks.lora_against_full $(ARGS)

bench-export: $(READY)  ## merge and export beside the bare tools, and the demo by keys, into docs/benchmarks.md
	$(BIN)/python -m benchmarks.export $(ARGS)
	$(BIN)/python -m benchmarks.export_demo

bench-survival: $(READY)  ## hang-ups, kills, every crash, divergences, any order, into docs/survival.md (an hour)
	for part in hang_ups kills crash_states extremes divergences any_order; do $(BIN)/python -m benchmarks.$$part || exit 1; done

bench-sweep: $(READY)  ## a sweep of the demo over ranks, one engine killed, into docs/sweep.md
	$(BIN)/python -m benchmarks.sweep_demo $(ARGS)

gpu-check: $(READY)  ## on CUDA: the engine's tests, then bench-speed, into docs/benchmarks.md (ARGS=FILE.jsonl)
	@$(BIN)/python -c "import sys, torch; torch.cuda.is_available() or sys.exit('gpu-check: torch sees no CUDA device here.')"
	@failed=; $(BIN)/pytest tests/engine || failed="$$failed tests"; \
		$(BIN)/python -m benchmarks.speed --device cuda --profile $(ARGS) || failed="$$failed speed"; \
		test -z "$$failed" || { echo "failed:$$failed"; exit 1; }

wheel: $(READY)  ## build dist/*.whl
	$(BIN)/python -m hatchling build -t wheel

setup: $(READY)  ## only make .venv ready

clean:  ## remove caches and builds
	rm -rf build dist .mypy_cache .ruff_cache .pytest_cache .import_linter_cache .hypothesis snapshot_report.html
	find lora_tui tests demo benchmarks tools -name __pycache__ -prune -exec rm -rf {} + 2>/dev/null || true

distclean: clean  ## remove .venv as well
	rm -rf .venv

# Asked for a torch by name: setup.py looks whether it is the one there.
$(READY): pyproject.toml requirements.lock requirements-cuda.lock tools/setup.py $(if $(TORCH),FORCE)
	@$(PYTHON) tools/setup.py

FORCE:
