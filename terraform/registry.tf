resource "google_artifact_registry_repository" "images" {
  project       = var.project
  location      = var.region
  repository_id = "agenttrader"
  format        = "DOCKER"
  description   = "The services' images."
  kms_key_name  = var.cmek ? local.data_key[var.region] : null
  labels        = local.labels
  cleanup_policies {
    id     = "keep-recent" # to roll back to; keeping goes before deleting
    action = "KEEP"
    most_recent_versions {
      keep_count = 20
    }
  }
  cleanup_policies {
    id     = "delete-old"
    action = "DELETE"
    condition {
      tag_state  = "ANY"
      older_than = "7776000s" # 90 days
    }
  }
  depends_on = [google_project_service.api, google_kms_crypto_key_iam_member.agents]
}
