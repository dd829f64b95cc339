# What a person types. Each target is one script in tools/, which says at its top what it does.

.DEFAULT_GOAL := help
.PHONY: help run test lint fmt fuzz soak bench picture deps audit clean-run

# How much `make fuzz` tries for each reader: make fuzz CASES=5000000
CASES ?= 200000

# Where `make run` listens: make run LISTEN=127.0.0.1:8081
LISTEN ?= 127.0.0.1:8080

help: ## Show this list
	@sed -n 's/^\([a-z-]*\):.*## /  make \1\t/p' Makefile | expand -t 18

run: ## Build, set up and start everything on this machine; prints a sign-in link
	@tools/run.sh "$(LISTEN)"

test: ## Install what the tests need, and run all of them
	@tools/test.sh

lint: ## Formatting, clippy, dependency fences, spelling, Python and shell linters
	@tools/lint.sh

fmt: ## Format the Rust and Python sources
	@tools/fmt.sh

soak: ## Try the promises of docs/security.md with their full numbers; takes hours
	@tools/soak.sh

fuzz: ## Look longer for inputs that break a reader of foreign bytes
	@tools/fuzz.sh "$(CASES)"

bench: ## Measure, in a release build, beside what a user would pick instead
	@tools/bench.sh

picture: ## Take the README's picture of the Studio anew
	@tools/picture.sh

deps: ## Install what the tests need (Debian packages, cargo-nextest, MySQL 9, axe-core), if missing
	@tools/deps.sh

audit: ## Look for known vulnerabilities in the dependencies (fetches the RustSec database)
	@tools/audit.sh

clean-run: ## Throw away what `make run` made: its data, its key, its Python environment
	@tools/clean-run.sh
