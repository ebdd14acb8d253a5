# A network of the function's own, with private endpoints for Service Bus, Cosmos DB and storage. They cost by the hour; a function
# needs none of it. The way to AWS is a NAT gateway, so that the site has one address.

locals {
  endpoints = local.private ? merge({
    servicebus = { id = azurerm_servicebus_namespace.this.id, part = "namespace", zone = "privatelink.servicebus.windows.net" }
    cosmos     = { id = azurerm_cosmosdb_account.this.id, part = "Sql", zone = "privatelink.documents.azure.com" }
    }, local.function ? {
    storage = { id = azurerm_storage_account.packages[0].id, part = "blob", zone = "privatelink.blob.core.windows.net" }
  } : {}) : {}
}

resource "azurerm_virtual_network" "this" {
  count               = local.private ? 1 : 0
  name                = var.name
  resource_group_name = azurerm_resource_group.this.name
  location            = azurerm_resource_group.this.location
  address_space       = [var.network.cidr]
  tags                = local.tags
}

resource "azurerm_subnet" "function" {
  count                           = local.private ? 1 : 0
  name                            = "function"
  resource_group_name             = azurerm_resource_group.this.name
  virtual_network_name            = azurerm_virtual_network.this[0].name
  address_prefixes                = [cidrsubnet(var.network.cidr, 4, 0)]
  default_outbound_access_enabled = false

  delegation {
    name = "function"
    service_delegation {
      name    = "Microsoft.App/environments"
      actions = ["Microsoft.Network/virtualNetworks/subnets/join/action"]
    }
  }
}

resource "azurerm_public_ip" "nat" {
  count               = local.private ? 1 : 0
  name                = "${var.name}-nat"
  resource_group_name = azurerm_resource_group.this.name
  location            = azurerm_resource_group.this.location
  allocation_method   = "Static"
  sku                 = "Standard"
  tags                = local.tags
}

resource "azurerm_nat_gateway" "this" {
  count               = local.private ? 1 : 0
  name                = var.name
  resource_group_name = azurerm_resource_group.this.name
  location            = azurerm_resource_group.this.location
  sku_name            = "Standard"
  tags                = local.tags
}

resource "azurerm_nat_gateway_public_ip_association" "this" {
  count                = local.private ? 1 : 0
  nat_gateway_id       = azurerm_nat_gateway.this[0].id
  public_ip_address_id = azurerm_public_ip.nat[0].id
}

resource "azurerm_subnet_nat_gateway_association" "function" {
  count          = local.private ? 1 : 0
  subnet_id      = azurerm_subnet.function[0].id
  nat_gateway_id = azurerm_nat_gateway.this[0].id
}

resource "azurerm_subnet" "endpoints" {
  count                             = local.private ? 1 : 0
  name                              = "endpoints"
  resource_group_name               = azurerm_resource_group.this.name
  virtual_network_name              = azurerm_virtual_network.this[0].name
  address_prefixes                  = [cidrsubnet(var.network.cidr, 4, 1)]
  private_endpoint_network_policies = "Enabled"
}

resource "azurerm_network_security_group" "this" {
  count               = local.private ? 1 : 0
  name                = var.name
  resource_group_name = azurerm_resource_group.this.name
  location            = azurerm_resource_group.this.location
  tags                = local.tags
}

# Whoever is not in the network does not get to an endpoint.
resource "azurerm_network_security_rule" "this" {
  for_each = local.private ? {
    from-network = { priority = 100, access = "Allow", protocol = "Tcp", source = "VirtualNetwork", ports = ["443", "5671"] }
    nothing-else = { priority = 4000, access = "Deny", protocol = "*", source = "*", ports = ["0-65535"] }
  } : {}
  name                        = each.key
  resource_group_name         = azurerm_resource_group.this.name
  network_security_group_name = azurerm_network_security_group.this[0].name
  priority                    = each.value.priority
  direction                   = "Inbound"
  access                      = each.value.access
  protocol                    = each.value.protocol
  source_address_prefix       = each.value.source
  source_port_range           = "*"
  destination_address_prefix  = "VirtualNetwork"
  destination_port_ranges     = each.value.ports
}

resource "azurerm_subnet_network_security_group_association" "endpoints" {
  count                     = local.private ? 1 : 0
  subnet_id                 = azurerm_subnet.endpoints[0].id
  network_security_group_id = azurerm_network_security_group.this[0].id
}

resource "azurerm_private_dns_zone" "this" {
  for_each            = local.endpoints
  name                = each.value.zone
  resource_group_name = azurerm_resource_group.this.name
  tags                = local.tags
}

resource "azurerm_private_dns_zone_virtual_network_link" "this" {
  for_each            = local.endpoints
  name                = each.key
  private_dns_zone_id = azurerm_private_dns_zone.this[each.key].id
  virtual_network_id  = azurerm_virtual_network.this[0].id
  tags                = local.tags
}

resource "azurerm_private_endpoint" "this" {
  for_each            = local.endpoints
  name                = "${var.name}-${each.key}"
  resource_group_name = azurerm_resource_group.this.name
  location            = azurerm_resource_group.this.location
  subnet_id           = azurerm_subnet.endpoints[0].id
  tags                = local.tags

  private_service_connection {
    name                           = each.key
    private_connection_resource_id = each.value.id
    subresource_names              = [each.value.part]
    is_manual_connection           = false
  }

  private_dns_zone_group {
    name                 = "default"
    private_dns_zone_ids = [azurerm_private_dns_zone.this[each.key].id]
  }
}
