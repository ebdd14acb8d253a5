# Logs, alerts and a workbook. deploy/observability has finer ones for Prometheus, from the bridge's own metrics.

resource "azurerm_log_analytics_workspace" "this" {
  count               = local.function ? 1 : 0
  name                = var.name
  resource_group_name = azurerm_resource_group.this.name
  location            = azurerm_resource_group.this.location
  sku                 = "PerGB2018"
  retention_in_days   = var.log_retention_days
  tags                = local.tags
}

resource "azurerm_application_insights" "this" {
  count                        = local.function ? 1 : 0
  name                         = var.name
  resource_group_name          = azurerm_resource_group.this.name
  location                     = azurerm_resource_group.this.location
  workspace_id                 = azurerm_log_analytics_workspace.this[0].id
  application_type             = "other"
  local_authentication_enabled = false
  tags                         = local.tags
}

resource "azurerm_role_assignment" "telemetry" {
  count                = local.function ? 1 : 0
  scope                = azurerm_application_insights.this[0].id
  role_definition_name = "Monitoring Metrics Publisher"
  principal_id         = azurerm_user_assigned_identity.worker.principal_id
  principal_type       = "ServicePrincipal"
}

locals {
  queue_alarms = {
    backlog = {
      queue       = azurerm_servicebus_queue.events.name
      metric      = "ActiveMessages"
      threshold   = 1000
      window      = "PT15M"
      aggregation = "Minimum"
      description = "The queue has held over 1000 messages for 15 minutes: runbooks/lag.md"
    }
    backlog-old = {
      queue       = azurerm_servicebus_queue.events.name
      metric      = "ActiveMessages"
      threshold   = var.waiting_max
      window      = "PT1H"
      aggregation = "Minimum"
      description = "The queue has held over ${var.waiting_max} messages for an hour: runbooks/lag.md"
    }
    # Copies for later are no active messages. A store that is away makes one of each event.
    waiting = {
      queue       = azurerm_servicebus_queue.events.name
      metric      = "ScheduledMessages"
      threshold   = var.waiting_max
      window      = "PT15M"
      aggregation = "Minimum"
      description = "Over ${var.waiting_max} messages have waited for another attempt for 15 minutes: a store is away, or a worker is halted: runbooks/lag.md"
    }
    dead-letters = {
      queue       = azurerm_servicebus_queue.dead.name
      metric      = "ActiveMessages"
      threshold   = 0
      window      = "PT1H"
      aggregation = "Minimum"
      description = "Messages have lain in the bridge's own dead-letter queue for an hour. Each has a reason: runbooks/dead-letters.md"
    }
    set-aside-by-broker = {
      queue       = azurerm_servicebus_queue.events.name
      metric      = "DeadletteredMessages"
      threshold   = 0
      window      = "PT5M"
      aggregation = "Maximum"
      description = "Service Bus set a message aside after ${var.receives_max} deliveries, or it expired. No worker could settle it: runbooks/dead-letters.md"
    }
    letters-expired = {
      queue       = azurerm_servicebus_queue.dead.name
      metric      = "DeadletteredMessages"
      threshold   = 0
      window      = "PT5M"
      aggregation = "Maximum"
      description = "A letter lay for ${var.dead_letter_retention_days} days and expired. It is kept among the dead letters of the dead-letter queue: runbooks/dead-letters.md"
    }
  }
}

resource "azurerm_monitor_metric_alert" "queue" {
  for_each            = local.queue_alarms
  name                = "${var.name}-${each.key}"
  description         = each.value.description
  resource_group_name = azurerm_resource_group.this.name
  scopes              = [azurerm_servicebus_namespace.this.id]
  frequency           = "PT1M"
  window_size         = each.value.window
  severity            = 2
  tags                = local.tags

  criteria {
    metric_namespace = "Microsoft.ServiceBus/namespaces"
    metric_name      = each.value.metric
    aggregation      = each.value.aggregation
    operator         = "GreaterThan"
    threshold        = each.value.threshold

    dimension {
      name     = "EntityName"
      operator = "Include"
      values   = [each.value.queue]
    }
  }

  dynamic "action" {
    for_each = var.alarm_actions
    content {
      action_group_id = action.value
    }
  }
}

