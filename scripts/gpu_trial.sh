#!/usr/bin/env bash
# Everything to measure on a GPU, in one call of at most 8 minutes, on a machine that has nothing but an
# NVIDIA driver and Python with PyTorch. Never run on a GPU yet: whoever has one runs it and fixes what
# it finds.
#
#     scripts/gpu_trial.sh pack ONECYCLE [FOLDER]   # here: ONECYCLE is built with the feature `cuda`
#     FOLDER/gpu_trial.sh run [RESULTS]             # there: needs only the files in FOLDER
#
# `pack` puts the command and all files that `run` needs into FOLDER [default: target/gpu-trial], below
# 64 MiB together. `run` writes trial.json and trial.md, a table for docs/evidence.md, into RESULTS
# [default: results/ in the folder]; after every measurement, so that a run that is cut off leaves what
# it has. scripts/gpu_trial.py describes the measurements.
#
# Variables of `run`: TRIAL_SECONDS (480), TRIAL_DEVICE (cuda; cpu tries the script itself, with little
# work), TRIAL_PYTHON (python3), TRIAL_CIFAR10 (a folder with CIFAR-10 in the published binary files,
# to train on it instead of Fashion-MNIST).
set -euo pipefail

MOST_BYTES=$((64 << 20))

pack() {
    local onecycle=$1 here to bytes
    here=$(cd "$(dirname "$0")/.." && pwd)
    to=${2:-$here/target/gpu-trial}
    rm -rf "$to"
    mkdir -p "$to/scripts" "$to/benches" "$to/data/fashion-mnist"
    cp "$onecycle" "$to/onecycle"
    strip "$to/onecycle"
    xz -T0 "-${XZ_LEVEL:-6}" "$to/onecycle"
    cp "$here/scripts/gpu_trial.sh" "$to/"
    cp "$here/scripts/gpu_trial.py" "$here/scripts/check_with_pytorch.py" "$to/scripts/"
    cp "$here/benches/torch_step.py" "$to/benches/"
    cp "$here"/data/fashion-mnist/*-ubyte* "$to/data/fashion-mnist/"
    bytes=$(du -sb "$to" | cut -f1)
    echo "$to: $((bytes >> 20)) MiB"
    if [ "$bytes" -ge $MOST_BYTES ]; then
        echo "more than 64 MiB: build the command with a lower opt-level, or with --features cuda only" >&2
        exit 1
    fi
}

# CUDA's backend reads libdevice.10.bc, which a machine without CUDA's toolkit has in PyTorch's Triton.
find_libdevice() {
    local place libdevice
    for place in "${CUDA_PATH:-}" /usr/local/cuda; do
        if [ -n "$place" ] && [ -e "$place/nvvm/libdevice/libdevice.10.bc" ]; then
            return
        fi
    done
    libdevice=$("$python" - <<'PYTHON' || true
import importlib.util, pathlib
spec = importlib.util.find_spec("triton")
roots = spec.submodule_search_locations if spec else []
found = [path for root in roots for path in pathlib.Path(root).rglob("libdevice.10.bc")]
print(found[0] if found else "")
PYTHON
    )
    if [ -z "$libdevice" ]; then
        echo "warning: no libdevice.10.bc was found; kernels with exp or log cannot be compiled" >&2
        return
    fi
    export CUDA_PATH=$work/cuda
    mkdir -p "$CUDA_PATH/nvvm/libdevice"
    ln -sf "$libdevice" "$CUDA_PATH/nvvm/libdevice/libdevice.10.bc"
}

run() {
    local folder results driver
    folder=$(cd "$(dirname "$0")" && pwd)
    results=${1:-$folder/results}
    python=${TRIAL_PYTHON:-python3}
    mkdir -p "$results"
    results=$(cd "$results" && pwd)
    work=$(mktemp -d)
    trap 'rm -rf "$work"' EXIT
    xz -dc "$folder/onecycle.xz" >"$work/onecycle"
    chmod +x "$work/onecycle"
    # Where container images keep the driver.
    for driver in /usr/local/nvidia/lib64 /usr/lib/wsl/lib; do
        if [ -e "$driver/libcuda.so.1" ]; then
            export LD_LIBRARY_PATH=$driver${LD_LIBRARY_PATH:+:$LD_LIBRARY_PATH}
        fi
    done
    if [ "${TRIAL_DEVICE:-cuda}" = cuda ]; then
        find_libdevice
    fi
    export ONECYCLE_DATA=$folder/data XDG_CACHE_HOME=$work/cache
    "$python" "$folder/scripts/gpu_trial.py" --onecycle "$work/onecycle" --results "$results" \
        --work "$work" --device "${TRIAL_DEVICE:-cuda}" --seconds "${TRIAL_SECONDS:-480}" \
        --cifar10 "${TRIAL_CIFAR10:-}"
}

case "${1:-}" in
    pack)
        [ $# -ge 2 ] || { echo "usage: $0 pack ONECYCLE [FOLDER]" >&2; exit 2; }
        pack "${@:2}"
        ;;
    run) run "${@:2}" ;;
    *)
        sed -n '2,/^set /{ /^set /d; s/^# \{0,1\}//; p; }' "$0"
        exit 2
        ;;
esac
