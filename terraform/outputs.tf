output "registry" {
  description = "Where images go: docker push REGISTRY/SERVICE."
  value       = "${var.region}-docker.pkg.dev/${var.project}/${google_artifact_registry_repository.images.repository_id}"
}

output "urls" {
  description = "The services' addresses, by region; reachable from the project's Pub/Sub and Eventarc alone."
  value       = local.url
}

output "service_accounts" {
  description = "Whom the services run as; onboarding is for who stores users' keys."
  value       = local.email
}

output "topics" {
  description = "The topics' full names. Secrets of users name secret-notifications."
  value       = local.topic
}

output "kms_key" {
  description = "KMS_KEY of the agenttrader command; null without envelopes."
  value       = local.envelope_key
}

output "fleet_limits" {
  description = "What all syncers together may do at once: an instance's limit times the most instances."
  value = {
    syncer_instances       = var.syncer.partitions * var.syncer.max_instances
    syncs_at_once          = var.syncer.partitions * var.syncer.max_instances * var.syncer.concurrency
    broker_requests_second = var.syncer.partitions * var.syncer.max_instances * var.syncer.egress_budget
    market_data_minute     = var.signaler.max_instances * tonumber(lookup(var.signaler.env, "MARKET_DATA_LIMIT", "100"))
  }
}

output "alerts" {
  description = "The alerts and their playbooks."
  value       = { for a in local.all_alerts : a.name => a.playbook }
}

output "settings" {
  description = "The variables that a service's `env` may set: those of all, those of custody (not the console's), and its own."
  value       = local.settable
}
