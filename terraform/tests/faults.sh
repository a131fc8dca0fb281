#!/usr/bin/env bash
# make terraform-faults: plants one fault at a time in a copy of the Terraform, and terraform-check must turn red on each, for
# the right reason. A name as argument plants only that one.
set -euo pipefail
cd "$(dirname "$0")/../.."
repo=$PWD
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
export TFLINT= # lint finds none of these, and takes its time
only=${1-}
planted=0 missed=0

# plant NAME FILE SED WANT: after SED on FILE the check must fail, and say something that matches WANT.
plant() {
  local name=$1 file=$2 edit=$3 want=$4 log=$work/log
  [[ -z $only || $only == "$name" ]] || return 0
  planted=$((planted + 1))
  rm -rf "$work/repo"
  mkdir -p "$work/repo/docs"
  cp -r terraform firestore "$work/repo/"
  cp -r docs/playbooks "$work/repo/docs/"
  sed -i -E "$edit" "$work/repo/$file"
  if cmp -s "$file" "$work/repo/$file"; then
    echo "$name: NOT PLANTED: the edit changes nothing in $file"
    missed=$((missed + 1))
  elif TERRAFORM_DIR=$work/repo/terraform "$repo/terraform/tests/check.sh" >"$log" 2>&1; then
    echo "$name: NOT NOTICED"
    missed=$((missed + 1))
  elif ! grep -qE -- "$want" "$log"; then
    echo "$name: red, but for another reason:"
    tail -30 "$log"
    missed=$((missed + 1))
  else
    echo "$name: red: $(grep -m1 -E -- "$want" "$log" | sed 's/^ *//' | cut -c1-160)"
  fi
}

echo "no fault: $(TERRAFORM_DIR=$repo/terraform terraform/tests/check.sh | tail -1)"

plant public-invoker terraform/modules/push/main.tf 's/member   = "serviceAccount:.*/member   = "allUsers"/' 'names allUsers'
plant no-dead-letter terraform/modules/push/main.tf '/^  dead_letter_policy \{/,/^  \}/d' 'dead letters map'
plant unconditioned-secret-grant terraform/iam.tf '/"syncer\/keys"/s/condition = \{.*\} \}/condition = null }/' 'Somebody may use all secrets'
plant trigger-elsewhere terraform/locals.tf 's/nam5 = "us-central1"/nam5 = "us-east1"/' 'Triggers stay where the database is'
plant transport-without-dead-letter terraform/modules/trigger/main.tf 's/dead_letter  = var.dead_letter/dead_letter  = ""/' 'no dead letters of its transport'
plant alert-without-playbook terraform/monitoring.tf 's/backlog\.md/backlogs.md/' 'An alert has no playbook|there is no playbook'
plant alert-on-no-metric terraform/telemetry.tf 's/agenttrader_breaker_state/agenttrader_breaker_open/' 'exports no agenttrader_breaker_open'
plant dashboard-of-no-metric terraform/dashboard.json 's/agenttrader_active_users/agenttrader_users/' 'exports no agenttrader_users'
plant alert-without-end terraform/telemetry.tf 's/> 30", for/> 30)", for/' 'no PromQL'
plant alert-by-no-label terraform/telemetry.tf 's/max by \(instance\) \(agenttrader_breaker/max by (instanc) (agenttrader_breaker/' 'grouped by instanc'
plant dashboard-without-a-window terraform/dashboard.json '0,/\[[0-9a-z$_{}]+\]/s//[]/' 'no PromQL'
plant objective-on-no-metric terraform/telemetry.tf 's/agenttrader_syncs_in_time_total\/counter/agenttrader_fresh_total\/counter/' 'exports no such counter'
plant open-ingress terraform/modules/service/main.tf 's/"INGRESS_TRAFFIC_INTERNAL_ONLY"/"INGRESS_TRAFFIC_ALL"/' 'ingress INGRESS_TRAFFIC_ALL'
plant no-oidc terraform/modules/push/main.tf '/^    oidc_token \{/,/^    \}/d' 'its tokens are for ""'
plant wrong-audience terraform/modules/trigger/main.tf 's/audience     = var.service.audience/audience     = var.service.name/' 'its tokens are for "fanout"'
plant delivery-not-again terraform/modules/trigger/main.tf 's/triggers_replace = .*/triggers_replace = [google_eventarc_trigger.this.etag]/' 'would not be set again'
plant project-editor terraform/iam.tf 's/role = "roles\/eventarc.serviceAgent"/role = "roles\/editor"/' 'grants roles/editor'
plant keys-for-the-signaler terraform/iam.tf 's/secrets\}\$\{var.market_data.secret\}\//secrets}alpaca-keys-/' 'not in ACCESS.md: signaler may secretmanager'
plant key-file terraform/iam.tf '$a resource "google_service_account_key" "syncer" {\n  service_account_id = google_service_account.this["syncer"].name\n}' 'no key files'
plant unknown-variable terraform/fanout.tf 's/SYNC_TICKS_TOPIC    =/SYNC_TICK_TOPIC     =/' 'SYNC_TICK_TOPIC'
plant value-the-code-refuses terraform/syncer.tf 's/tostring\(var.syncer.egress_budget\)/"${var.syncer.egress_budget}\/s"/' 'does not start with what Terraform sets'
plant other-event-type terraform/fanout.tf 's/agenttrader.tick.v1/agenttrader.ticks.v1/' 'what it publishes is read as'
plant other-collection terraform/signaler.tf 's/tradingSignals/signals/' 'makes 0 events'
plant other-probe terraform/modules/service/main.tf 's/"\/health"/"\/healthz"/' 'asks "/healthz"|asks /healthz'
plant no-such-argument terraform/modules/service/main.tf 's/invoker_iam_disabled =/invoker_iam_disabler =/' 'Unsupported argument'

echo "terraform-faults: $planted planted, $missed not noticed"
((planted > 0 && missed == 0))
