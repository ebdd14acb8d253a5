# The worker as a Lambda function behind the queue.

resource "aws_s3_bucket" "packages" {
  count         = local.function ? 1 : 0
  bucket        = "${var.name}-packages-${local.account}-${var.region}"
  force_destroy = !var.protected
  tags          = local.tags
}

resource "aws_s3_bucket_versioning" "packages" {
  count  = local.function ? 1 : 0
  bucket = aws_s3_bucket.packages[0].id

  versioning_configuration {
    status = "Enabled"
  }
}

resource "aws_s3_bucket_lifecycle_configuration" "packages" {
  count  = local.function ? 1 : 0
  bucket = aws_s3_bucket.packages[0].id

  rule {
    id     = "old-versions"
    status = "Enabled"

    filter {}
    noncurrent_version_expiration {
      noncurrent_days = 90
    }
    abort_incomplete_multipart_upload {
      days_after_initiation = 7
    }
  }
}

resource "aws_s3_bucket_public_access_block" "packages" {
  count                   = local.function ? 1 : 0
  bucket                  = aws_s3_bucket.packages[0].id
  block_public_acls       = true
  block_public_policy     = true
  ignore_public_acls      = true
  restrict_public_buckets = true
}

resource "aws_s3_bucket_policy" "packages" {
  count  = local.function ? 1 : 0
  bucket = aws_s3_bucket.packages[0].id
  policy = jsonencode({
    Version = "2012-10-17"
    Statement = [{
      Sid       = "TlsOnly"
      Effect    = "Deny"
      Principal = "*"
      Action    = "s3:*"
      Resource  = [aws_s3_bucket.packages[0].arn, "${aws_s3_bucket.packages[0].arn}/*"]
      Condition = { Bool = { "aws:SecureTransport" = "false" } }
    }]
  })
  depends_on = [aws_s3_bucket_public_access_block.packages]
}

resource "aws_s3_bucket_server_side_encryption_configuration" "packages" {
  count  = local.function ? 1 : 0
  bucket = aws_s3_bucket.packages[0].id

  rule {
    apply_server_side_encryption_by_default {
      sse_algorithm     = var.key_id == null ? "AES256" : "aws:kms"
      kms_master_key_id = var.key_id
    }
  }
}

# The first package. Later ones come by the pipeline, which publishes versions and moves the alias.
resource "aws_s3_object" "package" {
  count  = local.function ? 1 : 0
  bucket = aws_s3_bucket.packages[0].id
  key    = "lambda-${var.architecture}.zip"
  source = var.package

  depends_on = [aws_s3_bucket_versioning.packages]
  lifecycle {
    ignore_changes = [source, etag]
  }
}

resource "aws_lambda_function" "worker" {
  count         = local.function ? 1 : 0
  function_name = "${var.name}-worker"
  description   = "The worker of ${local.site}"
  role          = aws_iam_role.worker.arn
  runtime       = "provided.al2023"
  handler       = "bootstrap"
  architectures = [var.architecture]
  memory_size   = var.memory_mb
  timeout       = var.timeout_seconds
  publish       = true
  kms_key_arn   = var.key_id
  s3_bucket     = aws_s3_bucket.packages[0].id
  s3_key        = aws_s3_object.package[0].key
  tags          = local.tags

  environment {
    variables = merge({
      BRIDGE_SITE   = local.site
      BRIDGE_CONFIG = coalesce(var.configuration, "/dev/null")
    }, var.environment)
  }

  logging_config {
    log_format = "Text" # The bridge writes JSON itself.
    log_group  = aws_cloudwatch_log_group.worker[0].name
  }

  dynamic "vpc_config" {
    for_each = local.private ? [1] : []
    content {
      subnet_ids         = aws_subnet.private[*].id
      security_group_ids = [aws_security_group.worker[0].id]
    }
  }

  depends_on = [aws_iam_role_policy.worker, aws_iam_role_policy.logs, aws_iam_role_policy_attachment.network]

  lifecycle {
    # The pipeline brings later packages.
    ignore_changes = [s3_key, s3_object_version]

    precondition {
      condition     = var.configuration != null
      error_message = "configuration is missing: the function needs the text of all sites. Build it with deploy/configuration, or set host to container."
    }
    precondition {
      condition     = length(coalesce(var.configuration, "")) + length(jsonencode(var.environment)) < 3900
      error_message = "configuration and environment together are too long: Lambda takes 4 KB of environment. Shorten them, or put the file into the package and set BRIDGE_CONFIG to its path in environment."
    }
  }
}

# The queue and the schedule call the alias, so that a version can be tried on a part of the batches, and taken back.
resource "aws_lambda_alias" "live" {
  count            = local.function ? 1 : 0
  name             = "live"
  description      = "What the queue and the heartbeat call"
  function_name    = aws_lambda_function.worker[0].function_name
  function_version = aws_lambda_function.worker[0].version

  lifecycle {
    ignore_changes = [function_version, routing_config]
  }
}

resource "aws_lambda_event_source_mapping" "events" {
  count                              = local.function ? 1 : 0
  event_source_arn                   = aws_sqs_queue.events.arn
  function_name                      = aws_lambda_alias.live[0].arn
  batch_size                         = var.batch_size
  maximum_batching_window_in_seconds = var.batching_window_seconds
  # Without it Lambda deletes failed messages too.
  function_response_types = ["ReportBatchItemFailures"]
  tags                    = local.tags

  scaling_config {
    maximum_concurrency = var.concurrency_max
  }
}

# The site's heartbeat. EventBridge knows no interval below a minute.
resource "aws_scheduler_schedule" "heartbeat" {
  count               = local.function ? 1 : 0
  name                = "${var.name}-heartbeat"
  description         = "Sends the heartbeat of ${local.site}, and brings what its dead letters owe"
  schedule_expression = "rate(1 minute)"

  flexible_time_window {
    mode = "OFF"
  }

  target {
    arn      = aws_lambda_alias.live[0].arn
    role_arn = aws_iam_role.schedule[0].arn
    input    = jsonencode({ bridge = "heartbeat" })

    # The next minute brings another one.
    retry_policy {
      maximum_retry_attempts       = 0
      maximum_event_age_in_seconds = 60
    }
  }
}

resource "aws_iam_role" "schedule" {
  count = local.function ? 1 : 0
  name  = "${local.global}-heartbeat"
  tags  = local.tags
  assume_role_policy = jsonencode({
    Version = "2012-10-17"
    Statement = [{
      Effect    = "Allow"
      Principal = { Service = "scheduler.amazonaws.com" }
      Action    = "sts:AssumeRole"
      Condition = { StringEquals = { "aws:SourceAccount" = local.account } }
    }]
  })
}

resource "aws_iam_role_policy" "schedule" {
  count = local.function ? 1 : 0
  name  = "invoke"
  role  = aws_iam_role.schedule[0].id
  policy = jsonencode({
    Version = "2012-10-17"
    Statement = [{
      Sid      = "Heartbeat"
      Effect   = "Allow"
      Action   = ["lambda:InvokeFunction"]
      Resource = [aws_lambda_alias.live[0].arn]
    }]
  })
}
