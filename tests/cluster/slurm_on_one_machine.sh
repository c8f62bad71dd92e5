#!/bin/bash
# A real SLURM of one node on this machine, for tests: no systemd, no accounting, all state in one directory.
#   slurm_on_one_machine.sh [start]   start it and wait until the node is idle
#   slurm_on_one_machine.sh kill      kill the node: its daemon and every process of its jobs, as a power cut does
#   slurm_on_one_machine.sh revive    declare the dead node down, start it anew, and let it take jobs
#   slurm_on_one_machine.sh stop      end the daemons
# Needs root and: apt-get install -y --no-install-recommends slurmctld slurmd slurm-client munge
set -eu
S=${SLURM_TEST_DIR:-/tmp/modspec-slurm}
# The default place, because Snakemake's plugin drops SLURM_CONF inside of jobs.
CONF=/etc/slurm/slurm.conf
MARK='# of modspec/tests/cluster'
unset SLURM_CONF
H=$(hostname -s)

if [ -e "$CONF" ] && ! head -n 1 "$CONF" | grep -qxF "$MARK"; then
    echo "$CONF is of a SLURM that is in use: nothing was started" >&2
    exit 1
fi

is_alive() { grep -qs '^State:.[^Z]' "/proc/$1/status"; } # a zombie is not
pid_of() { # of a daemon that this script started
    local pid
    pid=$(cat "$S/$1.pid" 2>/dev/null) && [ "$(cat "/proc/$pid/comm" 2>/dev/null)" = "$1" ] && echo "$pid"
}
stop() {
    for daemon in slurmd slurmctld munged; do
        pid=$(pid_of $daemon) || continue
        kill "$pid"
        for _ in $(seq 100); do is_alive "$pid" || break; sleep 0.1; done
        ! is_alive "$pid" || kill -9 "$pid"
        rm -f "$S/$daemon.pid"
    done
}
descendants() {
    for child in $(ps -o pid= --ppid "$1"); do echo "$child"; descendants "$child"; done
}
await_idle() {
    for _ in $(seq 300); do
        [ "$(timeout 5 sinfo -h -o %T 2>/dev/null)" = idle ] && return
        sleep 0.2
    done
    tail -n 20 "$S"/log/*.log >&2
    exit 1
}

case ${1:-start} in
stop) stop; exit ;;
kill)
    # A step's processes are descendants of its slurmstepd, which is no child of slurmd.
    steps=$(for p in $(ps -C slurmstepd -o pid=); do echo "$p"; descendants "$p"; done)
    kill -9 "$(pid_of slurmd)" $steps 2>/dev/null || true
    rm -f "$S/slurmd.pid"
    exit ;;
revive)
    scontrol update NodeName="$H" State=DOWN Reason=killed
    slurmd -N "$H"
    scontrol update NodeName="$H" State=RESUME 2>/dev/null || true # it may already be back
    exit ;;
start) ;;
*) echo "start, kill, revive or stop" >&2; exit 2 ;;
esac

stop
install -d -m 755 "$S" "$S/state" "$S/spool" "$S/log" "$S/munge" /etc/slurm
rm -rf "$S"/state/* "$S"/spool/*
getent hosts "$H" >/dev/null || echo "127.0.0.1 $H" >>/etc/hosts # slurmctld must find its own host
head -c 1024 /dev/urandom >"$S/munge/key"
chmod 600 "$S/munge/key"
cat >"$CONF" <<CONF
$MARK
ClusterName=ci
SlurmctldHost=$H(127.0.0.1)
CommunicationParameters=NoInAddrAny,NoCtldInAddrAny
AuthInfo=socket=$S/munge/socket
StateSaveLocation=$S/state
SlurmdSpoolDir=$S/spool
SlurmctldPidFile=$S/slurmctld.pid
SlurmdPidFile=$S/slurmd.pid
SlurmctldLogFile=$S/log/slurmctld.log
SlurmdLogFile=$S/log/slurmd.log
ProctrackType=proctrack/linuxproc
SelectType=select/cons_tres
SelectTypeParameters=CR_Core_Memory
GresTypes=gpu
ReturnToService=2
NodeName=$H NodeAddr=127.0.0.1 CPUs=$(nproc --all) RealMemory=$(awk '/MemTotal/{print int($2/1024*0.9)}' /proc/meminfo) Gres=gpu:1 State=UNKNOWN
PartitionName=ci Nodes=$H Default=YES MaxTime=INFINITE State=UP
CONF
# Stands for a GPU: SLURM hands it out, nothing computes on it.
echo 'Name=gpu File=/dev/null' >/etc/slurm/gres.conf
munged --force --key-file="$S/munge/key" --socket="$S/munge/socket" --pid-file="$S/munged.pid" \
    --log-file="$S/log/munged.log" --seed-file="$S/munge/seed" --num-threads=1
slurmctld -c
slurmd -N "$H"
await_idle
sinfo -h -o 'SLURM is up: %N, %c CPUs, %m MB, %G, %T'
