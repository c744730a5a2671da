#!/usr/bin/env bash
# Everything a change has to pass: lint, format, types, tests. All four run, whatever fails.
#
#   bash tests/run.sh [pytest arguments]
set -euo pipefail

here=$(cd -- "$(dirname -- "${BASH_SOURCE[0]}")" && pwd)
# shellcheck source=../examples/setup.sh
source "$here/../examples/setup.sh"

summary=()
failed=0

# One test process a core, one thread of torch and BLAS each; a module's tests stay together, as they share fixtures.
export OMP_NUM_THREADS=1 OPENBLAS_NUM_THREADS=1
cores=$(getconf _NPROCESSORS_ONLN)

check() { # NAME COMMAND...
  local name=$1 began=$SECONDS verdict="${green}passed$plain"
  shift
  say "$name"
  if ! "$@"; then
    verdict="${red}FAILED$plain"
    failed=1
  fi
  summary+=("$(printf '%-8s %s  %4d s' "$name" "$verdict" "$((SECONDS - began))")")
}

end_of_types() {
  local code=0
  wait "$typed" || code=$?
  cat "$said"
  return "$code"
}

prepare_python test
prepare_pdf || true     # the tests that need a PDF say that they are skipped
prepare_browser || true # and so do those that need a browser
prepare_dicom || true   # or a validator of DICOM objects
cd -- "$root"
check lint python -m ruff check .
check format python -m ruff format --check .
# Beside the tests, which leave the processors time while they wait for servers.
said=$(mktemp)
nice -n 10 python -m mypy >"$said" 2>&1 &
typed=$!
trap 'kill "$typed" 2>/dev/null || true; rm -f "$said"' EXIT
check tests python -m pytest -n "$cores" --dist loadscope "$@"
check types end_of_types
printf '\n'
printf '%s\n' "${summary[@]}"
exit "$failed"
