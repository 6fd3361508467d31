# Everything a person does here is one word. `make` alone lists the words.
.DEFAULT_GOAL := help
.PHONY: gpu-check test-cuda-sanitized test-cuda-aarch64 help build run test lint check-kernels kernels check cross deploy-jetson rollback-jetson undeploy-jetson soak fuzz corpus clean

help: ## list the targets
	@grep -hE '^[a-z-]+:.*## ' $(MAKEFILE_LIST) | sed -E 's/:.*## /\t/' | while IFS="$$(printf '\t')" read -r word text; do printf '  make %-15s %s\n' "$$word" "$$text"; done

build: ## the release binary, target/release/edgezero
	@scripts/need_cargo.sh
	cargo build --release --locked

run: build ## from game records to an opponent: convert, train a minute, play a game
	@scripts/run_demo.sh

test: ## all tests, for aarch64 too; installs what they take (GNU Go, sshd, qemu) where that is possible
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

test-cuda-sanitized: ## the CUDA tests with AddressSanitizer and UndefinedBehaviorSanitizer in the look-alike and its kernels
	@scripts/need_cargo.sh
	LOOKALIKE_SANITIZE=1 cargo test --locked --test cuda

test-cuda-aarch64: ## the CUDA tests for aarch64 under qemu-user, in all worlds
	@scripts/need_cargo.sh
	@scripts/test_aarch64.sh --cuda

gpu-check: build ## a GPU in under ten minutes: facts, ceilings, results beside the CPU's, speeds, PyTorch beside (gpu-check.json)
	@scripts/gpu_check.sh

check: lint check-kernels test ## what CI runs

cross: ## the binary for every Jetson: aarch64, glibc 2.27 at the most, checked
	@scripts/need_cargo.sh
	@scripts/cross.sh

# What the steps below take from the command line; scripts/deploy.sh says what it is.
export JETSON DIR BINARY SYSTEMD GTP_PORT SSH

deploy-jetson: ## onto a board: JETSON=user@host [DIR=/opt/edgezero] [BINARY=file] [SYSTEMD=1, with services]
	@scripts/deploy.sh deploy

rollback-jetson: ## the release before, on a board: JETSON=user@host
	@scripts/deploy.sh rollback

undeploy-jetson: ## away from a board, all but records, runs and nets: JETSON=user@host
	@scripts/deploy.sh undeploy

MINUTES ?= 30
soak: build ## training killed at random for MINUTES=30, then compared with one left alone
	@scripts/soak.sh $(MINUTES)

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
