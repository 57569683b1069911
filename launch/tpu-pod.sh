#!/usr/bin/env bash
# Trains on a Cloud TPU slice: the same command on every host, where JAX finds the others.
#
#   launch/tpu-pod.sh NAME ZONE --config configs/lifelong.py --workdir /mnt/runs/lifelong
#
# Needs: gcloud on this machine, logged in to the project; on every host the checkout in
# ~/ckda_jax with the package in its .venv (pip install -e ".[tpu]"), data and run
# directory on a file system that all hosts see; a batch that the chips divide. Every
# argument after the zone is one of `python -m ckda_jax.train`. The same command again,
# on the same or on another slice, goes on where the run stopped.
set -euo pipefail

if [ $# -lt 3 ] || [[ $1 == -* ]] || [[ $2 == -* ]]; then
    echo "usage: $0 NAME ZONE --config FILE --workdir FOLDER ..." >&2
    exit 2
fi
name=$1
zone=$2
shift 2

# Quoted once more for the shells of the hosts.
printf -v arguments ' %q' "$@"
exec gcloud compute tpus tpu-vm ssh "$name" --zone="$zone" --worker=all --command="cd ~/ckda_jax \
&& CKDA_COORDINATOR=auto PYTHONUNBUFFERED=1 exec .venv/bin/python -m ckda_jax.train$arguments"
