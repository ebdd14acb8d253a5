# Who may do what. docs/rights.md names the call behind each right; tests/deploy compares both with the calls of the binary.

locals {
  key_rights = var.key_id == null ? [] : [{
    Sid      = "Key"
    Effect   = "Allow"
    Action   = ["kms:Decrypt", "kms:GenerateDataKey"]
    Resource = [var.key_id]
  }]

  worker_rights = concat([
    {
      Sid    = "Queue"
      Effect = "Allow"
      Action = [
        "sqs:ReceiveMessage", "sqs:DeleteMessage", "sqs:ChangeMessageVisibility", "sqs:GetQueueAttributes",
        "sqs:SendMessage", # heartbeats
      ]
      Resource = [aws_sqs_queue.events.arn]
    },
    {
      Sid    = "DeadLetters"
      Effect = "Allow"
      Action = [
        "sqs:SendMessage",
        "sqs:ReceiveMessage", "sqs:DeleteMessage", "sqs:ChangeMessageVisibility", "sqs:GetQueueAttributes", # worker.auto_replay
      ]
      Resource = [aws_sqs_queue.dead.arn]
    },
    {
      Sid      = "Store"
      Effect   = "Allow"
      Action   = ["dynamodb:GetItem", "dynamodb:PutItem", "dynamodb:DescribeTable", "dynamodb:DescribeTimeToLive"]
      Resource = [aws_dynamodb_table.records.arn]
    },
    ], var.outbound_audience == null ? [] : [{
      Sid      = "TokenForAzure"
      Effect   = "Allow"
      Action   = ["sts:GetWebIdentityToken"]
      Resource = ["*"]
      Condition = {
        "ForAllValues:StringEquals" = { "sts:IdentityTokenAudience" = [var.outbound_audience] }
        NumericLessThanEquals       = { "sts:DurationSeconds" = 3600 }
      }
  }], local.key_rights)

  # What a worker of another cloud may do here.
  peer_rights = concat([{
    Sid      = "Forward"
    Effect   = "Allow"
    Action   = ["sqs:SendMessage"]
    Resource = [aws_sqs_queue.events.arn]
  }], local.key_rights)

  # For people who run bridge lag, dashboard, replay, verify, doctor, backfill and drill.
  operator_rights = concat([
    {
      Sid    = "Queues"
      Effect = "Allow"
      Action = [
        "sqs:GetQueueAttributes", "sqs:SendMessage", "sqs:ReceiveMessage", "sqs:DeleteMessage", "sqs:ChangeMessageVisibility",
      ]
      Resource = [for queue in local.queues : queue.arn]
    },
    {
      Sid    = "Store"
      Effect = "Allow"
      Action = [
        "dynamodb:GetItem", "dynamodb:PutItem", "dynamodb:Scan", "dynamodb:DescribeTable", "dynamodb:DescribeTimeToLive",
      ]
      Resource = [aws_dynamodb_table.records.arn]
    },
  ], local.key_rights)

  service_trust = jsonencode({
    Version = "2012-10-17"
    Statement = [{
      Effect    = "Allow"
      Principal = { Service = local.function ? "lambda.amazonaws.com" : "ecs-tasks.amazonaws.com" }
      Action    = "sts:AssumeRole"
    }]
  })
}

resource "aws_iam_role" "worker" {
  name               = "${local.global}-worker"
  description        = "The worker of ${local.site}"
  assume_role_policy = local.function ? local.service_trust : coalesce(var.container_trust, local.service_trust)
  tags               = local.tags
}

resource "aws_iam_role_policy" "worker" {
  name   = "bridge"
  role   = aws_iam_role.worker.id
  policy = jsonencode({ Version = "2012-10-17", Statement = local.worker_rights })
}

resource "aws_iam_role_policy" "logs" {
  count = local.function ? 1 : 0
  name  = "logs"
  role  = aws_iam_role.worker.id
  policy = jsonencode({
    Version = "2012-10-17"
    Statement = [{
      Sid      = "Logs"
      Effect   = "Allow"
      Action   = ["logs:CreateLogStream", "logs:PutLogEvents"]
      Resource = ["${aws_cloudwatch_log_group.worker[0].arn}:*"]
    }]
  })
}

# A function in a network has interfaces there. AWS offers no narrower resource for these.
resource "aws_iam_role_policy_attachment" "network" {
  count      = local.function && local.private ? 1 : 0
  role       = aws_iam_role.worker.name
  policy_arn = "arn:${local.partition}:iam::aws:policy/service-role/AWSLambdaENIManagementAccess"
}

resource "aws_iam_policy" "operator" {
  name        = "${local.global}-operator"
  description = "For people who run bridge's commands on ${local.site}"
  policy      = jsonencode({ Version = "2012-10-17", Statement = local.operator_rights })
  tags        = local.tags
}
