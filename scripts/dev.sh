#!/bin/sh
# Create .venv with the locked dependencies; `docs` adds those of the site, `lock` resolves them anew. Poetry is installed into a virtual environment in the cache.
set -eu
cd "$(dirname "$0")/.."
POETRY_VERSION=2.5.1
MIRROR_PLUGIN_VERSION=0.6.5
tool="${XDG_CACHE_HOME:-$HOME/.cache}/mcp-operator/poetry-$POETRY_VERSION"

newest_python() {
  for candidate in ${PYTHON:-} python3 python3.14 python3.13 python3.12 python3.11; do
    if command -v "$candidate" >/dev/null 2>&1 &&
      "$candidate" -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null; then
      command -v "$candidate"
      return
    fi
  done
  echo "mcp-operator needs Python 3.11 or newer; set PYTHON=/path/to/python3.11" >&2
  exit 1
}

python=$(newest_python)
if ! "$python" -c 'import ensurepip, venv' 2>/dev/null; then
  if [ "$(id -u)" = 0 ] && command -v apt-get >/dev/null 2>&1; then
    echo "dev: installing the Debian package python3-venv"
    apt-get update -qq && DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends python3-venv
  else
    echo "$python lacks venv and ensurepip; install the package python3-venv and retry" >&2
    exit 1
  fi
fi

if [ ! -x "$tool/bin/poetry" ]; then
  echo "dev: installing Poetry $POETRY_VERSION into the cache"
  rm -rf "$tool"
  "$python" -m venv "$tool"
  "$tool/bin/python" -m pip install --quiet --disable-pip-version-check \
    "poetry==$POETRY_VERSION" "poetry-plugin-pypi-mirror==$MIRROR_PLUGIN_VERSION"
fi

# Some mirrors of PyPI serve only the simple index and not the JSON API that Poetry uses first. The plugin makes Poetry
# use pip's configured index; the lock file and its hashes do not change.
if [ -z "${POETRY_PYPI_MIRROR_URL:-}" ]; then
  POETRY_PYPI_MIRROR_URL=$("$tool/bin/python" -m pip config get global.index-url 2>/dev/null ||
    "$tool/bin/python" -c 'from pip._internal.models.index import PyPI; print(PyPI.simple_url)')
  export POETRY_PYPI_MIRROR_URL
fi

if [ "${1:-sync}" = lock ]; then
  exec "$tool/bin/poetry" lock
fi
if [ ! -x .venv/bin/python ]; then
  "$python" -m venv .venv
fi
log=$(mktemp)
groups=""
if [ "${1:-}" = docs ]; then
  groups="--with=docs"
fi
# shellcheck disable=SC2086 -- no groups are no argument
"$tool/bin/poetry" sync --no-interaction --extras otlp $groups >"$log" 2>&1 || { cat "$log" >&2; rm -f "$log"; exit 1; }
rm -f "$log"
echo "dev: .venv is ready: .venv/bin/mcp-operator"
