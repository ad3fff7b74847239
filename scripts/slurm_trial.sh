#!/usr/bin/env bash
# Trains a study of 8 runs on a private Slurm cluster, disturbs it, and compares its files with those
# of an undisturbed study.
#
#     scripts/slurm_trial.sh [ONECYCLE]      # path of the command [default: target/debug/onecycle]
#
# The cluster has two nodes on 127.0.0.1 and lives in a temporary folder. Needs root, Debian's packages
# slurm-wlm and munge, and Python 3. Takes about two minutes. The disturbances: one task is requeued by
# hand, one worker gets the SIGTERM that Slurm sends before a time limit, and one node dies with its
# daemon and all that runs on it. Prints one line per step; the exit code is 0 if all files are equal.
set -euo pipefail
cd "$(dirname "$0")/.."
onecycle=$(realpath "${1:-${CARGO_TARGET_DIR:-target}/debug/onecycle}")
images=$(realpath data/fashion-mnist)
compare=$(realpath scripts/compare_studies.py)

place=$(mktemp -d "${TMPDIR:-/tmp}/slurm-trial.XXXXXX")
export SLURM_CONF=$place/slurm.conf
host=$(hostname -s)

say() { echo "$(date +%T) $*"; }

fail() {
    say "$*" >&2
    tail -n 20 "$place"/*.log "$place"/shared/slurm/*.log >&2 || true
    exit 1
}

# Processes of a node: workers, shells and srun of its jobs have its name in their environment, and
# the slurmstepd of each is the parent.
processes_of() {
    local environment pid parent
    for environment in /proc/[0-9]*/environ; do
        pid=${environment#/proc/}
        pid=${pid%/environ}
        if tr '\0' '\n' 2>/dev/null <"$environment" | grep -qx "SLURM_CONF=$SLURM_CONF" &&
            tr '\0' '\n' 2>/dev/null <"$environment" | grep -qx "SLURMD_NODENAME=$1"; then
            parent=$(awk '/^PPid:/ { print $2 }' "/proc/$pid/status" 2>/dev/null || true)
            if grep -q '^slurmstepd' "/proc/$parent/comm" 2>/dev/null; then
                echo "$parent"
            fi
            echo "$pid"
        fi
    done | awk '!seen[$0]++'
}

kill_node() {
    local pid
    kill -KILL "$(cat "$place/slurmd.$1.pid")" 2>/dev/null || true
    for pid in $(processes_of "$1"); do
        kill -KILL "$pid" 2>/dev/null || true
    done
}

stop() {
    local pid
    kill_node n1
    kill_node n2
    for pid in slurmctld munged; do
        if [ -f "$place/$pid.pid" ]; then
            kill "$(cat "$place/$pid.pid")" 2>/dev/null || true
        fi
    done
    rm -rf "$place"
}
trap stop EXIT

# Waits until a command succeeds: wait_until SECONDS WHAT COMMAND...
wait_until() {
    local end=$((SECONDS + $1)) what=$2
    shift 2
    until "$@"; do
        [ $SECONDS -lt $end ] || fail "waited too long: $what"
        sleep 0.2
    done
}

free_port() {
    python3 -c 'import socket; s = socket.socket(); s.bind(("127.0.0.1", 0)); print(s.getsockname()[1])'
}

begin_cluster() {
    mkdir "$place/state" "$place/spool.n1" "$place/spool.n2"
    head -c 1024 /dev/urandom >"$place/munge.key"
    chmod 600 "$place/munge.key"
    munged --force --socket="$place/munge.socket" --key-file="$place/munge.key" \
        --log-file="$place/munged.log" --pid-file="$place/munged.pid" --seed-file="$place/munge.seed"
    # A requeued job waits for cred_expire, a dead node is noticed after about three times SlurmdTimeout.
    cat >"$SLURM_CONF" <<CONF
ClusterName=trial
SlurmctldHost=$host(127.0.0.1)
SlurmctldPort=$(free_port)
SlurmUser=root
AuthType=auth/munge
AuthInfo=socket=$place/munge.socket,cred_expire=5
StateSaveLocation=$place/state
SlurmdSpoolDir=$place/spool.%n
SlurmctldPidFile=$place/slurmctld.pid
SlurmdPidFile=$place/slurmd.%n.pid
SlurmctldLogFile=$place/slurmctld.log
SlurmdLogFile=$place/slurmd.%n.log
ProctrackType=proctrack/linuxproc
TaskPlugin=task/none
SwitchType=switch/none
MpiDefault=none
AccountingStorageType=accounting_storage/none
JobAcctGatherType=jobacct_gather/none
SelectType=select/cons_tres
SelectTypeParameters=CR_Core
SchedulerParameters=sched_interval=1,bf_interval=1,batch_sched_delay=0
SlurmdTimeout=6
KillWait=5
ReturnToService=2
SlurmdParameters=config_overrides
NodeName=n1 NodeHostname=$host NodeAddr=127.0.0.1 Port=$(free_port) CPUs=2 State=UNKNOWN
NodeName=n2 NodeHostname=$host NodeAddr=127.0.0.1 Port=$(free_port) CPUs=2 State=UNKNOWN
PartitionName=trial Nodes=n1,n2 Default=YES MaxTime=INFINITE State=UP
CONF
    slurmctld -c
    slurmd -N n1
    slurmd -N n2
    wait_until 30 "two idle nodes" two_idle_nodes
}

two_idle_nodes() { [ "$(sinfo -h -N -t idle -o %N 2>/dev/null | wc -l)" = 2 ]; }
finished() { [ "$(find "$place/shared/runs" -name summary.json 2>/dev/null | wc -l)" -ge "$1" ]; }
runs_on() { [ -n "$(squeue -h -r -t RUNNING -w "$1" -o %i)" ]; }
queue_is_empty() {
    # A requeued task waits some seconds for its credentials to expire; nothing has to wait here.
    squeue -h -r -t PENDING -o %i | while read -r task; do
        scontrol update "JobId=$task" StartTime=now 2>/dev/null || true
    done
    [ -z "$(squeue -h -o %i)" ]
}

write_study() {
    local name policy
    for name in cycle flat; do
        policy='kind = "one_cycle"
lr_max = 0.05'
        if [ $name = flat ]; then
            policy='kind = "constant"
lr = 0.01'
        fi
        cat >"$place/$name.toml" <<TOML
model = "lenet5"
epochs = 4
batch_size = 16
checkpoint_steps = 50
threads = 1
[data]
path = "$images"
limit = ${IMAGES:-1500}
test_limit = 500
[policy]
$policy
TOML
    done
}

main() {
    local study=(compare cycle.toml flat.toml --seeds 4) since job task
    begin_cluster
    say "a cluster of two nodes is ready"
    write_study
    cd "$place"
    since=$SECONDS
    "$onecycle" "${study[@]}" --out whole --threads 1 -q >/dev/null
    say "the undisturbed study took $((SECONDS - since)) s"

    since=$SECONDS
    job=$("$onecycle" slurm "${study[@]}" --out shared --array 4 --time 10m --format json |
        python3 -c 'import json, sys; print(json.load(sys.stdin)["job"])')
    say "job $job: 4 workers"
    wait_until 60 "a task on each node" runs_on n1
    wait_until 60 "a task on each node" runs_on n2
    wait_until 60 "the first run to finish" finished 1
    task=$(squeue -h -r -j "$job" -t RUNNING -w n1 -o %i | head -n 1)
    scontrol requeue "$task"
    say "requeued task $task"
    wait_until 60 "another run to finish" finished 2
    task=$(squeue -h -r -j "$job" -t RUNNING -w n1 -o %A | tail -n 1)
    scancel --signal=TERM "$task"
    say "sent SIGTERM to the worker of job $task"
    task=$(squeue -h -r -j "$job" -t RUNNING -w n2 -o %i | xargs)
    [ -n "$task" ] || fail "no task is left on n2"
    kill_node n2
    say "killed node n2 with its tasks $task"
    wait_until 120 "the study to end" queue_is_empty
    say "the disturbed study took $((SECONDS - since)) s"
    grep -q "requeue job .* due to failure of node n2" slurmctld.log || fail "no task of n2 was requeued"
    [ "$(grep -c "Requeuing JobId" slurmctld.log)" -ge 3 ] || fail "too few tasks were requeued"
    python3 "$compare" whole shared
}

main
