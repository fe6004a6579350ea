#!/bin/sh
# Make a virtual environment, also on systems that ship Python without ensurepip (Debian without python3-venv).
set -eu
python=$1 venv=$2
if "$python" -c 'import ensurepip, venv' 2>/dev/null && "$python" -m venv "$venv"; then
    exit 0
fi
echo "this Python has no ensurepip; fetching virtualenv instead" >&2
rm -rf "$venv"
tools=$(mktemp -d)
trap 'rm -rf "$tools"' EXIT
"$python" -m pip install --quiet --disable-pip-version-check --target "$tools" virtualenv
PYTHONPATH=$tools "$python" -m virtualenv --quiet "$venv"
