#!/usr/bin/env bash
# From nothing to a report: a synthetic cohort is drawn, audited, learned and evaluated.
#
#   bash examples/quickstart.sh [DIR]
#
# DIR is the workspace (default: examples/quickstart-out). What is there already is not done again.
# On a desktop the report is opened at the end.
set -euo pipefail

here=$(cd -- "$(dirname -- "${BASH_SOURCE[0]}")" && pwd)
# shellcheck source=setup.sh
source "$here/setup.sh"

if (($# > 1)) || [[ "${1:-}" == -* ]]; then
  printf 'usage: bash examples/quickstart.sh [DIR]\n' >&2
  exit 2
fi
mkdir -p -- "${1:-$here/quickstart-out}"
workspace=$(cd -- "${1:-$here/quickstart-out}" && pwd)

# Prints a command as one would type it: quotes only where the shell needs them.
typed() { # COMMAND...
  local word
  for word in "$@"; do
    if [[ "$word" =~ ^[[:alnum:]_./=-]+$ ]]; then
      printf ' %s' "$word"
    else
      printf " '%s'" "$word"
    fi
  done
}

# Prints a command and runs it, unless what it writes is there.
step() { # PATTERN-OF-ITS-RESULT COMMAND...
  local result=$1 shown
  shift
  shown=$(typed "$@")
  if compgen -G "$result" >/dev/null; then
    printf '%s$%s%s  # done before: %s\n' "$green" "$shown" "$plain" "$result"
    return
  fi
  printf '\n%s$%s%s\n' "$bold" "$shown" "$plain"
  "$@"
}

# Prints the first test image of a class and file type.
test_image() { # CLASS SUFFIX
  awk -F, -v label="$1" -v suffix="$2" \
    'NR > 1 && $3 == label && $5 == "test" && $2 ~ "\\." suffix "$" { print $2; exit }' dataset/manifest.csv
}

prepare_python ''
outputs=(--out eval.html)
report='eval.html'
if prepare_pdf; then
  outputs=(--out eval.pdf --out eval.html)
  report='eval.pdf'
fi

cd -- "$workspace"
export MEDIMG_WORKSPACE="$workspace"
say "workspace: $workspace"
step 'demo/truth.json' medimg demo demo
step 'dataset/dataset.json' medimg ingest demo/images --positive OPACITY --patient-regex '(patient\d+)'
step 'audit/audit.json' medimg label-audit
step 'runs/*/model.json' medimg train --arch small-cnn
step 'runs/*/metrics-test.json' medimg evaluate
step 'predictions.csv' medimg predict "$(test_image OPACITY png)" "$(test_image NORMAL dcm)" --out predictions.csv
step "$report" medimg report "${outputs[@]}"

printf '\n'
say "Open $workspace/$report"
printf 'Truth of the cohort: %s\n' "$workspace/demo/truth.json"
printf 'Your own images:     %s ingest FOLDER --positive CLASS   (a folder per class)\n' "$programs/medimg"

# Opens the report where somebody sees it: in a terminal of a desktop.
if [[ -t 1 ]]; then
  if [[ "${OSTYPE:-}" == darwin* ]]; then
    open "$report"
  elif [[ -n "${DISPLAY:-}${WAYLAND_DISPLAY:-}" ]] && command -v xdg-open >/dev/null; then
    xdg-open "$report" >/dev/null 2>&1 &
  fi
fi
