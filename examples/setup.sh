# shellcheck shell=bash
# Sourced by examples/quickstart.sh and tests/run.sh: one environment for both, made once.
#
#   prepare_python EXTRA   .venv at the repository's root with medimg installed editable; EXTRA may be empty
#   prepare_pdf            libraries and a font for PDF reports; returns 1 when they are missing
#   prepare_browser        Chromium, which the tests of the review page drive; returns 1 when it is missing
#   prepare_dicom          dciodvfy, dcmtk and Orthanc, which the tests of DICOM ask; returns 1 when one is missing
#
# PYTHON=/path/to/python chooses the interpreter that makes .venv.

root=$(cd -- "$(dirname -- "${BASH_SOURCE[0]}")/.." && pwd)
environment="$root/.venv"
programs="$environment/bin"
[[ "${OSTYPE:-}" != msys* ]] || programs="$environment/Scripts" # Git Bash on Windows
constraints="$root/examples/constraints.txt"

if [[ -t 1 && -z "${NO_COLOR:-}" ]]; then
  bold=$'\e[1m' green=$'\e[32m' yellow=$'\e[33m' red=$'\e[31m' plain=$'\e[0m'
else
  bold='' green='' yellow='' red='' plain=''
fi

say() { printf '%s%s%s\n' "$bold" "$*" "$plain"; }
warn() { printf '%swarning: %s%s\n' "$yellow" "$*" "$plain" >&2; }

die() { # WHAT HINT
  printf '%serror: %s%s\nhint: %s\n' "$red" "$1" "$plain" "$2" >&2
  exit 5
}

is_recent_python() {
  "$1" -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null
}

find_python() {
  local candidate candidates=(python3.11 python3.12 python3.13 python3 python)
  [[ -z "${PYTHON:-}" ]] || candidates=("$PYTHON")
  for candidate in "${candidates[@]}"; do
    if command -v "$candidate" >/dev/null && is_recent_python "$candidate"; then
      command -v "$candidate"
      return
    fi
  done
  return 1
}

# Runs a long command with its output kept in a file; a terminal sees the seconds go by.
quietly() { # LABEL COMMAND...
  local label=$1 log="$environment/setup.log" began=$SECONDS job
  shift
  printf '%s …' "$label"
  "$@" >"$log" 2>&1 &
  job=$!
  while [[ -t 1 ]] && kill -0 "$job" 2>/dev/null; do
    printf '\r%s … %d s' "$label" "$((SECONDS - began))"
    sleep 1
  done
  if wait "$job"; then
    [[ -t 1 ]] && printf '\r%s …' "$label"
    printf ' %sdone%s in %d s\n' "$green" "$plain" "$((SECONDS - began))"
  else
    printf ' %sfailed%s\n' "$red" "$plain"
    tail -n 20 "$log" >&2
    return 1
  fi
}

