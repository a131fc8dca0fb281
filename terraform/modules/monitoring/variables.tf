variable "project" {
  type        = string
  description = "The project's id."
}

variable "alerts" {
  type = list(object({
    name     = string
    title    = string
    meaning  = string
    playbook = string
    severity = optional(string, "ERROR")
    threshold = optional(object({
      filter      = string
      above       = number
      for         = optional(string, "0s")
      align       = optional(string, "ALIGN_MAX")
      every       = optional(string, "60s")
      reduce      = optional(string)
      by          = optional(list(string), [])
      denominator = optional(string)
    }))
    absent = optional(object({
      filter = string
      for    = string
      align  = optional(string, "ALIGN_DELTA")
      every  = optional(string, "60s")
    }))
    log = optional(object({
      filter = string
      every  = optional(string, "3600s")
    }))
    query = optional(object({
      promql = string
      for    = string
    }))
  }))
  description = "Each with one of threshold (a metric is above a value for a while; with a denominator, its share of another), absent (a metric has no data), log (a line matches; told at most once in `every`) and query (PromQL has a result for a while)."
  validation {
    condition     = alltrue([for a in var.alerts : length([for c in [a.threshold, a.absent, a.log, a.query] : c if c != null]) == 1])
    error_message = "Each alert wants one of threshold, absent, log and query."
  }
  validation {
    condition     = length(distinct([for a in var.alerts : a.name])) == length(var.alerts)
    error_message = "Two alerts have one name."
  }
  validation {
    condition     = alltrue([for a in var.alerts : contains(["WARNING", "ERROR", "CRITICAL"], a.severity)])
    error_message = "severity: want WARNING, ERROR or CRITICAL."
  }
}

variable "channels" {
  type        = list(string)
  description = "Names of the notification channels."
}

variable "playbooks" {
  type        = string
  description = "The folder of the playbooks."
}

variable "playbooks_url" {
  type        = string
  description = "Where they can be read."
}
