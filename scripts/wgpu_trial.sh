#!/usr/bin/env bash
# Runs the commands that compute on a device with `--device wgpu`, and compares losses with the CPU.
#
#     scripts/wgpu_trial.sh [ONECYCLE]    # command built with --features wgpu,mpi
#
# Needs a Vulkan driver (Debian: libvulkan1, and mesa-vulkan-drivers for a computer without a GPU),
# mpirun and Python 3. Prints one line per step; the exit code is 0 if all agree.
set -euo pipefail
cd "$(dirname "$0")/.."
onecycle=$(realpath "${1:-${CARGO_TARGET_DIR:-target}/debug/onecycle}")
place=$(mktemp -d "${TMPDIR:-/tmp}/wgpu-trial.XXXXXX")
trap 'rm -rf "$place"' EXIT
# Vulkan's loader asks for it.
export XDG_RUNTIME_DIR="$place"
export ONECYCLE_DATA="$place/none"

say() { echo "$(date +%T) $*"; }

# Runs the command and shows the end of its output if it fails: attempt NAME EXPECTED-EXIT-CODE ARGUMENTS...
attempt() {
    local name=$1 expected=$2 code=0
    shift 2
    timeout --preserve-status -k 10 300 "$onecycle" "$@" >"$place/$name.log" 2>&1 || code=$?
    if [ "$code" != "$expected" ]; then
        say "$name: exit code $code instead of $expected" >&2
        tail -n 20 "$place/$name.log" >&2
        exit 1
    fi
    say "$name: done"
}

# Small, because a software driver is slow. A high rate would amplify differences of rounding.
settings=(--data fashion-mnist --threads 0 --set data.test_limit=32 -q)
network=(--model resnet-small --batch-size 8 --limit 64 --steps 8 --lr-max 0.002)

# A machine without a driver, neither of Vulkan nor of OpenGL: one line, and no panic.
code=0
VK_DRIVER_FILES=/dev/null VK_ICD_FILENAMES=/dev/null __EGL_VENDOR_LIBRARY_FILENAMES=/dev/null timeout -k 10 60 "$onecycle" train "${settings[@]}" "${network[@]}" --device wgpu \
    --out "$place/none" >"$place/none.log" 2>&1 || code=$?
if [ $code = 0 ] || [ "$(wc -l <"$place/none.log")" != 1 ] || ! grep -q "Vulkan driver" "$place/none.log"; then
    say "no driver: exit code $code, and this instead of one line:" >&2
    cat "$place/none.log" >&2
    exit 1
fi
say "no driver: $(cat "$place/none.log")"

# The first four steps of three seeds, of which two must agree: where the argument of a ReLU is zero but for
# rounding, each side may take another gradient, and the two trainings part. Two builds that round differently
# on the CPU were more than 1e-4 apart for one of 40 seeds within four steps, for five within eight.
for seed in 1 2 3; do
    attempt "cpu, seed $seed" 0 train "${settings[@]}" "${network[@]}" --seed $seed --out "$place/cpu-$seed"
    attempt "train, seed $seed" 0 train "${settings[@]}" "${network[@]}" --seed $seed --device wgpu --out "$place/train-$seed"
done
python3 - "$place" <<'PY'
import json, sys

def losses(run):
    values = [json.loads(line)["loss"] for line in open(f"{sys.argv[1]}/{run}/steps.jsonl")]
    assert len(values) == 8, (run, values)
    return values

def differences(seed):
    return [abs(cpu - gpu) for cpu, gpu in zip(losses(f"cpu-{seed}"), losses(f"train-{seed}"))]

for seed in (1, 2, 3):
    print(f"seed {seed}, differences of the loss from the CPU:", *(f"{d:.1e}" for d in differences(seed)))
sys.exit(sorted(max(differences(seed)[:4]) for seed in (1, 2, 3))[1] > 1e-4)
PY

# Stopped after two steps, then resumed on the device that run.toml names.
"$onecycle" train "${settings[@]}" "${network[@]}" --seed 1 --device wgpu --out "$place/stopped" >"$place/stopped.log" 2>&1 &
end=$((SECONDS + 300))
until [ -f "$place/stopped/steps.jsonl" ] && [ "$(wc -l <"$place/stopped/steps.jsonl")" -ge 2 ]; do
    [ $SECONDS -lt $end ] || { say "stopped: no two steps" >&2; exit 1; }
    sleep 0.05
done
kill -TERM $!
wait $! && { say "stopped: the exit code is 0" >&2; exit 1; }
[ "$(wc -l <"$place/stopped/steps.jsonl")" -lt 8 ] || { say "stopped: all steps were made" >&2; exit 1; }
say "stopped: $(tail -n 1 "$place/stopped.log")"
attempt resume 0 resume "$place/stopped" -q
cmp "$place/train-1/steps.jsonl" "$place/stopped/steps.jsonl"
say "resume: the steps of an undisturbed run"

attempt evaluate 0 evaluate "$place/train-1" -q
attempt find 0 find "${settings[@]}" --model lenet5 --batch-size 8 --limit 200 --num-steps 24 --device wgpu --out "$place/find"
# 220 images to judge short cycles by: with fewer than 200, fit makes more of them.
attempt fit 0 fit "${settings[@]}" --model mlp --limit 1100 --batch-size 16 --num-steps 40 --steps 30 --device wgpu \
    --out "$place/fit"

# Two processes on one device.
export OMPI_ALLOW_RUN_AS_ROOT=1 OMPI_ALLOW_RUN_AS_ROOT_CONFIRM=1 OMPI_MCA_mpi_yield_when_idle=1
shared=("${settings[@]}" --model lenet5 --batch-size 8 --limit 64 --steps 6 --lr-max 0.002 --set shards=2 --device wgpu)
attempt one 0 train "${shared[@]}" --out "$place/one"
attempt diagnose 0 diagnose "$place/one" --batches 2 --batch-size 8 --images 16 --eigenvalues 1 --slices 1 -q
timeout -k 10 300 mpirun --oversubscribe --bind-to none -n 2 "$onecycle" train "${shared[@]}" --out "$place/two" \
    >"$place/two.log" 2>&1 || { tail -n 20 "$place/two.log" >&2; exit 1; }
cmp "$place/one/model.safetensors" "$place/two/model.safetensors"
say "two processes: the bytes of one"
say "all good"
