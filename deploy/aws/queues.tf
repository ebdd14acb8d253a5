# Three queues. The worker reads `events`, and puts what it sets aside into `dead`, with a reason: operators replay from there.
# `redrive` gets what SQS itself sets aside after receives_max deliveries, without a reason: a message there is a fault.

resource "aws_sqs_queue" "events" {
  name                       = "${var.name}-events"
  visibility_timeout_seconds = local.visibility_timeout_seconds
  message_retention_seconds  = var.retention_days * local.day
  max_message_size           = var.message_bytes_max
  receive_wait_time_seconds  = 20
  sqs_managed_sse_enabled    = var.key_id == null ? true : null
  kms_master_key_id          = var.key_id
  redrive_policy = jsonencode({
    deadLetterTargetArn = aws_sqs_queue.redrive.arn
    maxReceiveCount     = var.receives_max
  })
  tags = local.tags
}

# Without a redrive policy: each look at a letter counts as a delivery.
resource "aws_sqs_queue" "dead" {
  name                       = "${var.name}-events-dead"
  visibility_timeout_seconds = 30
  message_retention_seconds  = var.dead_letter_retention_days * local.day
  max_message_size           = 1048576
  receive_wait_time_seconds  = 20
  sqs_managed_sse_enabled    = var.key_id == null ? true : null
  kms_master_key_id          = var.key_id
  tags                       = local.tags
}

resource "aws_sqs_queue" "redrive" {
  name = "${var.name}-events-redrive"
  # The most that SQS has. A message keeps the time of its first send when SQS moves it: what it spent in `events` is used up.
  message_retention_seconds = 14 * local.day
  max_message_size          = 1048576
  sqs_managed_sse_enabled   = var.key_id == null ? true : null
  kms_master_key_id         = var.key_id
  tags                      = local.tags
}

resource "aws_sqs_queue_redrive_allow_policy" "redrive" {
  queue_url = aws_sqs_queue.redrive.id
  redrive_allow_policy = jsonencode({
    redrivePermission = "byQueue"
    sourceQueueArns   = [aws_sqs_queue.events.arn]
  })
}

locals {
  queues = { events = aws_sqs_queue.events, dead = aws_sqs_queue.dead, redrive = aws_sqs_queue.redrive }
  tls_only = {
    for name, queue in local.queues : name => {
      Sid       = "TlsOnly"
      Effect    = "Deny"
      Principal = "*"
      Action    = "sqs:*"
      Resource  = queue.arn
      Condition = { Bool = { "aws:SecureTransport" = "false" } }
    }
  }
}

resource "aws_sqs_queue_policy" "tls_only" {
  for_each  = local.queues
  queue_url = each.value.id
  policy = jsonencode({
    Version = "2012-10-17"
    Statement = concat([local.tls_only[each.key]], each.key != "events" || length(var.senders) == 0 ? [] : [{
      Sid       = "Senders"
      Effect    = "Allow"
      Principal = { AWS = var.senders }
      Action    = "sqs:SendMessage"
      Resource  = each.value.arn
    }])
  })
}
