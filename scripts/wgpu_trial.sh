#!/usr/bin/env bash
# Runs every command that takes a device on wgpu with a software Vulkan driver, and compares with the CPU.
#
#     scripts/wgpu_trial.sh [ONECYCLE]      # command built with --features wgpu
#
# Needs a Vulkan driver (Debian: mesa-vulkan-drivers libvulkan1) and Python 3. Trains eight steps of a
# small residual network at a low rate on both devices, where all losses agree to 2e-5: a higher rate amplifies
# differences of rounding. Then find, fit, a run that is stopped and resumed, diagnose and evaluate.
set -euo pipefail
cd "$(dirname "$0")/.."
onecycle=$(realpath "${1:-${CARGO_TARGET_DIR:-target}/debug/onecycle}")
place=$(mktemp -d "${TMPDIR:-/tmp}/wgpu-trial.XXXXXX")
trap 'rm -rf "$place"' EXIT
export XDG_RUNTIME_DIR=$place ONECYCLE_DATA=$place/none
# Only the software driver, also on a machine that has a GPU.
export VK_DRIVER_FILES=${VK_DRIVER_FILES:-$(find /usr/share/vulkan/icd.d -name 'lvp_icd*.json' | head -n 1)}

say() { echo "$(date +%T) $*"; }

settings=(--data fashion-mnist --model resnet-small --limit 512 --batch-size 32 --lr-max 0.002 --steps 8
    --set data.test_limit=64 -q)
for device in cpu wgpu; do
    "$onecycle" train "${settings[@]}" --device $device --out "$place/$device" >"$place/$device.log"
done
python3 - "$place/cpu/steps.jsonl" "$place/wgpu/steps.jsonl" <<'PY'
import json, sys
cpu, gpu = ([json.loads(line)["loss"] for line in open(path)] for path in sys.argv[1:])
assert len(cpu) == len(gpu) == 8, (len(cpu), len(gpu))
worst = max(abs(a - b) / a for a, b in zip(cpu, gpu))
print(f"train: losses of 8 steps differ by at most {worst:.1e}")
assert worst <= 2e-5, (cpu, gpu)
PY

small=(--data fashion-mnist --model lenet5 --limit 256 --batch-size 32 --set data.test_limit=64 --device wgpu -q)
"$onecycle" find "${small[@]}" --steps 20 --out "$place/find" >"$place/find.log"
say "find"
"$onecycle" fit "${small[@]}" --quick --set steps=12 --out "$place/fit" >"$place/fit.log"
say "fit"

code=0
"$onecycle" train "${small[@]}" --epochs 3 --max-time 1s --out "$place/resumed" >"$place/resumed.log" 2>&1 || code=$?
[ $code = 124 ] || { cat "$place/resumed.log"; exit 1; }
"$onecycle" resume "$place/resumed" -q >"$place/resumed.log"
"$onecycle" train "${small[@]}" --epochs 3 --out "$place/whole" >"$place/whole.log"
cmp "$place/resumed/model.safetensors" "$place/whole/model.safetensors"
say "train and resume: the same bytes as without a stop"

"$onecycle" diagnose "$place/whole" >"$place/diagnose.log"
"$onecycle" evaluate "$place/whole" >"$place/evaluate.log"
say "diagnose, evaluate"
say "all commands work on wgpu"
