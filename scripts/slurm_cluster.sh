#!/bin/sh
# A SLURM cluster of one node on this machine, to try the launcher and to test it; Debian or Ubuntu.
#
#   scripts/slurm_cluster.sh install      the packages slurm-wlm and munge (root)
#   scripts/slurm_cluster.sh up FOLDER    start; then: export SLURM_CONF=FOLDER/slurm.conf
#   scripts/slurm_cluster.sh down FOLDER  stop, jobs included
#
# Everything it writes is in FOLDER, and it listens on 127.0.0.1 only. The node claims two GPUs and much memory,
# so that the launcher's own settings fit: nothing is enforced.
set -eu
PATH=$PATH:/usr/sbin

usage() { sed -n '2,10s/^# \{0,1\}//p' "$0"; }

install() {
    [ "$(id -u)" = 0 ] || { echo "Installing packages needs root: sudo $0 install" >&2; exit 1; }
    apt-get update -qq
    DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends slurm-wlm munge
}

free_port() {
    python3 -c 'import socket; s = socket.create_server(("127.0.0.1", 0)); print(s.getsockname()[1])'
}

up() {
    folder=$1 host=$(hostname -s) user=$(id -un)
    for program in munged slurmctld slurmd; do
        command -v $program > /dev/null || { echo "$program is missing: $0 install" >&2; exit 1; }
    done
    [ ! -e "$folder/slurm.conf" ] || { echo "There is a cluster already; stop it: $0 down $folder" >&2; exit 1; }
    mkdir -p "$folder/state" "$folder/spool" "$folder/munge"
    chmod 700 "$folder/munge"
    dd if=/dev/urandom of="$folder/munge/key" bs=128 count=1 2> /dev/null
    chmod 600 "$folder/munge/key"
    cat > "$folder/slurm.conf" << CONF
ClusterName=one
SlurmctldHost=$host(127.0.0.1)
SlurmctldPort=$(free_port)
SlurmdPort=$(free_port)
CommunicationParameters=NoCtldInAddrAny,NoInAddrAny
SlurmUser=$user
SlurmdUser=$user
AuthType=auth/munge
AuthInfo=socket=$folder/munge/socket,cred_expire=5
StateSaveLocation=$folder/state
SlurmdSpoolDir=$folder/spool
SlurmctldPidFile=$folder/slurmctld.pid
SlurmdPidFile=$folder/slurmd.pid
SlurmctldLogFile=$folder/slurmctld.log
SlurmdLogFile=$folder/slurmd.log
ProctrackType=proctrack/linuxproc
TaskPlugin=task/none
SelectType=select/cons_tres
SelectTypeParameters=CR_Core_Memory
SlurmdParameters=config_overrides
GresTypes=gpu
MpiDefault=none
KillWait=20
ReturnToService=2
NodeName=$host NodeAddr=127.0.0.1 CPUs=16 RealMemory=131072 Gres=gpu:2 State=UNKNOWN
PartitionName=gpu Nodes=$host Default=YES MaxTime=INFINITE State=UP
CONF
    printf 'Name=gpu File=%s\n' /dev/null /dev/zero > "$folder/gres.conf"
    export SLURM_CONF="$folder/slurm.conf"
    munged --force --key-file "$folder/munge/key" --socket "$folder/munge/socket" --pid-file "$folder/munge/pid" \
        --log-file "$folder/munge/log" --seed-file "$folder/munge/seed"
    slurmctld
    slurmd
    tries=60
    until sinfo --noheader --format=%T 2> /dev/null | grep -q idle; do
        tries=$((tries - 1))
        [ $tries -gt 0 ] || { echo "The node did not come up:" >&2; tail "$folder"/*.log >&2; down "$folder"; exit 1; }
        sleep 0.5
    done
}

down() {
    export SLURM_CONF="$1/slurm.conf"
    scancel --user "$(id -un)" 2> /dev/null || true
    tries=60
    while [ $tries -gt 0 ] && [ -n "$(squeue --noheader 2> /dev/null)" ]; do
        tries=$((tries - 1))
        sleep 0.5
    done
    for pid in "$1/slurmd.pid" "$1/slurmctld.pid" "$1/munge/pid"; do
        [ ! -e "$pid" ] || kill "$(cat "$pid")" 2> /dev/null || true
    done
    rm -f "$SLURM_CONF"
}

case "${1:-}:$#" in
    install:1) install ;;
    up:2) up "$(realpath -m "$2")" ;;
    down:2) down "$(realpath -m "$2")" ;;
    *) usage; exit 2 ;;
esac
