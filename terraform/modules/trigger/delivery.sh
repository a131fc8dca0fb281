#!/bin/sh
# Gives the subscription of a trigger a dead-letter topic, a longer ack deadline, and the audience that the service
# checks. main.tf sets the variables. Running it again changes nothing.
set -eu
: "${SUBSCRIPTION:?Eventarc did not say which subscription carries the events of the trigger}"

field() { gcloud pubsub subscriptions describe "$SUBSCRIPTION" --project="$PROJECT" --format="value($1)"; }

endpoint=$(field pushConfig.pushEndpoint)
if [ -z "$endpoint" ]; then
  echo "subscription $SUBSCRIPTION has no push endpoint: is it Eventarc's?" >&2
  exit 1
fi
unwrapped=
if [ -n "$(field pushConfig.noWrapper)" ]; then
  unwrapped="--push-no-wrapper --push-no-wrapper-write-metadata"
fi
# The push settings are set as a whole: the endpoint, whose query says how Eventarc packs events, stays as it is.
# shellcheck disable=SC2086 # two words, or none
exec gcloud pubsub subscriptions update "$SUBSCRIPTION" --project="$PROJECT" --quiet \
  --ack-deadline="$ACK_DEADLINE" --min-retry-delay="$MIN_BACKOFF" --max-retry-delay="$MAX_BACKOFF" \
  --dead-letter-topic="$DEAD_LETTER" --max-delivery-attempts="$ATTEMPTS" \
  --push-endpoint="$endpoint" --push-auth-service-account="$ACCOUNT" --push-auth-token-audience="$AUDIENCE" $unwrapped
