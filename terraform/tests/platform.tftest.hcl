# The root module, planned with a provider that makes everything up.
mock_provider "google" {
  mock_data "google_project" {
    defaults = { number = "123456789012" }
  }
}

variables {
  project = "my-project"
  images = {
    fanout   = "r/fanout:1"
    syncer   = "r/syncer:1"
    signaler = "r/signaler:1"
  }
}

run "one_region" {
  command = plan

  assert {
    condition     = keys(output.urls) == ["us-central1"] && output.urls["us-central1"].fanout == "https://fanout-123456789012.us-central1.run.app"
    error_message = "The services' addresses are not those of one region."
  }
  assert {
    condition     = keys(google_pubsub_topic.this) == ["dead-letters", "secret-notifications", "sync-requests", "sync-ticks"]
    error_message = "Other topics than the code's."
  }
  assert {
    condition     = google_cloud_scheduler_job.tick["us-central1"].schedule == "* * * * *" && !google_cloud_scheduler_job.tick["us-central1"].paused
    error_message = "No tick every minute."
  }
  assert {
    condition     = local.trigger_location == "us-central1"
    error_message = "Triggers are not where the database is."
  }
  assert {
    condition     = alltrue([for g in google_project_iam_member.grant : length(g.condition) == 1 if strcontains(g.role, "secretmanager") || strcontains(g.role, "agenttrader.key_")])
    error_message = "Somebody may use all secrets."
  }
  assert {
    condition     = alltrue([for g in google_project_iam_member.grant : g.condition[0].expression == "resource.name == \"projects/my-project/databases/(default)\"" if g.role == "roles/datastore.user"])
    error_message = "Somebody may use all databases."
  }
  assert {
    condition     = length(google_kms_crypto_key.envelope) == 0 && length(google_kms_crypto_key.data) == 0 && length(google_billing_budget.this) == 0 && length(module.console) == 0
    error_message = "Something is made that nobody asked for."
  }
  assert {
    condition     = google_pubsub_subscription.review.name == "dead-letters-review" && google_pubsub_subscription.review.expiration_policy[0].ttl == ""
    error_message = "Dead letters would be lost."
  }
  assert {
    condition     = length(google_logging_project_exclusion.requests) == 1 && length(google_project_iam_audit_config.secrets) == 1
    error_message = "Request lines are kept, or reads of secrets are not logged."
  }
  assert {
    condition     = alltrue([for p in values(output.alerts) : fileexists("../docs/playbooks/${p}")])
    error_message = "An alert has no playbook."
  }
}

run "multi_region_database" {
  command = plan
  variables {
    database = { location = "eur3" }
    region   = "europe-west1"
  }
  assert {
    condition     = local.trigger_location == "europe-west4"
    error_message = "Events of a database in eur3 come in europe-west4."
  }
  assert {
    condition     = keys(google_cloud_scheduler_job.tick) == ["europe-west1"]
    error_message = "The tick is not where the services are."
  }
}

run "failover" {
  command = plan
  variables {
    database       = { location = "nam5" }
    standby_region = "us-east1"
    active_region  = "us-east1"
  }
  assert {
    condition     = google_cloud_scheduler_job.tick["us-central1"].paused && !google_cloud_scheduler_job.tick["us-east1"].paused
    error_message = "After the failover the tick comes from the wrong region, or from two."
  }
  assert {
    condition     = module.fanout["us-east1"].service.audience == "https://fanout-123456789012.us-east1.run.app"
    error_message = "The second region's service takes tokens for another."
  }
  assert {
    condition     = local.trigger_location == "us-central1"
    error_message = "Triggers stay where the database is."
  }
}

