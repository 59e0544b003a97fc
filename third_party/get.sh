#!/usr/bin/env bash
# Bring the four submodules at their pinned commits: make submodules [MIRROR=DIR].
# MIRROR holds clones named as the repositories are (TadTR or TadTR.git, ...); the recorded addresses stay the real ones.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."
failed=()
while read -r key url; do
  path=${key#submodule.}; path=${path%.url}
  options=()
  if [ -n "${MIRROR:-}" ]; then
    name=$(basename "$url" .git); mirror=
    for candidate in "$MIRROR/$name" "$MIRROR/$name.git"; do [ -d "$candidate" ] && mirror=$(realpath "$candidate"); done
    [ -n "$mirror" ] || { echo "get.sh: no clone of $name in $MIRROR" >&2; failed+=("$path"); continue; }
    options=(-c protocol.file.allow=always -c "url.file://$mirror.insteadOf=$url")
  fi
  git "${options[@]}" submodule update --init "$path" || failed+=("$path")
done < <(git config --file .gitmodules --get-regexp '^submodule\..*\.url$')
if [ ${#failed[@]} -gt 0 ]; then
  echo "get.sh: not there: ${failed[*]}" >&2
  echo "  remedy: without a network, clone each repository elsewhere and run: make submodules MIRROR=that/folder" >&2
  exit 1
fi
