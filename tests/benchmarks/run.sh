#!/usr/bin/env bash
# All benchmarks, one after the other, as one document: bash tests/benchmarks/run.sh [quick|full] (--help says more)
set -euo pipefail

here=$(cd -- "$(dirname -- "${BASH_SOURCE[0]}")" && pwd)
# shellcheck source=../../examples/setup.sh
source "$here/../../examples/setup.sh"

prepare_python test
cd -- "$root"
exec python -m tests.benchmarks.document "$@"
