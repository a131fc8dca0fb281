variable "project" {
  type        = string
  description = "The project's id."
}

variable "topic" {
  type        = string
  description = "Full name of the topic."
}

variable "name" {
  type        = string
  description = "The subscription's name; push-NAME is its service account's."
}

variable "service" {
  type = object({
    name     = string
    region   = string
    audience = string
  })
  description = "The Cloud Run service that gets the messages, at its audience, which is its URL."
}

variable "dead_letter" {
  type        = string
  description = "Full name of the topic for what was tried too often."
}

variable "agent" {
  type        = string
  description = "Pub/Sub's own account of the project."
}

variable "retry" {
  type = object({
    min      = string
    max      = string
    attempts = number
  })
  description = "Time between two attempts, and after how many a message is a dead letter."
  validation {
    condition     = var.retry.attempts >= 5 && var.retry.attempts <= 100
    error_message = "attempts: Pub/Sub takes 5 to 100."
  }
}

variable "labels" {
  type        = map(string)
  description = "Labels of the subscription."
}
