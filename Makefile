# Two commands set everything up on a fresh Debian or Ubuntu machine with rustup: `make demo` and `make test`.

CARGO ?= cargo
DEMO_FRAMES ?= 10
# For `make fuzz`: how long each target runs.
FUZZ_SECONDS ?= 300
# The tests build what they test first: the programs are run as files.
TEST_FLAGS = --release --workspace
# For `make bench`: a Python with numpy and onnxruntime, and what it is given.
PYTHON ?= python3
BENCH_FLAGS ?= --markdown

.PHONY: demo test check test-fresh test-gpu test-vm test-page test-arm fuzz mutants bench packages

packages:
	@sh tests/packages.sh

## Builds comet-edge and runs the shipped model: on the camera if there is one, else on the shipped frames.
demo: packages
	$(CARGO) build --release -p comet-edge
	@sh tests/demo.sh target/release/comet-edge $(DEMO_FRAMES)

## Every test: unit tests, golden vectors, and the programs themselves from end to end.
test: packages
	$(CARGO) build $(TEST_FLAGS) --bins --examples
	$(CARGO) test $(TEST_FLAGS) --doc
	$(CARGO) test $(TEST_FLAGS) --lib --bins --examples
	$(CARGO) test $(TEST_FLAGS) --test '*'

## What a change must pass before it is shown to others.
check: packages
	$(CARGO) fmt --all --check
	$(CARGO) clippy $(TEST_FLAGS) --all-targets -- -D warnings
	$(CARGO) clippy --release -p comet-edge --no-default-features --features cli --all-targets -- -D warnings
	RUSTDOCFLAGS="-D warnings" $(CARGO) doc --release --workspace --no-deps
	@if command -v cargo-deny >/dev/null 2>&1; then $(CARGO) deny check; \
	else echo "cargo-deny is not installed: licences and advisories were not checked (cargo install cargo-deny)"; fi

## The two commands of the README on a newcomer's machine: a minimal Debian in a folder, an ordinary user, rustup.
test-fresh:
	@bash tests/fresh.sh 'make demo' 'make test'

## The kernels' tests for AArch64 under qemu: Cortex-A72, Cortex-A76 and a processor with I8MM.
test-arm:
	@sh tests/arm.sh

## Three training steps on software Vulkan (Mesa's lavapipe) give the losses of the CPU.
test-gpu:
	@sh tests/packages.sh gpu
	$(CARGO) build --release -p comet-trainer --features wgpu
	@mkdir -p target/gpu && cp target/release/trainer target/gpu/trainer
	@sh tests/gpu.sh target/gpu/trainer

## comet-edge on emulated ARM boards with the kernel's virtual camera; the same frames must give the same predictions here.
test-vm:
	@sh tests/packages.sh vm
	$(CARGO) build --release -p comet-edge
	@sh tests/vm.sh target/release/comet-edge

## Fuzzes graphs and model files; needs cargo-fuzz and a nightly compiler.
fuzz:
	@sh tests/fuzz.sh graphs $(FUZZ_SECONDS)
	@sh tests/fuzz.sh files $(FUZZ_SECONDS)

## Changes the code in small ways and reports which changes no test notices: FILES='runtime/engine/src/explain/**' for a
## part, SHARD=1/8 for a sample; needs cargo-mutants (cargo install --locked cargo-mutants).
mutants:
	$(CARGO) mutants --workspace --profile mutants --output target $(if $(FILES),--file '$(FILES)') \
		$(if $(SHARD),--shard $(SHARD)) -- --lib

## Opens the live page in Chromium and uses it; screenshots go to target/page.
test-page: packages
	$(CARGO) build --release -p comet-edge
	@sh tests/page.sh target/release/comet-edge models/hands.int8.onnx

## Times every kernel, then whole models beside ONNX Runtime and stock tract; wants an idle machine.
bench: packages
	$(CARGO) build --release -p comet-edge -p comet-trainer
	$(CARGO) bench -p comet-kernels
	@sh tests/reference/random_pair.sh target/release/trainer target/bench
	@sh tests/bench.sh target/release/comet-edge target/bench $(PYTHON) $(BENCH_FLAGS)
