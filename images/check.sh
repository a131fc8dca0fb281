#!/usr/bin/env bash
# make images-check: what `make images` builds, shown without a registry and without Docker. A base of the shape of distroless's static
# is made here (certificates, time zones, a user 65532, nothing else) and served on loopback. Two checkouts in different directories
# must give the same digests; each image must be non-root, and its binary must answer /health in a chroot that holds the image alone.
# As root it is started as 65532; without root, in no chroot.
set -euo pipefail
cd "$(dirname "$0")/.."
read -ra crane <<<"${CRANE:?how to run crane}"
dir=$(mktemp -d)
pids=()
trap 'for p in "${pids[@]}"; do kill "$p" 2>/dev/null || true; done; rm -rf "$dir"' EXIT
chmod 755 "$dir"
fail() { echo "images-check: $*" >&2; exit 1; }

registry=127.0.0.1:${REGISTRY_PORT:-5055}
"${crane[@]}" registry serve --address "$registry" >"$dir/registry.log" 2>&1 &
pids+=($!)
for _ in $(seq 600); do curl -fs "http://$registry/v2/" >/dev/null && break; sleep 0.1; done

base=$dir/base
mkdir -p "$base"/{etc/ssl/certs,home/nonroot,tmp,usr/share}
chmod 1777 "$base/tmp"
cp -L /etc/ssl/certs/ca-certificates.crt "$base/etc/ssl/certs/"
[ ! -d /usr/share/zoneinfo ] || cp -rL /usr/share/zoneinfo "$base/usr/share/"
printf 'root:x:0:0:root:/root:/sbin/nologin\nnonroot:x:65532:65532:nonroot:/home/nonroot:/sbin/nologin\n' >"$base/etc/passwd"
printf 'root:x:0:\nnonroot:x:65532:\n' >"$base/etc/group"
tar --sort=name --mtime=@0 --owner=0 --group=0 --numeric-owner -C "$base" -cf "$dir/base.tar" .
"${crane[@]}" append --oci-empty-base -f "$dir/base.tar" -t "$registry/base:raw" 2>/dev/null >"$dir/base.ref"
"${crane[@]}" mutate "$registry/base:raw" --user 65532 --set-platform linux/amd64 -t "$registry/base:nonroot" >"$dir/base.ref" 2>/dev/null
BASE=$registry/base@$("${crane[@]}" digest "$registry/base:nonroot")
export BASE

mkdir "$dir/copy" # another directory, without git
git ls-files -z --cached --others --exclude-standard | tar --null -T - -cf - | tar -xf - -C "$dir/copy"
OUT=$dir/one images/build.sh >"$dir/one.txt"
OUT=$dir/two "$dir/copy/images/build.sh" >"$dir/two.txt"
[ "$(wc -l <"$dir/one.txt")" = 3 ] || fail "want three images, got: $(cat "$dir/one.txt")"
diff "$dir/one.txt" "$dir/two.txt" || fail "two builds of the same source differ"
PUSH=1 REPO=$registry/agenttrader images/build.sh >"$dir/pushed.tfvars"

printf '%-9s %9s %9s %10s %9s  %s\n' image packed unpacked /health rss digest
port=${PORT:-18080}
while read -r s digest; do
  ref=$registry/agenttrader/$s@$digest
  grep -qF "\"$ref\"" "$dir/pushed.tfvars" || fail "$s: what was pushed is not what the layout holds: $(cat "$dir/pushed.tfvars")"
  config=$("${crane[@]}" config "$ref")
  grep -q '"User":"65532"' <<<"$config" || fail "$s runs as root: $config"
  grep -q "\"Entrypoint\":\[\"/ko-app/$s\"\]" <<<"$config" || fail "$s: entrypoint: $config"
  ls "$dir/one/$s"/*.spdx.json >/dev/null || fail "$s has no SBOM"
  packed=$("${crane[@]}" manifest "$ref" | grep -oE '"size": ?[0-9]+' | grep -oE '[0-9]+' | awk '{s+=$1} END {print s}')
  root=$dir/root-$s
  mkdir "$root"
  "${crane[@]}" export "$ref" - | tar -xf - -C "$root" --no-same-owner 2> >(grep -v 'Removing leading' >&2)
  unpacked=$(du -sb "$root" | cut -f1)
  others=$(find "$root" -type f -perm /111 ! -path "$root/ko-app/$s")
  [ -z "$others" ] || fail "$s holds other programs: $others"

  run=("$root/ko-app/$s")
  [ "$(id -u)" != 0 ] || run=("$(command -v chroot)" --userspec=65532:65532 "$root" "/ko-app/$s")
  port=$((port + 1))
  start=$(date +%s%N)
  env -i GCP_PROJECT=demo-images HOST=127.0.0.1 PORT=$port MARKET_DATA_SECRET=none LOG_FORMAT=json \
    FIRESTORE_EMULATOR_HOST=127.0.0.1:1 PUBSUB_EMULATOR_HOST=127.0.0.1:1 SECRET_MANAGER_ENDPOINT=127.0.0.1:1 \
    "${run[@]}" >"$dir/$s.log" 2>&1 &
  pid=$!
  pids+=($pid)
  until curl -s -o "$dir/$s.health" "http://127.0.0.1:$port/health"; do
    kill -0 $pid 2>/dev/null || fail "$s ended: $(cat "$dir/$s.log")"
    sleep 0.005
  done
  ready=$(( ($(date +%s%N) - start) / 1000000 ))
  sleep 5 # at rest
  rss=$(awk '/VmRSS/ {print $2}' /proc/$pid/status)
  uid=$(awk '/^Uid/ {print $2}' /proc/$pid/status)
  [ "$uid" != 0 ] || fail "$s runs as root"
  kill $pid
  wait $pid || fail "$s did not end well: $(cat "$dir/$s.log")"
  printf '%-9s %6.1f MB %6.1f MB %7d ms %6.1f MB  %s\n' "$s" "$(awk "BEGIN {print $packed/1e6}")" "$(awk "BEGIN {print $unpacked/1e6}")" \
    "$ready" "$(awk "BEGIN {print $rss/1e3}")" "$digest"
done <"$dir/one.txt"
echo "images-check: green: two builds alike, non-root, one program each, SBOM, /health answered"
