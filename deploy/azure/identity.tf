# Identity across the clouds, without a stored secret (docs/identity.md).

# Workers of other clouds to this site: one identity that may only send, and a federated credential for each of them.
resource "azurerm_user_assigned_identity" "peer" {
  count               = length(var.trusted_peers) > 0 ? 1 : 0
  name                = "${var.name}-peer"
  resource_group_name = azurerm_resource_group.this.name
  location            = azurerm_resource_group.this.location
  tags                = local.tags
}

resource "azurerm_federated_identity_credential" "peer" {
  for_each                  = var.trusted_peers
  name                      = each.key
  user_assigned_identity_id = azurerm_user_assigned_identity.peer[0].id
  issuer                    = each.value.issuer
  subject                   = each.value.subject
  audience                  = [var.inbound_audience]
}

resource "azurerm_role_assignment" "peer" {
  count                = length(var.trusted_peers) > 0 ? 1 : 0
  scope                = azurerm_servicebus_queue.events.id
  role_definition_name = "Azure Service Bus Data Sender"
  principal_id         = azurerm_user_assigned_identity.peer[0].principal_id
  principal_type       = "ServicePrincipal"
}

# A worker in Kubernetes is the worker's identity by its service account.
resource "azurerm_federated_identity_credential" "container" {
  for_each                  = var.container_trust
  name                      = each.key
  user_assigned_identity_id = azurerm_user_assigned_identity.worker.id
  issuer                    = each.value.issuer
  subject                   = each.value.subject
  audience                  = ["api://AzureADTokenExchange"]
}