make_environment() {
  local python
  if [[ -e "$programs/python" ]]; then
    is_recent_python "$programs/python" ||
      die "$environment does not work or is older than Python 3.11" "delete it, then run this again"
    "$programs/python" -m pip --version >/dev/null 2>&1 && return
  fi
  mkdir -p "$environment"
  if ! python=$(find_python); then
    [[ -z "${PYTHON:-}" ]] || die "PYTHON=$PYTHON is not Python 3.11 or newer" "name another interpreter"
    install_python python3-venv || true
    python=$(find_python) ||
      die "no Python 3.11 or newer on the PATH" "install one, or set PYTHON=/path/to/python3.11"
  fi
  if ! "$python" -c 'import ensurepip, venv' 2>/dev/null; then
    [[ "$python" != /usr/bin/* ]] || install_python "$(basename -- "$(readlink -f -- "$python")")-venv" || true
    "$python" -c 'import ensurepip, venv' 2>/dev/null ||
      die "$python cannot make virtual environments" "on Debian or Ubuntu: apt-get install python3-venv"
  fi
  quietly "making .venv with $("$python" --version)" "$python" -m venv "$environment" ||
    die "cannot make $environment" "see the lines above"
}

# What the installation depends on, in one word: when it changes, pip is asked again.
fingerprint() { # EXTRA
  "$programs/python" - "$root/pyproject.toml" "$constraints" "$1" "$root" <<'PYTHON'
import hashlib, pathlib, sys

*files, extra, root = sys.argv[1:]
content = b"\0".join([pathlib.Path(file).read_bytes() for file in files])
print(hashlib.sha256(content + f"\0{extra}\0{root}".encode()).hexdigest())
PYTHON
}

prepare_python() { # EXTRA
  local extra=$1 stamp="$environment/medimg-${1:-plain}.stamp" wanted what
  make_environment
  wanted=$(fingerprint "$extra")
  if [[ ! -x "$programs/medimg" || ! -f "$stamp" || "$(<"$stamp")" != "$wanted" ]]; then
    what="$root${extra:+[$extra]}"
    quietly "installing medimg and its libraries (minutes, the first time)" \
      "$programs/python" -m pip install --quiet --disable-pip-version-check -c "$constraints" -e "$what" ||
      die "pip could not install medimg" "see the lines above; is there a network?"
    printf '%s\n' "$wanted" >"$stamp"
  fi
  export PATH="$programs:$PATH"
}

# Prints the Debian packages a PDF still needs, on one line. Library names as on Linux and on macOS.
missing_for_pdf() {
  "$programs/python" - <<'PYTHON'
import ctypes, shutil, subprocess

NEEDED = {
    "libpango-1.0-0": ("libpango-1.0.so.0", "libpango-1.0.dylib"),
    "libpangoft2-1.0-0": ("libpangoft2-1.0.so.0", "libpangoft2-1.0.dylib"),
    "libharfbuzz-subset0": ("libharfbuzz-subset.so.0", "libharfbuzz-subset.0.dylib"),
    "libfontconfig1": ("libfontconfig.so.1", "libfontconfig.1.dylib"),
}


def opens(name):
    try:
        ctypes.CDLL(name)
    except OSError:
        return False
    return True


missing = [package for package, names in NEEDED.items() if not any(map(opens, names))]
fonts = ""
if shutil.which("fc-list"):
    fonts = subprocess.run(["fc-list", ":", "family"], capture_output=True, text=True).stdout
else:
    missing.append("fontconfig")
if "DejaVu Sans" not in fonts:
    missing.append("fonts-dejavu-core")
print(*missing)
PYTHON
}

prepare_pdf() {
  local packages
  packages=$(missing_for_pdf)
  [[ -n "$packages" ]] || return 0
  if ! command -v apt-get >/dev/null; then
    warn "no PDF: Pango, HarfBuzz, fontconfig or the DejaVu fonts are missing; on macOS: brew install pango"
    return 1
  fi
  if ((EUID != 0)); then
    warn "no PDF until you run: sudo apt-get install $packages"
    return 1
  fi
  # shellcheck disable=SC2086 # one word per package
  install_packages PDF $packages
}

# The tests of the review page drive a browser; without one they say that they are skipped.
prepare_browser() {
  prepare_program Chromium chromium chromium chromium-browser google-chrome || return
  # Playwright drives it by a Node of its own, which Debian's base system lacks a library for.
  ! command -v apt-get >/dev/null || prepare_program "driver of Chromium" libatomic1 libatomic.so.1
}

# The tests of DICOM results ask a validator; so do they.
prepare_dicom() {
  prepare_program "DICOM validator" dicom3tools dciodvfy
  prepare_program "DICOM sender" dcmtk dcmqrscp # not echoscu: pynetdicom brings that name
  prepare_program "PACS" orthanc-dicomweb Orthanc
}

prepare_program() { # PURPOSE PACKAGE NAME..., of programs or of a library
  local purpose=$1 package=$2 name
  shift 2
  for name in "$@"; do
    command -v "$name" >/dev/null && return
    [[ "$name" != *.so.* ]] || ! "$programs/python" -c "import ctypes; ctypes.CDLL('$name')" 2>/dev/null || return 0
  done
  if ! command -v apt-get >/dev/null; then
    warn "no $purpose: the tests that need it are skipped"
    return 1
  fi
  if ((EUID != 0)); then
    warn "no $purpose until you run: sudo apt-get install $package"
    return 1
  fi
  install_packages "$purpose" "$package"
}

install_python() { # PACKAGE
  ((EUID == 0)) && command -v apt-get >/dev/null && install_packages Python "$1"
}

install_packages() { # PURPOSE PACKAGE...
  local purpose=$1
  shift
  export DEBIAN_FRONTEND=noninteractive
  if ! quietly "installing $*" apt-get install -y --no-install-recommends "$@"; then
    # A fresh container has no lists of packages yet.
    quietly "fetching the lists of packages" apt-get update &&
      quietly "installing $*" apt-get install -y --no-install-recommends "$@"
  fi || {
    warn "no $purpose until this works: apt-get install $*"
    return 1
  }
}
