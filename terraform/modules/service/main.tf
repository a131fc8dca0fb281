locals {
  port = 8080
  # A push that is not answered by the ack deadline comes again, and one of ours has 60 s.
  timeout = "60s"
}

resource "google_cloud_run_v2_service" "this" {
  project             = var.project
  location            = var.region
  name                = var.name
  labels              = var.labels
  deletion_protection = var.deletion_protection

  # Pub/Sub and Eventarc of the project count as internal.
  ingress = var.iap ? "INGRESS_TRAFFIC_ALL" : "INGRESS_TRAFFIC_INTERNAL_ONLY"

  # The service checks its callers' tokens itself. Cloud Run's own check takes the signature away, and IAP needs it.
  invoker_iam_disabled = !var.iap
  iap_enabled          = var.iap

  template {
    service_account                  = var.service_account
    encryption_key                   = var.kms_key
    execution_environment            = "EXECUTION_ENVIRONMENT_GEN2"
    max_instance_request_concurrency = var.size.concurrency
    timeout                          = local.timeout
    labels                           = var.labels
    scaling {
      min_instance_count = var.size.min_instances
      max_instance_count = var.size.max_instances
    }
    containers {
      image = var.image
      ports {
        container_port = local.port
      }
      resources {
        limits            = { cpu = var.size.cpu, memory = var.size.memory }
        cpu_idle          = !var.size.cpu_always
        startup_cpu_boost = true
      }
      dynamic "env" {
        for_each = merge(var.env, var.iap ? {} : {
          PUSH_AUDIENCE         = var.audience
          PUSH_SERVICE_ACCOUNTS = join(",", var.callers)
        })
        content {
          name  = env.key
          value = env.value
        }
      }
      startup_probe {
        period_seconds    = 1
        timeout_seconds   = 1
        failure_threshold = 30
        http_get {
          path = "/health"
          port = local.port
        }
      }
      liveness_probe {
        period_seconds    = 10
        timeout_seconds   = 5
        failure_threshold = 6
        http_get {
          path = "/health"
          port = local.port
        }
      }
    }
  }
}
