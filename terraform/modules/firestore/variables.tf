variable "project" {
  type        = string
  description = "The project's id."
}

variable "name" {
  type        = string
  description = "The database's id."
}

variable "location" {
  type        = string
  description = "A region, nam5 or eur3."
}

variable "create" {
  type        = bool
  description = "false: the database exists."
}

variable "deletion_protection" {
  type        = bool
  description = "The database can't be deleted."
}

variable "point_in_time_recovery" {
  type        = bool
  description = "Any minute of the last seven days can be read again."
}

variable "daily_backups_kept" {
  type        = number
  description = "Days; 0: no backups."
}

variable "kms_key" {
  type        = string
  default     = null
  description = "Encrypts the documents; null: Google's own."
}

variable "rules" {
  type        = string
  description = "The security rules, as text."
}

variable "indexes" {
  type = object({
    indexes = list(object({
      collectionGroup = string
      queryScope      = optional(string, "COLLECTION")
      fields = list(object({
        fieldPath   = string
        order       = optional(string)
        arrayConfig = optional(string)
      }))
    }))
    fieldOverrides = list(object({
      collectionGroup = string
      fieldPath       = string
      ttl             = optional(bool, false)
      indexes = list(object({
        queryScope  = optional(string, "COLLECTION")
        order       = optional(string)
        arrayConfig = optional(string)
      }))
    }))
  })
  description = "firestore.indexes.json, as Firebase's tools know it."
}
