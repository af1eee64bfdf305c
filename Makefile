# make help tells what there is. Each stage of the tests is a program in scripts/stages, run by scripts/test.py.

PYTHON3 ?= python3
STAGES := deps venv trixie lab build lint docs sanity unit integration molecule

.DEFAULT_GOAL := help
.PHONY: help test test-all demo bench faults changelog format clean $(STAGES)

help: ## this list
	@awk -F ':.*## ' '/^[a-z]+:.*## / { printf "  make %-12s %s\n", $$1, $$2 }' $(firstword $(MAKEFILE_LIST))

demo: ## see a release roll under load, and a broken one undone by itself (no root, under two minutes)
	@examples/demo/run

test: ## everything a reviewer needs: all the stages below (as root on Debian; an hour on two cores)
	@$(PYTHON3) scripts/test.py

test-all: ## the same, with older balancers in full, all scenarios, both cores everywhere, and new random examples (two hours)
	@ZD_TESTS=all $(PYTHON3) scripts/test.py

deps: ## what the machine itself must have; Debian as root: installs it, elsewhere: says how
venv: ## the environments of ansible-core 2.16 and 2.19, in .venv/
trixie: ## a Debian 13 with ansible-core 2.21 and HAProxy 3.0, in build/trixie (root)
lab: ## the Debian on which the lab's hosts stand, in build/lab (root)
build: ## the collection as it is published, installed in build/collections
lint: ## ansible-lint production, yamllint, ruff, Python 3.8, shellcheck
docs: ## all documentation renders; changelog and fragments are in order
sanity: ## ansible-test sanity without ignore files
unit: ## unit tests on ansible-core 2.19, and on 2.16 those that touch it
integration: ## against real balancers of every kind
molecule: ## the scenarios, on real systemd hosts (root)

$(STAGES):
	@$(PYTHON3) scripts/test.py $@

changelog: ## generate CHANGELOG.md from changelogs/fragments
	@scripts/changelog

format: ## put Python sources in shape
	@scripts/venv core-2.19 && .venv/core-2.19/bin/ruff check --fix --quiet . && .venv/core-2.19/bin/ruff format .

bench: ## what a rollout costs, against the usual playbook, and as the fleet grows (root; half an hour)
	@scripts/bench

faults: ## break whatever can break at every step of rollouts: [SEED=7] [CASES=40|all] [PART=1/2] [CASE=rolling/kill/25/again]
	@scripts/faults $(if $(SEED),--seed '$(SEED)') $(if $(CASES),--cases '$(CASES)') $(if $(PART),--part '$(PART)') $(if $(CASE),--case '$(CASE)')

clean: ## remove all that was built; refuses while a lab is up
	@scripts/clean
