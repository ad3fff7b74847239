#!/usr/bin/env bash
# Compares exported networks with ONNX Runtime and tract, for every network with random weights and
# for trained ones. Needs Python 3 and packages from PyPI and crates.io; with npm and Chromium it also
# opens the page of examples/onnx.
#
#     scripts/check_onnx.sh [FOLDER]     # folder for everything it makes; target/onnx by default
set -euo pipefail
cd "$(dirname "$0")/.."
out=$(realpath -m "${1:-target/onnx}")
target=$(realpath -m "${CARGO_TARGET_DIR:-target}")
rm -rf "$out/cases" "$out/pictures" "$out/runs"
mkdir -p "$out/runs"

python3 scripts/check_onnx.py guide
[ -x "$out/venv/bin/python" ] || python3 -m venv "$out/venv"
"$out/venv/bin/pip" install -q onnx onnxruntime numpy pillow
check() { "$out/venv/bin/python" scripts/check_onnx.py "$@"; }

# Without -p, because the features of a single package would build all dependencies once more.
cargo build --locked --bin onecycle --example onnx_cases
onecycle=$target/debug/onecycle
"$target/debug/examples/onnx_cases" "$out/cases"
check cases "$out/cases"

export CARGO_TARGET_DIR=$target/onnx-example
ONNX_CASES=$out/cases cargo test --locked --manifest-path examples/onnx/Cargo.toml -- --nocapture

check pictures "$out/pictures"
for resize in crop squish pad; do
    run=$out/runs/$resize
    "$onecycle" train --data "$out/pictures" --model convnet --set data.image_size=32 \
        --set "data.resize=\"$resize\"" --set 'data.background=[200, 30, 90]' \
        --batch-size 8 --epochs 20 --lr-max 0.05 --out "$run" --threads 1 -q
    "$onecycle" export "$run" "$run.onnx"
    check trained "$onecycle" "$run" "$run.onnx" "$out/pictures"
    # The same reader and scaling in Rust: the same text.
    diff <("$onecycle" predict "$run" "$out"/pictures/*/*.png) \
        <("$CARGO_TARGET_DIR/debug/onecycle-onnx-example" "$run.onnx" "$out"/pictures/*/*.png)
done
if command -v npm >/dev/null && command -v chromium >/dev/null; then
    check browser "$out/runs/crop.onnx" "$out/pictures/square/0.png"
else
    echo "npm or chromium is missing: the page was not opened in a browser"
fi
echo "all networks agree"
