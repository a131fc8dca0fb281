output "service" {
  description = "What a subscription or trigger needs to know of the service."
  value = {
    name     = google_cloud_run_v2_service.this.name
    region   = google_cloud_run_v2_service.this.location
    audience = var.audience
  }
}
