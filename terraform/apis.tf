locals {
  apis = toset(concat([
    "artifactregistry", "cloudresourcemanager", "cloudscheduler", "eventarc", "firebaserules", "firestore", "iam",
    "logging", "monitoring", "pubsub", "run", "secretmanager",
    ],
    local.envelopes || var.cmek ? ["cloudkms"] : [],
    var.gemini_location == null ? [] : ["aiplatform"],
    var.telemetry ? ["telemetry"] : [],
    var.budget == null ? [] : ["billingbudgets"],
    var.images.console == null ? [] : ["iap"],
  ))
}

resource "google_project_service" "api" {
  for_each = local.apis

  project            = var.project
  service            = "${each.key}.googleapis.com"
  disable_on_destroy = false # another application may use it
}

# Some of Google's accounts exist only once they were asked for, and no role can be granted to one that does not.
resource "terraform_data" "agents" {
  for_each = toset(concat(["pubsub", "eventarc", "secretmanager", "cloudscheduler"],
  var.cmek ? ["artifactregistry", "firestore", "run"] : [], var.images.console == null ? [] : ["iap"]))

  triggers_replace = [var.project]
  provisioner "local-exec" {
    command = "gcloud beta services identity create --service=${each.key}.googleapis.com --project=${var.project} --quiet"
  }
  depends_on = [google_project_service.api]
}
