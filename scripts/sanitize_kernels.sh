#!/usr/bin/env bash
# Runs the tests of onecycle-kernels, which contains all unsafe code of the workspace, under
# AddressSanitizer. Any access outside a slice or a buffer ends the run, on every instruction set
# that this machine has (portable, AVX2, AVX-512). If the toolchain has Miri, it also interprets the
# unit tests on portable code.
#
#     scripts/sanitize_kernels.sh [arguments for cargo test]
#     scripts/sanitize_kernels.sh -- pool::                  # only the tests of pooling
#
# A stable toolchain is enough: RUSTC_BOOTSTRAP enables the sanitiser that it ships with. Buffers
# from a workspace may be larger than requested; the sanitiser only sees the end of the allocation.
set -euo pipefail
cd "$(dirname "$0")/.."

export RUSTC_BOOTSTRAP=1
host="$(rustc -vV | sed -n 's/^host: //p')"

echo "== AddressSanitizer, $host"
# Naming a target applies the flags to the tests only, not to build scripts.
RUSTFLAGS="-Zsanitizer=address" cargo test --locked -p onecycle-kernels --target "$host" --lib --test it "$@"

if cargo miri --version >/dev/null 2>&1; then
    echo "== Miri, portable code"
    cargo miri test --locked -p onecycle-kernels --lib "$@"
else
    echo "== Miri is not installed: skipped"
fi
