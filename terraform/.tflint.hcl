plugin "terraform" {
  enabled = true
  preset  = "all"
}

# One short file per service, with the variable that sizes it.
rule "terraform_standard_module_structure" {
  enabled = false
}
