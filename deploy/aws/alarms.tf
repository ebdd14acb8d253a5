# Logs, alarms and a dashboard. deploy/observability has finer ones for Prometheus, from the bridge's own metrics.

resource "aws_cloudwatch_log_group" "worker" {
  count             = local.function ? 1 : 0
  name              = "/aws/lambda/${var.name}-worker"
  retention_in_days = var.log_retention_days
  kms_key_id        = var.key_id
  tags              = local.tags
}

locals {
  queue_alarms = {
    backlog-old = {
      queue       = aws_sqs_queue.events.name
      metric      = "ApproximateAgeOfOldestMessage"
      threshold   = 300
      periods     = 5
      description = "An event has waited for over 5 minutes: runbooks/lag.md"
    }
    dead-letters = {
      queue       = aws_sqs_queue.dead.name
      metric      = "ApproximateNumberOfMessagesVisible"
      threshold   = 0
      periods     = 60
      datapoints  = 45 # A retry hides a letter for a while.
      description = "Messages have lain in the bridge's own dead-letter queue for an hour. Each has a reason: runbooks/dead-letters.md"
    }
    set-aside-by-broker = {
      queue       = aws_sqs_queue.redrive.name
      metric      = "ApproximateNumberOfMessagesVisible"
      threshold   = 0
      periods     = 1
      description = "SQS set a message aside after ${var.receives_max} deliveries. No worker could settle it: runbooks/dead-letters.md"
    }
  }
  function_alarms = local.function ? {
    errors = {
      metric      = "Errors"
      threshold   = 0
      periods     = 3
      description = "Invocations fail: the worker is halted or does not start: runbooks/halted.md"
    }
    throttles = {
      metric      = "Throttles"
      threshold   = 0
      periods     = 5
      description = "Lambda refuses invocations: the account's concurrency is used up"
    }
  } : {}
}

resource "aws_cloudwatch_metric_alarm" "queue" {
  for_each            = local.queue_alarms
  alarm_name          = "${var.name}-${each.key}"
  alarm_description   = each.value.description
  namespace           = "AWS/SQS"
  metric_name         = each.value.metric
  dimensions          = { QueueName = each.value.queue }
  statistic           = "Maximum"
  comparison_operator = "GreaterThanThreshold"
  threshold           = each.value.threshold
  period              = 60
  evaluation_periods  = each.value.periods
  datapoints_to_alarm = try(each.value.datapoints, each.value.periods)
  treat_missing_data  = "notBreaching"
  alarm_actions       = var.alarm_actions
  ok_actions          = var.alarm_actions
  tags                = local.tags
}

# The age of the oldest message leaves out those that were delivered three times or more. So it does not see a store that is away:
# its messages are hidden until their next attempt.
resource "aws_cloudwatch_metric_alarm" "waiting" {
  alarm_name          = "${var.name}-waiting"
  alarm_description   = "Over ${var.waiting_max} messages have waited or been hidden for 15 minutes: a store is away, or a worker is halted: runbooks/lag.md"
  comparison_operator = "GreaterThanThreshold"
  threshold           = var.waiting_max
  evaluation_periods  = 15
  treat_missing_data  = "notBreaching"
  alarm_actions       = var.alarm_actions
  ok_actions          = var.alarm_actions
  tags                = local.tags

  metric_query {
    id          = "waiting"
    label       = "waiting or hidden"
    expression  = "visible + hidden"
    return_data = true
  }

  dynamic "metric_query" {
    for_each = { visible = "ApproximateNumberOfMessagesVisible", hidden = "ApproximateNumberOfMessagesNotVisible" }
    content {
      id = metric_query.key
      metric {
        namespace   = "AWS/SQS"
        metric_name = metric_query.value
        dimensions  = { QueueName = aws_sqs_queue.events.name }
        period      = 60
        stat        = "Maximum"
      }
    }
  }
}

resource "aws_cloudwatch_metric_alarm" "function" {
  for_each            = local.function_alarms
  alarm_name          = "${var.name}-${each.key}"
  alarm_description   = each.value.description
  namespace           = "AWS/Lambda"
  metric_name         = each.value.metric
  dimensions          = { FunctionName = "${var.name}-worker", Resource = "${var.name}-worker:live" }
  statistic           = "Sum"
  comparison_operator = "GreaterThanThreshold"
  threshold           = each.value.threshold
  period              = 60
  evaluation_periods  = each.value.periods
  treat_missing_data  = "notBreaching"
  alarm_actions       = var.alarm_actions
  ok_actions          = var.alarm_actions
  tags                = local.tags
}

locals {
  # A schedule, a function or a container that stands still: no heartbeat, with or without traffic. A container takes its own
  # heartbeats from the queue.
  silence = local.function ? {
    namespace   = "AWS/Lambda"
    metric      = "Invocations"
    dimensions  = { FunctionName = "${var.name}-worker", Resource = "${var.name}-worker:live" }
    description = "Nothing called the worker for 5 minutes, not even the heartbeat: runbooks/lag.md"
    } : {
    namespace   = "AWS/SQS"
    metric      = "NumberOfMessagesReceived"
    dimensions  = { QueueName = aws_sqs_queue.events.name }
    description = "No worker took a message for 5 minutes, not even the heartbeat: runbooks/lag.md"
  }
}

resource "aws_cloudwatch_metric_alarm" "silence" {
  alarm_name          = "${var.name}-silence"
  alarm_description   = local.silence.description
  namespace           = local.silence.namespace
  metric_name         = local.silence.metric
  dimensions          = local.silence.dimensions
  statistic           = "Sum"
  comparison_operator = "LessThanThreshold"
  threshold           = 1
  period              = 60
  evaluation_periods  = 5
  treat_missing_data  = "breaching"
  alarm_actions       = var.alarm_actions
  ok_actions          = var.alarm_actions
  tags                = local.tags
}

resource "aws_cloudwatch_dashboard" "site" {
  dashboard_name = "${var.name}-${var.region}"
  dashboard_body = jsonencode({
    widgets = [for index, widget in [
      { title = "Messages", stat = "Maximum", metrics = [for queue in local.queues : ["AWS/SQS", "ApproximateNumberOfMessagesVisible", "QueueName", queue.name]] },
      { title = "Oldest message, seconds", stat = "Maximum", metrics = [["AWS/SQS", "ApproximateAgeOfOldestMessage", "QueueName", aws_sqs_queue.events.name]] },
      { title = "Function", stat = "Sum", metrics = [for metric in ["Invocations", "Errors", "Throttles"] : ["AWS/Lambda", metric, "FunctionName", "${var.name}-worker"]] },
      { title = "Duration, milliseconds", stat = "p99", metrics = [["AWS/Lambda", "Duration", "FunctionName", "${var.name}-worker"]] },
      { title = "Store", stat = "Sum", metrics = [for metric in ["ConsumedWriteCapacityUnits", "ConsumedReadCapacityUnits", "WriteThrottleEvents"] : ["AWS/DynamoDB", metric, "TableName", aws_dynamodb_table.records.name]] },
      ] : {
      type       = "metric"
      x          = index % 2 * 12
      y          = floor(index / 2) * 6
      width      = 12
      height     = 6
      properties = merge(widget, { region = var.region, period = 60, view = "timeSeries" })
    }]
  })
}
