#!/usr/bin/env bash
# Builds the Python module and tests it: without PyTorch, and, where apt-get exists, with Debian's PyTorch for
# the CPU. Executes the notebooks. Reads the event files of the command with TensorBoard, and looks at its output on
# terminals. Needs Rust and Python 3.10 or newer; everything it installs goes into
# target/python, except Debian's packages. The integrations have a script of their own,
# scripts/test_python_integrations.sh.
set -euo pipefail
cd "$(dirname "$0")/.."
repository=$PWD
package=$PWD/crates/onecycle-python
# The command as the tests before have built it.
program=$(realpath -m "${CARGO_TARGET_DIR:-target}")/debug/onecycle
[ -x "$program" ] || cargo build --locked --workspace --bins --examples
out=$(realpath -m "${CARGO_TARGET_DIR:-target}")/python
export CARGO_TARGET_DIR=$out OMP_NUM_THREADS=1
mkdir -p "$out"

python3 scripts/write_python_policies.py --check
cargo fmt --check --manifest-path "$package/Cargo.toml"
cargo clippy --locked --release --manifest-path "$package/Cargo.toml" -- -D warnings
scripts/build_python_wheel.sh --without-command

# Runs the tests outside of the source tree: `onecycle` is the installed wheel.
test_with() {
    local python=$1
    shift
    rm -rf "$out/tests" && cp -r "$package/tests" "$out/tests"
    (cd "$out/tests" && ONECYCLE_REPOSITORY=$repository "$python" -m pytest -q -p no:cacheprovider --rootdir . "$@")
}

python3 -m venv "$out/venv"
"$out/venv/bin/pip" install --quiet --force-reinstall --no-deps "$package"/dist/*.whl
"$out/venv/bin/pip" install --quiet pytest numpy mypy nbconvert ipykernel
test_with "$out/venv/bin/python" test_core.py test_goldens.py test_documentation.py
"$out/venv/bin/mypy" --strict "$out/tests/typed_use.py"
execute() {
    "$1" -m nbconvert --to notebook --execute --output-dir "$out/notebooks" --log-level WARN "docs/notebooks/$2"
}
execute "$out/venv/bin/python" wrong-suggestions.ipynb

"$out/venv/bin/pip" install --quiet tensorboard 'setuptools<81' pyte
"$out/venv/bin/python" scripts/check_tensorboard.py "$program"
"$out/venv/bin/python" scripts/check_terminal.py "$program"

if command -v apt-get >/dev/null && [ -x /usr/bin/python3 ]; then
    dpkg -s python3-torch python3-venv >/dev/null 2>&1 || {
        apt-get update
        apt-get install -y --no-install-recommends python3-torch python3-venv
    }
    /usr/bin/python3 -m venv --system-site-packages "$out/debian"
    "$out/debian/bin/pip" install --quiet --force-reinstall --no-deps "$package"/dist/*.whl
    "$out/debian/bin/pip" install --quiet pytest nbconvert ipykernel
    test_with "$out/debian/bin/python" test_torch_scheduler.py test_torch_range_test.py test_torch_fit.py \
        test_known_failures.py test_readme.py
    execute "$out/debian/bin/python" find-and-train.ipynb
else
    echo "there is no apt-get: not tested with PyTorch"
fi
