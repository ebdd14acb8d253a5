# What the two clouds share has the same name in deploy/azure/outputs.tf.

output "site" {
  description = "The site's id, for BRIDGE_SITE."
  value       = local.site
}

output "facts" {
  description = "The site as deploy/configuration takes it: the keys of its section, and what the sites must agree on."
  value = {
    site = local.site
    keys = merge({
      queue_url             = aws_sqs_queue.events.url
      dead_letter_queue_url = aws_sqs_queue.dead.url
      table                 = aws_dynamodb_table.records.name
      message_bytes_max     = var.message_bytes_max
      }, length(var.trusted_peers) == 0 ? {} : {
      from_azure_role_arn = aws_iam_role.peer[0].arn
      from_azure_audience = var.inbound_audience
    })
    retention_days             = var.retention_days
    dead_letter_retention_days = var.dead_letter_retention_days
    message_bytes_max          = var.message_bytes_max
    peer_time_max_seconds      = var.peer_time_max_seconds
    receives_max               = var.receives_max
  }
}

output "worker_identity" {
  description = "The worker's role, for trusted_peers of an Azure site (subject) or senders of an AWS site."
  value       = aws_iam_role.worker.arn
}

output "issuer" {
  description = "The issuer of this account's tokens, for trusted_peers of an Azure site. Null without outbound_audience."
  value       = var.outbound_audience == null ? null : try(aws_iam_outbound_web_identity_federation.this[0].issuer_identifier, var.outbound_issuer)
}

output "peer_access" {
  description = "The role that workers of other clouds assume here. Null without trusted_peers."
  value       = try(aws_iam_role.peer[0].arn, null)
}

output "queue" {
  description = "The queue that applications send to."
  value       = aws_sqs_queue.events.url
}

output "dead_letter_queue" {
  description = "The bridge's dead-letter queue."
  value       = aws_sqs_queue.dead.url
}

output "store" {
  description = "The table of records."
  value       = aws_dynamodb_table.records.name
}

output "operator_access" {
  description = "The policy for people who run bridge's commands. Attach it to a role of yours."
  value       = aws_iam_policy.operator.arn
}

output "egress_addresses" {
  description = "Public addresses from which this site's function reaches other clouds, for allowed_addresses of an Azure site. Empty without a NAT gateway."
  value       = aws_eip.nat[*].public_ip
}

output "function_name" {
  description = "The function that the pipeline deploys to. Null where host is container."
  value       = local.function ? aws_lambda_function.worker[0].function_name : null
}
