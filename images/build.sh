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

refs=
for s in fanout syncer signaler; do
  to=()
  if [ "${PUSH:-0}" != 1 ]; then
    rm -rf "${out:?}/$s"
    mkdir -p "$out/$s"
    to=(--push=false --oci-layout-path="$out/$s" --sbom-dir="$out/$s")
  fi
  ref=$("${tool[@]}" build "${flags[@]}" "${to[@]}" "./services/$s/cmd/$s" 2> >(grep -vE '^[0-9/]+ [0-9:]+ (Using|Building|Publishing|Published|Saving|Saved|Pushed)|existing blob|pushed blob' >&2))
  refs+="  $(printf %-8s "$s") = \"$ref\""$'\n'
done
if [ "${PUSH:-0}" = 1 ]; then printf 'images = {\n%s}\n' "$refs"; else printf '%s\n' "$refs" | sed -nE 's/^  (\S+) +.*@(sha256:[0-9a-f]+)"$/\1 \2/p'; fi
