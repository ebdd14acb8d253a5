output "text" {
  description = "The configuration file, for `configuration` of every site, and for operators: write it to a file and set BRIDGE_CONFIG to its path."
  value       = local.text

  precondition {
    condition     = var.tombstone_life_days >= local.replay_window_days + 2
    error_message = "tombstone_life_days is ${var.tombstone_life_days}, but an event can be on its way for ${local.longest_way_days} days (the queue of its origin, the queue and the dead letters of a peer); an operator needs two weeks more, and the program two days. Set it to at least ${local.replay_window_days + 2}, or shorten the retentions."
  }
  precondition {
    condition     = local.shortest_stay_hours >= var.store_wait_max_hours + 12
    error_message = "store_wait_max_hours is ${var.store_wait_max_hours}, but a queue keeps a message for ${local.shortest_stay_hours} hours only. It must be at least 12 hours less, or a long outage of a store loses events."
  }
  precondition {
    condition     = local.fewest_sqs_receives > var.attempts_max
    error_message = "attempts_max is ${var.attempts_max}, but a queue of SQS sets a message aside by itself after ${local.fewest_sqs_receives} deliveries, without a reason. It must be less."
  }
  precondition {
    condition     = alltrue([for limit in local.shortest_peer_limits : limit >= var.peer_time_max_seconds])
    error_message = "peer_time_max_seconds is ${var.peer_time_max_seconds} here and less at a site, so its function could end before it has recorded what a peer is owed. Set it to the same at every site."
  }
}

output "event_bytes_max" {
  description = "The largest event that every site takes: the narrowest queue, less 4 KiB for properties."
  value       = local.narrowest_bytes - 4096
}
