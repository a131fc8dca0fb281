#!/usr/bin/env bash
# make terraform-check: format, init, validate, test, lint, and the plans of the examples against policy and code. It needs no
# project and no credentials. TERRAFORM and TFLINT say how to run the tools; TERRAFORM_DIR is another copy of the repository's
# terraform/ (tests/faults.sh plants faults there).
set -euo pipefail
cd "$(dirname "$0")/../.."
repo=$PWD
dir=${TERRAFORM_DIR:-$repo/terraform}
terraform=${TERRAFORM:-terraform}
tflint=${TFLINT-}

read -ra tool <<<"$terraform"
if ! command -v "${tool[0]}" >/dev/null; then
  echo "terraform-check: skipped: there is no ${tool[0]} here (https://developer.hashicorp.com/terraform/install, or set TERRAFORM)"
  exit 0
fi
out=$(mktemp -d)
trap 'rm -rf "$out"' EXIT
export TF_IN_AUTOMATION=1 TF_CLI_ARGS=-no-color CHECKPOINT_DISABLE=1

# run prints what a step said only if it failed.
run() {
  local what=$1 log
  shift
  log=$(mktemp -p "$out")
  if ! "$@" >"$log" 2>&1; then
    echo "terraform-check: $what: FAILED"
    cat "$log"
    exit 1
  fi
}

init() { run "init $1" "${tool[@]}" -chdir="$dir/$1" init -backend=false -input=false; }

# Without the provider there is nothing to check with.
if ! "${tool[@]}" -chdir="$dir" init -backend=false -input=false >"$out/init.log" 2>&1 && grep -qE 'could not connect to|no such host|dial tcp|connection refused' "$out/init.log"; then
  echo "terraform-check: skipped: the provider's registry can't be reached, and TERRAFORM names no stand-in for it:"
  grep -m3 -E 'could not connect|no such host|dial tcp|connection refused' "$out/init.log"
  exit 0
fi

# plan makes $out/$1.json
plan() {
  run "plan examples/$1" "${tool[@]}" -chdir="$dir/examples/$1" plan -input=false -lock=false -out="$out/$1.tfplan" \
    -var project=my-project -var 'images={fanout="r/fanout:1",syncer="r/syncer:1",signaler="r/signaler:1",console="r/console:1"}'
  "${tool[@]}" -chdir="$dir/examples/$1" show -json "$out/$1.tfplan" >"$out/$1.json"
}

files=$(find "$dir" -name '*.tf' -o -name '*.tftest.hcl' | grep -v '/\.terraform/' | wc -l)
run fmt "${tool[@]}" fmt -check -diff -recursive "$dir"
echo "terraform-check: fmt: $files files"

init .
run validate "${tool[@]}" -chdir="$dir" validate
for e in small large two-regions; do
  init "examples/$e"
  run "validate examples/$e" "${tool[@]}" -chdir="$dir/examples/$e" validate
done
echo "terraform-check: validate: the root and 3 examples"

log=$out/test.log
if ! "${tool[@]}" -chdir="$dir" test >"$log" 2>&1; then
  echo "terraform-check: test: FAILED"
  cat "$log"
  exit 1
fi
echo "terraform-check: test: $(grep -E '^Success!|passed' "$log" | tail -1)"

if [[ -n $tflint ]]; then
  run tflint $tflint --chdir="$dir" --config="$dir/.tflint.hcl" --recursive
  echo "terraform-check: tflint: $(find "$dir" -name '*.tf' -not -path '*/.terraform/*' -printf '%h\n' | sort -u | wc -l) folders"
else
  echo "terraform-check: tflint: skipped: TFLINT is empty"
fi

for e in small large two-regions; do plan "$e"; done
log=$out/policy.log
if ! AGENTTRADER_PLANS=$out AGENTTRADER_PLANS_OF=$(dirname "$dir") go test -count=1 -v ./cmd/agenttrader/terraform >"$log" 2>&1; then
  echo "terraform-check: plans against policy and code: FAILED"
  grep -vE '^(=== |\s*--- PASS)' "$log"
  exit 1
fi
echo "terraform-check: plans against policy and code: $(grep -cE '^--- PASS' "$log") tests, $(grep -cE '^ +--- PASS' "$log") of them on one of 3 plans"
