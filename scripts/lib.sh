# shellcheck shell=bash
# What the scripts of this folder share. Source it; it has no effect beyond variables and functions.
#
#   ROOT     the checkout            BUILD   what is built (build/)
#   VENVS    cached environments     TALLY   where a stage writes its counts (see `tally`)

set -euo pipefail

ROOT=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd -P)
BUILD=$ROOT/build
VENVS=$ROOT/.venv
COLLECTION=ansible_collections/zero_downtime/deploy
TALLY=${TALLY:-/dev/null}
ZD_TESTS=${ZD_TESTS:-} # all: what `make test-all` adds
# Debian keeps haproxy, debootstrap and ip where a user's PATH may not look.
PATH=$PATH:/usr/sbin:/sbin
# Ansible refuses to start without a UTF-8 locale; C.UTF-8 is there on the smallest system.
case "${LC_ALL:-${LANG:-}}" in *UTF-8 | *utf8) ;; *) export LC_ALL=C.UTF-8 ;; esac
export PIP_DISABLE_PIP_VERSION_CHECK=1

say() { printf '%s\n' "$*"; }
complain() { printf '%s\n' "$*" >&2; }
die() {
    complain "$*"
    exit 1
}

# This stage cannot run here. Says why and ends it with the code that means "skipped".
skip() {
    say "Skipped: $*"
    exit 77
}

# tally PASSED FAILED [SKIPPED]: add to the stage's counts.
tally() { printf '%s %s %s\n' "$1" "$2" "${3:-0}" >>"$TALLY"; }

# check NAME COMMAND...: run one check of a stage and count it. Goes on after a failure: the stage's end decides.
FAILED_CHECKS=()
check() {
    local name=$1
    shift
    if "$@"; then
        say "  ok      $name"
        tally 1 0
    else
        say "  FAILED  $name"
        tally 0 1
        FAILED_CHECKS+=("$name")
    fi
}

# To be called last by a stage that uses `check`.
verdict() {
    if ((${#FAILED_CHECKS[@]})); then
        die "Failed: $(printf '%s, ' "${FAILED_CHECKS[@]}" | sed 's/, $//')."
    fi
}

# tally_junit FILE: count what pytest wrote with --junit-xml.
tally_junit() {
    [ -s "$1" ] || return 0
    local counts
    counts=$(python3 - "$1" <<'PY'
import sys
import xml.etree.ElementTree as tree

passed = failed = skipped = 0
for suite in tree.parse(sys.argv[1]).getroot().iter("testsuite"):
    bad = int(suite.get("failures", 0)) + int(suite.get("errors", 0))
    left_out = int(suite.get("skipped", 0))
    failed += bad
    skipped += left_out
    passed += max(0, int(suite.get("tests", 0)) - bad - left_out)
print(passed, failed, skipped)
PY
    )
    # shellcheck disable=SC2086  # three words on purpose
    tally $counts
}

is_root() { [ "$(id -u)" = 0 ]; }
is_debian() { [ -e /etc/debian_version ] && command -v apt-get >/dev/null; }
is_linux() { [ "$(uname -s)" = Linux ]; }

# python_command: the interpreter for the environments; core 2.16 and 2.19 share Python 3.11 and 3.12.
python_command() {
    local candidate
    for candidate in ${PYTHON:+"$PYTHON"} python3.11 python3.12 python3; do
        if "$candidate" -c 'import sys; sys.exit(sys.version_info[:2] not in ((3, 11), (3, 12)))' 2>/dev/null; then
            command -v "$candidate"
            return
        fi
    done
    die "No Python 3.11 or 3.12 found. Install one (Debian 12: apt-get install python3 python3-venv) or name it: PYTHON=/path/to/python3.11 make ..."
}

# venv NAME: make sure that .venv/NAME is there and matches its requirements; prints its path.
venv() {
    "$ROOT/scripts/venv" "$1" | { grep -v 'up to date$' || true; } >&2
    say "$VENVS/$1"
}

# dev_tree: a collection path whose zero_downtime.deploy is this checkout; prints it.
dev_tree() {
    local link=$BUILD/dev/$COLLECTION
    mkdir -p "$(dirname "$link")"
    ln -sfn ../../../.. "$link"
    say "$BUILD/dev"
}

# copy_tree DESTINATION: the checkout as a commit would hold it: nothing built, nothing cached.
copy_tree() {
    rm -rf "$1"
    mkdir -p "$1"
    tar -C "$ROOT" -c --exclude=./build --exclude=./.venv --exclude=./.git --exclude=./.cache --exclude=./.ansible \
        --exclude=__pycache__ --exclude=.pytest_cache --exclude=.hypothesis --exclude=.mypy_cache --exclude=.ruff_cache \
        --exclude='*.tar.gz' . | tar -C "$1" -x
}

# debian_mirror: where this machine's own apt gets its release from; nothing when apt does not tell.
debian_mirror() {
    local codename
    codename=$(. /etc/os-release && echo "${VERSION_CODENAME:-}")
    # shellcheck disable=SC2016  # apt's own variables
    apt-get indextargets --format '$(RELEASE) $(REPO_URI)' 'Identifier: Packages' 2>/dev/null |
        awk -v release="$codename" '$1 == release && $2 ~ /^https?:/ && !seen { print $2; seen = 1 }'
}