# A container has no invocations to count, but it takes its own heartbeats from the queue.
resource "azurerm_monitor_metric_alert" "silence" {
  count               = local.function ? 0 : 1
  name                = "${var.name}-silence"
  description         = "No worker took a message for 5 minutes, not even the heartbeat: runbooks/lag.md"
  resource_group_name = azurerm_resource_group.this.name
  scopes              = [azurerm_servicebus_namespace.this.id]
  frequency           = "PT1M"
  window_size         = "PT5M"
  severity            = 1
  tags                = local.tags

  criteria {
    metric_namespace = "Microsoft.ServiceBus/namespaces"
    metric_name      = "OutgoingMessages"
    aggregation      = "Total"
    operator         = "LessThan"
    threshold        = 1

    dimension {
      name     = "EntityName"
      operator = "Include"
      values   = [azurerm_servicebus_queue.events.name]
    }
  }

  dynamic "action" {
    for_each = var.alarm_actions
    content {
      action_group_id = action.value
    }
  }
}

locals {
  log_alarms = local.function ? merge({
    errors = {
      query       = "requests | where success == false"
      operator    = "GreaterThan"
      threshold   = 0
      description = "Invocations fail: the worker is halted or does not start: runbooks/halted.md"
    }
    }, {
    # A trigger or an app that stands still: no heartbeat, with or without traffic. One for each app, or one would hide the other.
    for name, app in azurerm_function_app_flex_consumption.worker : "silence-${name}" => {
      query       = "requests | where name == 'Heartbeat' and cloud_RoleName == '${app.name}'"
      operator    = "LessThan"
      threshold   = 1
      description = "${name} sent no heartbeat for 5 minutes: runbooks/lag.md"
    }
  }) : {}
}

resource "azurerm_monitor_scheduled_query_rules_alert_v2" "function" {
  for_each             = local.log_alarms
  name                 = "${var.name}-${each.key}"
  description          = each.value.description
  resource_group_name  = azurerm_resource_group.this.name
  location             = azurerm_resource_group.this.location
  scopes               = [azurerm_application_insights.this[0].id]
  evaluation_frequency = "PT5M"
  window_duration      = "PT5M"
  severity             = 1
  # What is over is over: the pipeline looks for alerts that are still fired.
  auto_mitigation_enabled = true
  tags                    = local.tags

  criteria {
    query                   = each.value.query
    time_aggregation_method = "Count"
    operator                = each.value.operator
    threshold               = each.value.threshold
  }

  dynamic "action" {
    for_each = length(var.alarm_actions) > 0 ? [1] : []
    content {
      action_groups = var.alarm_actions
    }
  }
}

resource "azurerm_application_insights_workbook" "site" {
  count               = local.function ? 1 : 0
  name                = uuidv5("url", "https://bridge/${local.unique}")
  display_name        = "bridge ${local.site}"
  resource_group_name = azurerm_resource_group.this.name
  location            = azurerm_resource_group.this.location
  source_id           = lower(azurerm_application_insights.this[0].id)
  tags                = local.tags
  data_json = jsonencode({
    version = "Notebook/1.0"
    items = [for title, query in {
      "Invocations a minute, by result" = "requests | summarize count() by bin(timestamp, 1m), resultCode | render timechart"
      "Duration, 99 of 100"             = "requests | summarize percentile(duration, 99) by bin(timestamp, 1m), name | render timechart"
      "Errors"                          = "traces | where severityLevel >= 3 | project timestamp, message | order by timestamp desc | take 100"
      } : {
      type    = 3
      name    = title
      content = { version = "KqlItem/1.0", title = title, query = query, size = 0, queryType = 0, resourceType = "microsoft.insights/components" }
    }]
  })
}
