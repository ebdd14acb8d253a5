# What the two clouds share has the same name in deploy/aws/outputs.tf.

output "site" {
  description = "The site's id, for BRIDGE_SITE."
  value       = local.site
}

output "facts" {
  description = "The site as deploy/configuration takes it: the keys of its section, and what the sites must agree on."
  value = {
    site = local.site
    keys = merge({
      service_bus_namespace = "${azurerm_servicebus_namespace.this.name}.servicebus.windows.net"
      queue                 = azurerm_servicebus_queue.events.name
      dead_letter_queue     = azurerm_servicebus_queue.dead.name
      lease_seconds         = var.lease_seconds
      message_bytes_max     = local.message_bytes_max
      cosmos_endpoint       = azurerm_cosmosdb_account.this.endpoint
      database              = azurerm_cosmosdb_sql_database.bridge.name
      container             = azurerm_cosmosdb_sql_container.records.name
      }, length(var.trusted_peers) == 0 ? {} : {
      from_aws_client_id = azurerm_user_assigned_identity.peer[0].client_id
      from_aws_tenant_id = azurerm_user_assigned_identity.peer[0].tenant_id
      from_aws_audience  = var.inbound_audience
    })
    retention_days             = var.retention_days
    dead_letter_retention_days = var.dead_letter_retention_days
    message_bytes_max          = local.message_bytes_max
    peer_time_max_seconds      = var.peer_time_max_seconds
    receives_max               = null
  }
}

output "worker_identity" {
  description = "Principal id of the worker's identity, for trusted_peers of an AWS site (subject) or senders of an Azure site."
  value       = azurerm_user_assigned_identity.worker.principal_id
}

output "worker_client_id" {
  description = "Client id of the worker's identity, for AZURE_CLIENT_ID of a container."
  value       = azurerm_user_assigned_identity.worker.client_id
}

output "issuer" {
  description = "The issuer of this tenant's tokens for managed identities, for trusted_peers of an AWS site."
  value       = "https://sts.windows.net/${data.azurerm_client_config.this.tenant_id}/"
}

output "peer_access" {
  description = "Client id of the identity that workers of other clouds use here. Null without trusted_peers."
  value       = try(azurerm_user_assigned_identity.peer[0].client_id, null)
}

output "queue" {
  description = "The queue that applications send to."
  value       = azurerm_servicebus_queue.events.name
}

output "dead_letter_queue" {
  description = "The bridge's dead-letter queue."
  value       = azurerm_servicebus_queue.dead.name
}

output "store" {
  description = "The account of the container of records."
  value       = azurerm_cosmosdb_account.this.endpoint
}

output "function_names" {
  description = "The function apps that the pipeline deploys to. Empty where host is container."
  value       = [for app in azurerm_function_app_flex_consumption.worker : app.name]
}

output "worker_identity_id" {
  description = "Resource id of the worker's identity, for a Container App."
  value       = azurerm_user_assigned_identity.worker.id
}

output "resource_group" {
  description = "Resource group of the site."
  value       = azurerm_resource_group.this.name
}

output "resource_group_id" {
  description = "Id of that group, for site_resource_group_id of deploy/state/azure."
  value       = azurerm_resource_group.this.id
}

output "egress_addresses" {
  description = "Public addresses from which this site's function reaches other clouds. Empty without network."
  value       = azurerm_public_ip.nat[*].ip_address
}

output "namespace" {
  description = "Name of the Service Bus namespace."
  value       = azurerm_servicebus_namespace.this.name
}
