# Who may do what. ACCESS.md is the same as a table, and a test holds every plan against it.
locals {
  accounts   = "${var.project}.iam.gserviceaccount.com"
  identities = toset(["fanout", "syncer", "signaler", "onboarding"])
  email      = { for i in local.identities : i => "${google_service_account.this[i].account_id}@${local.accounts}" }
  member     = { for i in local.identities : i => "serviceAccount:${local.email[i]}" }

  # Secrets are granted by prefix, with the project's number, as IAM names them.
  secrets    = "projects/${local.number}/secrets/"
  user_keys  = "resource.name.startsWith(\"${local.secrets}alpaca-keys-\")"
  hours_keys = var.market_data.user == null ? "" : "resource.name.startsWith(\"${local.secrets}alpaca-keys-${var.market_data.user}/\")"

  role          = { for r, c in google_project_iam_custom_role.this : r => "projects/${var.project}/roles/${c.role_id}" }
  database_only = { title = "database", expression = "resource.name == \"projects/${var.project}/databases/${var.database.name}\"" }

  grants = merge(
    { for i in local.identities : "${i}/documents" => { member = local.member[i], role = "roles/datastore.user", condition = local.database_only } },
    { for m in var.operators : "${m}/documents" => { member = m, role = "roles/datastore.user", condition = local.database_only } },
    {
      "syncer/keys"     = { member = local.member.syncer, role = "roles/secretmanager.secretAccessor", condition = { title = "users keys", expression = local.user_keys } }
      "onboarding/keys" = { member = local.member.onboarding, role = local.role.key_writer, condition = { title = "users keys", expression = local.user_keys } }
      # A secret that is not yet there has no name to ask for: the condition sees the project.
      "onboarding/new-keys" = { member = local.member.onboarding, role = local.role.key_maker, condition = { title = "new secrets", expression = "resource.type == \"cloudresourcemanager.googleapis.com/Project\"" } }
    },
    var.market_data.secret == "none" ? {} : {
      "signaler/market-data" = { member = local.member.signaler, role = "roles/secretmanager.secretAccessor", condition = { title = "market data", expression = "resource.name.startsWith(\"${local.secrets}${var.market_data.secret}/\")" } }
    },
    var.market_data.user == null ? {} : {
      for i in ["fanout", "signaler"] : "${i}/market-hours" => { member = local.member[i], role = "roles/secretmanager.secretAccessor", condition = { title = "market hours", expression = local.hours_keys } }
    },
    var.gemini_location == null ? {} : {
      "signaler/model" = { member = local.member.signaler, role = local.role.model_asker, condition = null }
    },
    { for p in var.telemetry ? setproduct(["fanout", "syncer", "signaler"], ["telemetry.tracesWriter", "telemetry.metricsWriter", "serviceusage.serviceUsageConsumer"]) : [] :
    "${p[0]}/${p[1]}" => { member = local.member[p[0]], role = "roles/${p[1]}", condition = null } },
    {
      "eventarc/agent" = { member = local.agents.eventarc, role = "roles/eventarc.serviceAgent", condition = null }
    },
  )
}

resource "google_service_account" "this" {
  for_each = local.identities

  project      = var.project
  account_id   = each.key
  display_name = "AgentTrader: ${each.key}"
  depends_on   = [google_project_service.api]
}

resource "google_project_iam_custom_role" "this" {
  for_each = merge(
    {
      key_writer = ["secretmanager.secrets.delete", "secretmanager.versions.add", "secretmanager.versions.destroy", "secretmanager.versions.get"]
      key_maker  = ["secretmanager.secrets.create"]
    },
    var.gemini_location == null ? {} : { model_asker = ["aiplatform.endpoints.predict"] },
  )

  project     = var.project
  role_id     = "agenttrader.${each.key}"
  title       = "AgentTrader: ${replace(each.key, "_", " ")}"
  permissions = each.value
  depends_on  = [google_project_service.api]
}

resource "google_project_iam_member" "grant" {
  for_each = local.grants

  project = var.project
  member  = each.value.member
  role    = each.value.role
  dynamic "condition" {
    for_each = each.value.condition == null ? [] : [each.value.condition]
    content {
      title      = condition.value.title
      expression = condition.value.expression
    }
  }
  depends_on = [terraform_data.agents]
}

# Who read which secret. Each access is a log line of about 1 KB: $0.50 a GB.
resource "google_project_iam_audit_config" "secrets" {
  count = var.logs.audit_secrets ? 1 : 0

  project = var.project
  service = "secretmanager.googleapis.com"
  audit_log_config {
    log_type = "DATA_READ"
  }
  audit_log_config {
    log_type = "DATA_WRITE"
  }
}
