# The configuration file that all sites share, from what each site tells of itself, and the rules that hold between sites.
# It has no resources: it only puts a text together.

locals {
  worker = merge({
    tombstone_life_days   = var.tombstone_life_days
    replay_window_days    = local.replay_window_days
    store_wait_max_hours  = var.store_wait_max_hours
    attempts_max          = var.attempts_max
    peer_time_max_seconds = var.peer_time_max_seconds
  }, var.worker)

  # The longest way of an event: its origin's queue, a peer's queue, that peer's dead letters. Then two weeks for an operator.
  ways = [
    for pair in setproduct(var.sites, var.sites) : pair[0].retention_days + pair[1].retention_days + pair[1].dead_letter_retention_days
    if pair[0].site != pair[1].site || length(var.sites) == 1
  ]
  longest_way_days     = max(local.ways...)
  replay_window_days   = local.longest_way_days + 14
  shortest_stay_hours  = 24 * min([for site in var.sites : site.retention_days]...)
  fewest_sqs_receives  = min([for site in var.sites : coalesce(site.receives_max, 1000)]...)
  narrowest_bytes      = min([for site in var.sites : site.message_bytes_max]...)
  shortest_peer_limits = [for site in var.sites : site.peer_time_max_seconds]

  sections = merge(
    { for site in var.sites : "sites.\"${site.site}\"" => merge(site.keys, lookup(var.keys, site.site, {})) },
    { worker = local.worker },
  )

  # All keys of a site but these are texts, and all of [worker] but these are numbers. A name of digits alone stays a text.
  site_numbers = ["lease_seconds", "message_bytes_max"]
  worker_texts = ["auto_replay", "conflicts", "forward", "key_pointer", "metrics_listen"]

  text = join("\n", [
    for name, keys in local.sections :
    join("", concat(["[${name}]\n"], [for key, value in keys : "${key} = ${(name == "worker" ? !contains(local.worker_texts, key) : contains(local.site_numbers, key)) ? value : jsonencode(value)}\n"]))
  ])
}
