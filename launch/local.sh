#!/usr/bin/env bash
# Runs N processes of one command on this machine, joined over loopback.
#
#   launch/local.sh 2 .venv/bin/python -m ckda_jax.train --config ... --workdir ...
#
# Each process finds in its environment where the first one listens (CKDA_COORDINATOR),
# how many they are (CKDA_PROCESSES) and which one it is (CKDA_PROCESS, from 0). Their
# lines are prefixed with that number. When one fails, the others are stopped, and its
# status is that of the script. Terminating the script lets all of them save and end.
set -euo pipefail

if [ $# -lt 2 ] || ! [[ $1 =~ ^[1-9][0-9]*$ ]]; then
    echo "usage: $0 N COMMAND [ARGUMENT ...]" >&2
    exit 2
fi
count=$1
shift

port="$(python3 -c 'import socket
listener = socket.socket()
listener.bind(("127.0.0.1", 0))
print(listener.getsockname()[1])')"
export CKDA_COORDINATOR="127.0.0.1:$port" CKDA_PROCESSES="$count"
# A pipe would make Python hold its lines back until it ends.
export PYTHONUNBUFFERED=1

# Not sed: it would hold the lines back. It ends with the process that it reads from, in
# whose group it is: a signal to the group must not leave that one without a reader.
prefix() {
    local line
    trap '' INT TERM
    while IFS= read -r line || [ -n "$line" ]; do printf '[%s] %s\n' "$1" "$line"; done
}

# Every process leads a group of its own, so that stopping it stops its children too.
set -m
pids=()
for ((process = 0; process < count; process++)); do
    CKDA_PROCESS=$process "$@" \
        > >(prefix "$process") 2> >(prefix "$process" >&2) &
    pids+=($!)
done

# Asks all groups to end, and ends those still there after $1 seconds.
stop() {
    local pid fifth
    for pid in "${pids[@]}"; do kill -TERM -- "-$pid" 2> /dev/null || true; done
    for ((fifth = 0; fifth < 5 * $1; fifth++)); do
        running || return 0
        sleep 0.2
    done
    for pid in "${pids[@]}"; do kill -KILL -- "-$pid" 2> /dev/null || true; done
}

running() {
    local pid
    for pid in "${pids[@]}"; do
        if kill -0 -- "-$pid" 2> /dev/null; then return 0; fi
    done
    return 1
}

# Saving may take a while. After a failure there is nothing to save: the others wait for
# the one that is gone.
saving=120
failing=10
trap 'stop "$saving"; exit 130' INT
trap 'stop "$saving"; exit 143' TERM

# Waits for the processes as they end, not in their order: the last may fail first.
waiting=("${pids[@]}")
while [ ${#waiting[@]} -gt 0 ]; do
    still=()
    for pid in "${waiting[@]}"; do
        if kill -0 "$pid" 2> /dev/null; then
            still+=("$pid")
            continue
        fi
        status=0
        wait "$pid" || status=$?
        if [ "$status" -ne 0 ]; then
            stop "$([ "$status" -eq 143 ] && echo "$saving" || echo "$failing")"
            exit "$status"
        fi
    done
    waiting=(${still[@]+"${still[@]}"})
    [ ${#waiting[@]} -eq 0 ] || sleep 0.2
done
