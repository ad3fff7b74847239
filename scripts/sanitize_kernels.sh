#!/usr/bin/env bash
# Runs the tests of onecycle-kernels, where all of the workspace's unsafe code is, under AddressSanitizer: an access
# outside of a slice or of a buffer, on any path that this machine has (portable, AVX2, AVX-512), ends the run. Where the
# toolchain has Miri, the unit tests are interpreted as well, on the portable path.
#
#     scripts/sanitize_kernels.sh [arguments for cargo test]
#
# A stable toolchain will do: RUSTC_BOOTSTRAP unlocks the sanitiser that it ships with. What comes from a workspace may be
# larger than asked for, and the sanitiser sees only the end of what was allocated.
set -euo pipefail
cd "$(dirname "$0")/.."

export RUSTC_BOOTSTRAP=1
host="$(rustc -vV | sed -n 's/^host: //p')"

echo "== AddressSanitizer, $host"
# With a target named, the flags are for the tests alone and not for build scripts.
RUSTFLAGS="-Zsanitizer=address" cargo test --locked -p onecycle-kernels --target "$host" --lib --tests "$@"

if cargo miri --version >/dev/null 2>&1; then
    echo "== Miri, portable path"
    cargo miri test --locked -p onecycle-kernels --lib "$@"
else
    echo "== no Miri in this toolchain: skipped"
fi
