#!/usr/bin/env bash
# Run a command beside a SLURM of two nodes on this machine's loopback, and stop all of it afterwards:
#
#     tests/cluster/slurm.sh sbatch --wait docs/scripts/slurm.sh
#
# The command finds it by SLURM_CONF. Its configuration, keys, sockets, state and logs are in a temporary folder, and its
# ports are free ones, so a SLURM of the machine is neither used nor changed.
set -euo pipefail

for program in slurmctld slurmd munged; do
    if ! [ -x "$(PATH=$PATH:/usr/sbin:/sbin command -v "$program")" ]; then
        echo "skipped: there is no $program here; on Debian and Ubuntu: apt-get install slurm-wlm munge" >&2
        exit 0
    fi
done
if [ "$(id -u)" -ne 0 ]; then
    echo "skipped: SLURM's daemons start jobs in the name of their users, so this runs as root: in a container" >&2
    exit 0
fi
[ $# -gt 0 ] || { sed -n '2,7s/^# \{0,1\}//p' "$0"; exit 2; }

folder=$(mktemp -d)
export PATH=$PATH:/usr/sbin:/sbin SLURM_CONF=$folder/slurm.conf
export TEST_SLURM_CONF=$SLURM_CONF # which tests/conftest.py does not delete

stop() {
    scancel --quiet --user=root 2>/dev/null || true
    for _ in $(seq 100); do # jobs have half a minute to end before SLURM kills them
        squeue --noheader 2>/dev/null | grep -q . || break
        sleep 0.5
    done
    for daemon in n1 n2 ctld munged; do
        pid=$(cat "$folder/$daemon.pid" 2>/dev/null) || continue
        kill "$pid"
        timeout 10 tail --pid="$pid" -f /dev/null || kill -9 "$pid"
    done
    rm -rf "$folder"
}
trap stop EXIT
trap 'exit 130' INT TERM HUP

ports=$(python3 -c '
import socket
held = [socket.socket() for _ in range(3)]
for each in held:
    each.bind(("127.0.0.1", 0))
print(*(each.getsockname()[1] for each in held))')
read -r port first second <<<"$ports"

chmod 755 "$folder"
mkdir "$folder/state"
(umask 077 && head -c 1024 /dev/urandom >"$folder/munge.key")
munged --socket="$folder/munge.socket" --key-file="$folder/munge.key" --pid-file="$folder/munged.pid" \
    --log-file="$folder/munged.log" --seed-file="$folder/munge.seed"

cat >"$folder/slurm.conf" <<CONF
ClusterName=tests
SlurmctldHost=$(hostname)(127.0.0.1)
SlurmctldPort=$port
SlurmUser=root
# A requeued job waits until its first start's credentials have expired, two minutes by default.
AuthInfo=socket=$folder/munge.socket,cred_expire=5
StateSaveLocation=$folder/state
SlurmdSpoolDir=$folder/spool.%n
SlurmctldPidFile=$folder/ctld.pid
SlurmdPidFile=$folder/%n.pid
SlurmctldLogFile=$folder/ctld.log
SlurmdLogFile=$folder/%n.log
ProctrackType=proctrack/linuxproc
TaskPlugin=task/none
MpiDefault=none
ReturnToService=2
SchedulerParameters=sched_interval=2
# For preemption: a job in "urgent" takes the place of one in "all".
PreemptType=preempt/partition_prio
PreemptMode=REQUEUE
NodeName=n1 NodeHostname=$(hostname) NodeAddr=127.0.0.1 Port=$first CPUs=1 RealMemory=2000
NodeName=n2 NodeHostname=$(hostname) NodeAddr=127.0.0.1 Port=$second CPUs=1 RealMemory=2000
PartitionName=all Nodes=ALL Default=YES PriorityTier=1 GraceTime=30
PartitionName=urgent Nodes=ALL PriorityTier=2
CONF

slurmctld
for node in n1 n2; do slurmd -N "$node"; done
for _ in $(seq 60); do
    [ "$(sinfo --noheader --partition=all --states=idle --format=%D 2>/dev/null)" = 2 ] && break
    sleep 0.5
done
"$@"
