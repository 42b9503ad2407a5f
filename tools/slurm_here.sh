#!/bin/sh
# Installs Debian's SLURM, so that tests/jobs/test_slurm.py runs instead of being skipped. Nothing is
# started: the tests start a controller and a node of their own, and end them.
set -eu
[ "$(id -u)" = 0 ] || exec sudo "$0" "$@"
apt-get update -q
DEBIAN_FRONTEND=noninteractive apt-get install -q -y --no-install-recommends slurm-wlm
slurmctld -V
