#!/usr/bin/env bash
# make images: an image for each service, by ko. With PUSH=1 they go to REPO, and their digests, as terraform.tfvars takes them, to
# the standard output; else each goes to OUT as an OCI layout, with its SBOM (SPDX) beside it.
set -euo pipefail
cd "$(dirname "$0")/.."
ko=${KO:?how to run ko}
out=$(realpath -m "${OUT:-bin/images}")
export KO_DEFAULTBASEIMAGE=${BASE:?the base image}
read -ra tool <<<"$ko"

flags=(--base-import-paths --sbom=spdx --image-label=org.opencontainers.image.source=https://github.com/agenttrader/agenttrader)
if [ "${PUSH:-0}" = 1 ]; then
  export KO_DOCKER_REPO=${REPO:?PUSH=1 wants REPO, the registry: REGION-docker.pkg.dev/PROJECT/agenttrader}
  [ -z "${TAG:-}" ] || flags+=(--tags="$TAG")
else
  export KO_DOCKER_REPO=agenttrader.invalid # named, never asked
fi

# What ko says of work that goes well, and of git, which images have nothing of.
noise='^[0-9/]+ [0-9:]+ (Using|Building|Publishing|Published|Saving|Saved|Pushed|Writing SBOM|git doesn|current folder is not a git|.*: digest: sha256:)|existing blob|pushed blob|^git is in a dirty state|^Please check in your pipeline|^( [MADRT]|[MADRT]{1,2}|\?\?) |^$'
refs=
layouts=bin/layouts.$$ # ko takes a layout's path for a repository's name: relative, in lower case
trap 'rm -rf "$layouts"' EXIT
for s in fanout syncer signaler; do
  to=()
  if [ "${PUSH:-0}" != 1 ]; then
    mkdir -p "$layouts/$s" "$out"
    to=(--push=false --oci-layout-path="$layouts/$s" --sbom-dir="$layouts/$s")
  fi
  ref=$("${tool[@]}" build "${flags[@]}" "${to[@]}" "./services/$s/cmd/$s" 2> >(grep -vE "$noise" >&2))
  if [ "${PUSH:-0}" != 1 ]; then
    rm -rf "${out:?}/$s"
    mv "$layouts/$s" "$out/$s"
  fi
  refs+="  $(printf %-8s "$s") = \"$ref\""$'\n'
done
if [ "${PUSH:-0}" = 1 ]; then printf 'images = {\n%s}\n' "$refs"; else printf '%s\n' "$refs" | sed -nE 's/^  (\S+) +.*@(sha256:[0-9a-f]+)"$/\1 \2/p'; fi
