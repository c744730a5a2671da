#!/usr/bin/env bash
# Makes a site of the guide: bash examples/guide/build.sh [DIR]
#
# DIR (default: examples/guide/site) is made anew. Zensical builds it, in an environment of its own below DIR's parent.
set -euo pipefail

guide=$(cd -- "$(dirname -- "${BASH_SOURCE[0]}")" && pwd)
site=${1:-$guide/site}
mkdir -p -- "$site"
site=$(cd -- "$site" && pwd)
builder="$(dirname -- "$site")/.zensical"
work=$(mktemp -d)
trap 'rm -rf -- "$work"' EXIT

if [[ ! -x "$builder/bin/zensical" ]]; then
  "${PYTHON:-python3}" -m venv "$builder"
  "$builder/bin/python" -m pip install --quiet --disable-pip-version-check 'zensical>=0.0.70'
fi
# The pages, and what they link to outside: on the site the README is a page of its own.
mkdir "$work/pages"
(cd -- "$guide" && find . -path ./site -prune -o \( -name '*.md' -o -name '*.json' \) -print) |
  while read -r page; do
    mkdir -p "$work/pages/$(dirname "$page")"
    sed -E 's#\[([^]]*)\]\((\.\./)+tests/[^)]*\)#\1#g; s#\.\./\.\./README\.md#about.md#g; s#\((\.\./)?\.\./(whole-way\.ipynb|sample-report/README\.md)\)#(about.md)#g' "$guide/$page" >"$work/pages/$page"
  done
sed 's#examples/guide/##g; s#(examples/sample-report/README.md)#(index.md)#g; s#(\.github/[A-Z]*\.md)#(index.md)#g' "$guide/../../README.md" >"$work/pages/about.md"
[[ ! -d "$guide/pictures" ]] || cp -R "$guide/pictures" "$work/pages/"
cat >"$work/zensical.toml" <<TOML
[project]
site_name = "medimg"
site_description = "Classify medical images, from raw files to a report a reviewer accepts"
docs_dir = "pages"
site_dir = "site"
use_directory_urls = false
[project.theme]
font = false
TOML
(cd -- "$work" && "$builder/bin/zensical" build --clean)
rm -rf -- "$site"
mv -- "$work/site" "$site"
printf 'Open %s\n' "$site/index.html"
