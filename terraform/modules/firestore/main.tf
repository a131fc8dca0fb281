resource "google_firestore_database" "this" {
  count = var.create ? 1 : 0

  project                           = var.project
  name                              = var.name
  location_id                       = var.location
  type                              = "FIRESTORE_NATIVE"
  concurrency_mode                  = "PESSIMISTIC"
  app_engine_integration_mode       = "DISABLED"
  delete_protection_state           = var.deletion_protection ? "DELETE_PROTECTION_ENABLED" : "DELETE_PROTECTION_DISABLED"
  point_in_time_recovery_enablement = var.point_in_time_recovery ? "POINT_IN_TIME_RECOVERY_ENABLED" : "POINT_IN_TIME_RECOVERY_DISABLED"
  deletion_policy                   = var.deletion_protection ? "ABANDON" : "DELETE"
  dynamic "cmek_config" {
    for_each = var.kms_key == null ? [] : [var.kms_key]
    content {
      kms_key_name = cmek_config.value
    }
  }
}

locals {
  database  = var.create ? google_firestore_database.this[0].name : var.name
  overrides = { for o in var.indexes.fieldOverrides : "${o.collectionGroup}/${o.fieldPath}" => o }
  composite = { for i in var.indexes.indexes : join("/", concat([i.collectionGroup, i.queryScope],
  [for f in i.fields : "${f.fieldPath} ${coalesce(f.order, f.arrayConfig, "-")}"])) => i }
}

resource "google_firestore_backup_schedule" "daily" {
  count = var.daily_backups_kept > 0 ? 1 : 0

  project   = var.project
  database  = local.database
  retention = "${var.daily_backups_kept * 86400}s"
  daily_recurrence {}
}

resource "google_firestore_index" "this" {
  for_each = local.composite

  project     = var.project
  database    = local.database
  collection  = each.value.collectionGroup
  query_scope = each.value.queryScope
  dynamic "fields" {
    for_each = each.value.fields
    content {
      field_path   = fields.value.fieldPath
      order        = fields.value.order
      array_config = fields.value.arrayConfig
    }
  }
}

# An override without indexes exempts the field; one with ttl lets documents expire by it.
resource "google_firestore_field" "this" {
  for_each = local.overrides

  project    = var.project
  database   = local.database
  collection = each.value.collectionGroup
  field      = each.value.fieldPath
  index_config {
    dynamic "indexes" {
      for_each = each.value.indexes
      content {
        query_scope  = indexes.value.queryScope
        order        = indexes.value.order
        array_config = indexes.value.arrayConfig
      }
    }
  }
  dynamic "ttl_config" {
    for_each = each.value.ttl ? [1] : []
    content {}
  }
}

resource "google_firebaserules_ruleset" "this" {
  project = var.project
  source {
    files {
      name    = "firestore.rules"
      content = var.rules
    }
  }
  lifecycle {
    create_before_destroy = true
  }
  depends_on = [google_firestore_database.this]
}

resource "google_firebaserules_release" "this" {
  project      = var.project
  name         = var.name == "(default)" ? "cloud.firestore" : "cloud.firestore/${var.name}"
  ruleset_name = "projects/${var.project}/rulesets/${google_firebaserules_ruleset.this.name}"
}
