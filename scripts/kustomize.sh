#!/bin/sh
# Print an overlay with the kubectl on the PATH, else with that of the local cluster.
set -eu
cd "$(dirname "$0")/.."
if command -v kubectl >/dev/null 2>&1; then
  exec kubectl kustomize "$1"
fi
[ -x .venv/bin/python ] || scripts/dev.sh >&2
exec "$(.venv/bin/python -m scripts.localcluster build)" kubectl kustomize "$1"
