# Everything a person does here is one word. `make` alone lists the words.
.DEFAULT_GOAL := help
.PHONY: help build run test lint check-kernels kernels check fuzz corpus clean

help: ## list the targets
	@grep -hE '^[a-z-]+:.*## ' $(MAKEFILE_LIST) | sed -E 's/:.*## /\t/' | while IFS="$$(printf '\t')" read -r word text; do printf '  make %-14s %s\n' "$$word" "$$text"; done

build: ## the release binary, target/release/edgezero
	@scripts/need_cargo.sh
	cargo build --release --locked

run: build ## from game records to an opponent: convert, train a minute, play a game
	@scripts/run_demo.sh

test: ## all tests (installs GNU Go where that is possible; the tests play against it)
	@scripts/need_cargo.sh
	@scripts/test.sh

lint: ## format, clippy and docs, each without a warning
	@scripts/need_cargo.sh
	cargo fmt --check
	cargo clippy --locked --all-targets -- -D warnings
	RUSTDOCFLAGS="-D warnings" cargo doc --locked --no-deps --document-private-items

check-kernels: ## compile every CUDA kernel for five architectures, without a GPU; registers, shared memory, spills
	@scripts/check_kernels.sh

kernels: ## the same, kept in target/kernels: cubins for Nano, TX2, Xavier and Orin, PTX for what came later
	@scripts/check_kernels.sh --out target/kernels

check: lint check-kernels test ## what CI runs

FUZZ_S ?= 600
fuzz: ## broken input into archive walk, parser and shard reader, ten minutes each (needs nightly and cargo-fuzz)
	@scripts/need_cargo.sh
	@for target in archive parser shard; do \
		mkdir -p fuzz/target/corpus/$$target && (cd fuzz && cargo +nightly fuzz run $$target target/corpus/$$target corpus/$$target -- \
			-max_total_time=$(FUZZ_S) -timeout=20 -rss_limit_mb=2048 -max_len=65536) || exit 1; \
	done

corpus: ## make the small corpus of the repository again (minutes; needs GNU Go)
	scripts/make_corpus.py

clean: ## remove what was built and the demo's run
	cargo clean
	rm -rf runs/demo
