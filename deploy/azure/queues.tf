# Two queues, and Service Bus's own dead letters below each. The worker reads `events`, and puts what it sets aside into `dead`, with
# a reason: operators replay from there. `events/$DeadLetterQueue` gets what Service Bus itself sets aside after receives_max
# deliveries, or when it expires, without a reason of the bridge: a message there is a fault.

resource "azurerm_servicebus_namespace" "this" {
  name                          = local.unique
  resource_group_name           = azurerm_resource_group.this.name
  location                      = azurerm_resource_group.this.location
  sku                           = var.tier
  capacity                      = var.tier == "Premium" ? var.capacity : 0
  premium_messaging_partitions  = var.tier == "Premium" ? 1 : 0
  local_auth_enabled            = false # No keys: identities alone.
  minimum_tls_version           = "1.2"
  public_network_access_enabled = !local.private || length(try(var.network.allowed_addresses, [])) > 0
  tags                          = local.tags

  dynamic "identity" {
    for_each = var.key_id == null ? [] : [1]
    content {
      type         = "UserAssigned"
      identity_ids = [var.key_identity_id]
    }
  }

  dynamic "customer_managed_key" {
    for_each = var.key_id == null ? [] : [1]
    content {
      key_vault_key_id = var.key_id
      identity_id      = var.key_identity_id
    }
  }

  dynamic "network_rule_set" {
    # Without an address it would be refused: the public address is off then anyway.
    for_each = length(try(var.network.allowed_addresses, [])) > 0 ? [1] : []
    content {
      default_action                = "Deny"
      public_network_access_enabled = true
      trusted_services_allowed      = false
      ip_rules                      = var.network.allowed_addresses
    }
  }
}

locals {
  message_bytes_max = coalesce(var.message_bytes_max, var.tier == "Premium" ? 1048576 : 262144)
  # As the service writes it, or each plan would show a change: PT1M30S, not PT90S.
  lock = join("", [
    "PT", var.lease_seconds >= 60 ? "${floor(var.lease_seconds / 60)}M" : "", var.lease_seconds % 60 > 0 ? "${var.lease_seconds % 60}S" : "",
  ])
  kibibytes = var.tier == "Premium" ? local.message_bytes_max / 1024 : null
}

resource "azurerm_servicebus_queue" "events" {
  name                                 = "${var.name}-events"
  namespace_id                         = azurerm_servicebus_namespace.this.id
  lock_duration                        = local.lock
  max_delivery_count                   = var.receives_max
  default_message_ttl                  = "P${var.retention_days}D"
  dead_lettering_on_message_expiration = true
  max_message_size_in_kilobytes        = local.kibibytes
  requires_session                     = false
  requires_duplicate_detection         = false
  express_enabled                      = false
  batched_operations_enabled           = true
}

# An ordinary queue: a custom handler cannot dead-letter one message. What expires here stays among its own dead letters.
resource "azurerm_servicebus_queue" "dead" {
  name                                 = "${var.name}-events-dead"
  namespace_id                         = azurerm_servicebus_namespace.this.id
  lock_duration                        = local.lock
  max_delivery_count                   = 2000
  default_message_ttl                  = "P${var.dead_letter_retention_days}D"
  dead_lettering_on_message_expiration = true
  max_message_size_in_kilobytes        = local.kibibytes
  requires_session                     = false
  requires_duplicate_detection         = false
  express_enabled                      = false
  batched_operations_enabled           = true
}
