mock_provider "google" {}

variables {
  project       = "my-project"
  channels      = []
  playbooks     = "../docs/playbooks"
  playbooks_url = "https://example.com/docs/playbooks"
}

run "an_alert" {
  command = plan
  module {
    source = "./modules/monitoring"
  }
  variables {
    alerts = [{ name = "a", title = "A", meaning = "It means this.", playbook = "backlog.md", log = { filter = "severity>=ERROR" } }]
  }
  assert {
    condition     = strcontains(google_monitoring_alert_policy.this["a"].documentation[0].content, "It means this.") && strcontains(google_monitoring_alert_policy.this["a"].documentation[0].content, "https://example.com/docs/playbooks/backlog.md")
    error_message = "The alert says neither what it means nor what to do."
  }
  assert {
    condition     = google_monitoring_alert_policy.this["a"].alert_strategy[0].notification_rate_limit[0].period == "3600s"
    error_message = "An alert on lines of a log wants a limit."
  }
}

run "without_a_playbook" {
  command = plan
  module {
    source = "./modules/monitoring"
  }
  variables {
    alerts = [{ name = "a", title = "A", meaning = "It means this.", playbook = "nowhere.md", log = { filter = "severity>=ERROR" } }]
  }
  expect_failures = [google_monitoring_alert_policy.this]
}

run "two_conditions" {
  command = plan
  module {
    source = "./modules/monitoring"
  }
  variables {
    alerts = [{ name = "a", title = "A", meaning = "It means this.", playbook = "backlog.md", log = { filter = "x" }, absent = { filter = "y", for = "300s" } }]
  }
  expect_failures = [var.alerts]
}

run "a_query" {
  command = plan
  module {
    source = "./modules/monitoring"
  }
  variables {
    alerts = [{ name = "a", title = "A", meaning = "It means this.", playbook = "backlog.md", query = { promql = "up == 0", for = "60s" } }]
  }
  assert {
    condition     = google_monitoring_alert_policy.this["a"].conditions[0].condition_prometheus_query_language[0].query == "up == 0" && google_monitoring_alert_policy.this["a"].conditions[0].condition_prometheus_query_language[0].disable_metric_validation
    error_message = "The query is not asked, or not before there are metrics."
  }
}
