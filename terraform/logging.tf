resource "google_logging_project_bucket_config" "default" {
  project        = var.project
  location       = "global"
  bucket_id      = "_Default"
  retention_days = var.logs.retention_days
  depends_on     = [google_project_service.api]
}

# Cloud Run writes a line a request: a line a user and minute, which costs more than the database.
resource "google_logging_project_exclusion" "requests" {
  count = var.logs.exclude_requests ? 1 : 0

  project     = var.project
  name        = "agenttrader-requests"
  description = "Requests that were answered well; the metrics count them all the same."
  filter = join(" AND ", [
    "log_id(\"run.googleapis.com/requests\")",
    "resource.labels.service_name=(${join(" OR ", [for s in concat(["fanout", "signaler"], local.syncers) : "\"${s}\""])})",
    "httpRequest.status<400",
  ])
  depends_on = [google_project_service.api]
}
