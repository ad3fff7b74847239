#!/usr/bin/env bash
# Tests the Python module against the current releases of PyTorch, torch-lr-finder, Lightning, transformers,
# Accelerate, fastai, timm, Keras and optax, from PyPI: 7 GB, because PyPI's PyTorch contains CUDA.
#
#     scripts/test_python_integrations.sh [PYTHON]    # an interpreter that has the packages already
#
# Prints the versions at the end; docs/evidence.md has the latest result.
set -euo pipefail
cd "$(dirname "$0")/.."
package=$PWD/crates/onecycle-python
out=$(realpath -m "${CARGO_TARGET_DIR:-target}")/python-integrations
export OMP_NUM_THREADS=1
mkdir -p "$out"

[ -n "$(ls "$package"/dist/*.whl 2>/dev/null)" ] || scripts/build_python_wheel.sh --without-command
python=${1:-}
if [ -z "$python" ]; then
    python3 -m venv "$out/venv"
    python=$out/venv/bin/python
    "$python" -m pip install --quiet pytest torch numpy torch-lr-finder lightning transformers accelerate fastai timm \
        keras jax optax
fi
# A folder of its own, so that an existing environment is not changed.
"$python" -m pip install --quiet --no-deps --upgrade --target "$out/site" "$package"/dist/*.whl
rm -rf "$out/tests" && cp -r "$package/tests" "$out/tests"
cd "$out/tests"
export PYTHONPATH=$out/site:$out/tests ONECYCLE_REPOSITORY=$package/../..
run() { "$python" -m pytest -q -p no:cacheprovider --rootdir . "$@"; }
run --ignore integrations .
run integrations
KERAS_BACKEND=jax run integrations/test_others.py -k "keras and jax"
"$python" - <<'PYTHON'
from importlib.metadata import version

names = ["onecycle", "torch", "torch-lr-finder", "lightning", "transformers", "accelerate", "fastai", "timm", "keras", "jax", "optax"]
print(", ".join(f"{name} {version(name)}" for name in names))
PYTHON