run "partitions" {
  command = plan
  variables {
    syncer = { partitions = 3, max_instances = 2, egress_budget = 100, concurrency = 50 }
  }
  assert {
    condition     = local.request_topics == ["sync-requests", "sync-requests-1", "sync-requests-2"] && keys(module.requests) == ["syncer", "syncer-1", "syncer-2"]
    error_message = "Not a topic and a syncer for each partition."
  }
  assert {
    condition     = output.fleet_limits.broker_requests_second == 600 && output.fleet_limits.syncs_at_once == 300
    error_message = "The fleet's limits are not an instance's times the most instances."
  }
}

run "envelopes" {
  command = plan
  variables {
    keys        = { custody = "envelope" }
    market_data = { user = "platform" }
  }
  assert {
    condition     = output.kms_key == "projects/my-project/locations/us-central1/keyRings/agenttrader-keys/cryptoKeys/users-keys"
    error_message = "The services are told another key than the one that is made."
  }
  assert {
    condition     = keys(google_kms_crypto_key_iam_member.decrypter) == ["fanout", "signaler", "syncer"] && alltrue([for g in google_kms_crypto_key_iam_member.decrypter : g.role == "roles/cloudkms.cryptoKeyDecrypter"])
    error_message = "A service may encrypt."
  }
}

run "existing_database" {
  command = plan
  variables {
    database = { create = false, location = "us-east4", name = "trading" }
  }
  assert {
    condition     = local.trigger_location == "us-east4"
    error_message = "Triggers are not where the existing database is."
  }
}

run "model_and_console" {
  command = plan
  variables {
    gemini_location = "us-central1"
    images          = { fanout = "r/fanout:1", syncer = "r/syncer:1", signaler = "r/signaler:1", console = "r/console:1" }
    console         = { members = ["group:ops@example.com"] }
  }
  assert {
    condition     = length(google_iap_web_cloud_run_service_iam_member.member) == 1 && contains(local.apis, "iap") && contains(local.apis, "aiplatform")
    error_message = "The console is not behind IAP, or an API is not switched on."
  }
  assert {
    condition     = google_project_iam_custom_role.this["model_asker"].permissions == toset(["aiplatform.endpoints.predict"])
    error_message = "The signaler may do more with models than ask."
  }
}

# What is refused
run "standby_without_multi_region" {
  command = plan
  variables {
    standby_region = "us-east1"
  }
  expect_failures = [var.standby_region]
}

run "unknown_active_region" {
  command = plan
  variables {
    active_region = "us-east1"
  }
  expect_failures = [var.active_region]
}

run "existing_database_somewhere" {
  command = plan
  variables {
    database = { create = false }
  }
  expect_failures = [var.database]
}

run "latest_image" {
  command = plan
  variables {
    images = { fanout = "r/fanout:latest", syncer = "r/syncer:1", signaler = "r/signaler:1" }
  }
  expect_failures = [var.images]
}

run "unknown_setting" {
  command = plan
  variables {
    fanout = { env = { FIRESTORE_EMULATOR_HOST = "127.0.0.1:8080" } }
  }
  expect_failures = [var.fanout]
}

run "platform_secret_among_users" {
  command = plan
  variables {
    market_data = { secret = "alpaca-keys-platform" }
  }
  expect_failures = [var.market_data]
}

run "public_operator" {
  command = plan
  variables {
    operators = ["allUsers"]
  }
  expect_failures = [var.operators]
}

run "telemetry" {
  command = plan
  variables {
    telemetry = true
  }
  assert {
    condition     = length(setsubtract(["freshness", "tick-to-snapshot", "dead-letters", "missed-ticks", "breaker-open", "needs-reauth", "key-headroom", "egress-headroom", "operations-of-a-user"], keys(output.alerts))) == 0
    error_message = "An alert is missing."
  }
  assert {
    condition     = alltrue([for p in values(output.alerts) : fileexists("../docs/playbooks/${p}")])
    error_message = "An alert has no playbook."
  }
  assert {
    condition     = google_monitoring_slo.freshness[0].goal == 0.999 && length(google_monitoring_dashboard.this) == 1
    error_message = "No objective, or no dashboard."
  }
}
