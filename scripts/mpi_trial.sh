#!/usr/bin/env bash
# Trains one run with 1, 2 and 4 MPI processes, disturbs it, and compares model and records.
#
#     scripts/mpi_trial.sh [ONECYCLE] [KILLS]    # command built with --features mpi; random kills [default: 3]
#
# Needs an MPI library (Debian: openmpi-bin) and Python 3. The disturbances: SIGTERM to one process,
# which stops all with a checkpoint; SIGKILL to one process after another at random moments, after which
# all must end within ten seconds. Each time the run resumes with another number of processes. Prints
# one line per step; the exit code is 0 if all bytes are equal.
set -euo pipefail
cd "$(dirname "$0")/.."
onecycle=$(realpath "${1:-${CARGO_TARGET_DIR:-target}/debug/onecycle}")
kills=${2:-3}
place=$(mktemp -d "${TMPDIR:-/tmp}/mpi-trial.XXXXXX")
trap 'pkill -KILL -f "$place" 2>/dev/null || true; rm -rf "$place"' EXIT
export OMPI_ALLOW_RUN_AS_ROOT=1 OMPI_ALLOW_RUN_AS_ROOT_CONFIRM=1
# More processes than cores must take turns instead of waiting busily.
export OMPI_MCA_mpi_yield_when_idle=1
export ONECYCLE_DATA=$place/none

say() { echo "$(date +%T) $*"; }

fail() {
    say "$*" >&2
    tail -n 20 "$place"/*.log >&2 || true
    exit 1
}

# Runs the command with a number of processes: team PROCESSES LOG ARGUMENTS...
team() {
    local processes=$1 log=$2
    shift 2
    mpirun --oversubscribe --bind-to none -n "$processes" "$onecycle" "$@" >"$place/$log.log" 2>&1
}

# A network with batch norm on the images in the repository; 64 updates.
settings=(--data fashion-mnist --model resnet-small --limit 1000 --batch-size 64 --epochs 4 --threads 1
    --set shards=4 --set checkpoint_steps=10 --set data.test_limit=256 -q)

same() {
    local file
    for file in model.safetensors steps.jsonl; do
        cmp "$place/one/$file" "$place/$1/$file" || fail "$1: $file differs"
    done
    python3 - "$place/one/epochs.jsonl" "$place/$1/epochs.jsonl" <<'PY' || fail "$1: epochs.jsonl differs"
import json, sys
def timeless(path):
    rows = [json.loads(line) for line in open(path)]
    return [{k: v for k, v in row.items() if k not in ("seconds", "images_per_second")} for row in rows]
sys.exit(timeless(sys.argv[1]) != timeless(sys.argv[2]))
PY
    say "$1: the bytes of one process"
}

# Processes of the run in a folder, the launcher excluded.
members() {
    pgrep -f "^$onecycle .*$place/$1" || true
}

# Waits until the run has written a number of steps: wait_for_steps RUN STEPS
wait_for_steps() {
    local end=$((SECONDS + 120))
    until [ -f "$place/$1/steps.jsonl" ] && [ "$(wc -l <"$place/$1/steps.jsonl")" -ge "$2" ]; do
        [ $SECONDS -lt $end ] || fail "$1: no $2 steps"
        sleep 0.05
    done
}

"$onecycle" train "${settings[@]}" --out "$place/one" >"$place/one.log" 2>&1 || fail "one process"
say "one process"
for processes in 2 4; do
    team $processes "team$processes" train "${settings[@]}" --out "$place/team$processes" ||
        fail "$processes processes"
    same "team$processes"
done

# All processes make the short cycles of fit together, and a range test each.
search=(--data fashion-mnist --model lenet5 --limit 600 --batch-size 32 --quick --threads 1
    --set data.test_limit=128 --set shards=2 -q)
"$onecycle" fit "${search[@]}" --out "$place/fit1" >"$place/fit1.log" 2>&1 || fail "fit: one process"
team 2 fit2 fit "${search[@]}" --out "$place/fit2" || fail "fit: two processes"
cmp "$place/fit1/model.safetensors" "$place/fit2/model.safetensors" || fail "fit: the models differ"
say "fit: the bytes of one process"

tests=(--data fashion-mnist --model lenet5 --limit 600 --batch-size 32 --num-steps 40 --threads 1
    --set data.test_limit=128 --set shards=4 --weight-decays "1e-4,1e-2" --seeds 2 -q)
"$onecycle" find "${tests[@]}" --out "$place/find1" >"$place/find1.log" 2>&1 || fail "find: one process"
team 4 find4 find "${tests[@]}" --out "$place/find4" || fail "find: four processes"
python3 - "$place/find1" "$place/find4" <<'PY' || fail "find: the curves differ"
import json, sys
def curves(folder):
    with open(f"{folder}/range_test.json") as file:
        found = json.load(file)
    return [test["curve"] for group in found["groups"] for test in group["tests"]]
one, four = map(curves, sys.argv[1:])
sys.exit(len(one) != 4 or one != four)
PY
say "find: the curves of one process"

team 4 stopped train "${settings[@]}" --out "$place/stopped" &
launcher=$!
wait_for_steps stopped 20
kill -TERM "$(members stopped | tail -n 1)"
wait $launcher && fail "stopped: the exit code is 0"
grep -q "stopped after step" "$place/stopped.log" || fail "stopped: no message"
[ -z "$(members stopped)" ] || fail "stopped: processes are left"
say "SIGTERM to one process: $(grep -o 'stopped after step.*' "$place/stopped.log" | head -n 1)"
team 2 stopped resume "$place/stopped" --threads 1 -q || fail "stopped: not resumed"
same stopped

number=0
killed=0
while [ $killed -lt "$kills" ]; do
    number=$((number + 1))
    run=killed$number
    processes=4
    first=1
    while :; do
        if [ $first = 1 ]; then
            team $processes "$run" train "${settings[@]}" --out "$place/$run" &
        else
            team $processes "$run" resume "$place/$run" --threads 1 -q &
        fi
        launcher=$!
        if [ $killed -ge "$kills" ] || [ $((RANDOM % 4)) = 0 ] && [ $first = 0 ]; then
            wait $launcher || fail "$run: not resumed"
            break
        fi
        if [ $first = 1 ]; then
            # A run whose first checkpoint is missing cannot be resumed.
            wait_for_steps "$run" 1
        fi
        sleep "$(python3 -c 'import random; print(random.uniform(0, 2))')"
        victim=$(members "$run" | shuf -n 1)
        if [ -n "$victim" ]; then
            kill -KILL "$victim" 2>/dev/null || true
            killed=$((killed + 1))
        fi
        end=$((SECONDS + 10))
        while [ -n "$(members "$run")" ] && ! [ -f "$place/$run/summary.json" ]; do
            [ $SECONDS -lt $end ] || fail "$run: processes are left after a kill"
            sleep 0.1
        done
        wait $launcher || true
        [ -f "$place/$run/summary.json" ] && break
        first=0
        processes=$((1 << (RANDOM % 3)))
    done
    same "$run"
    rm -rf "${place:?}/$run"
done
say "$killed kills: all bytes are equal"
