# A network of the function's own, with endpoints for SQS, DynamoDB, STS and logs. They cost by the hour; a function needs none of it.

data "aws_availability_zones" "this" {
  state = "available"
}

locals {
  zones      = local.private ? slice(data.aws_availability_zones.this.names, 0, var.network.zones) : []
  nat        = local.private ? var.network.nat : false
  interfaces = local.private ? toset(["sqs", "sts", "logs"]) : toset([])
}

resource "aws_vpc" "this" {
  count                = local.private ? 1 : 0
  cidr_block           = var.network.cidr
  enable_dns_support   = true
  enable_dns_hostnames = true
  tags                 = merge(local.tags, { Name = var.name })
}

resource "aws_default_security_group" "closed" {
  count  = local.private ? 1 : 0
  vpc_id = aws_vpc.this[0].id
}

resource "aws_subnet" "private" {
  count             = length(local.zones)
  vpc_id            = aws_vpc.this[0].id
  availability_zone = local.zones[count.index]
  cidr_block        = cidrsubnet(var.network.cidr, 4, count.index)
  tags              = merge(local.tags, { Name = "${var.name}-private-${count.index}" })
}

resource "aws_route_table" "private" {
  count  = local.private ? 1 : 0
  vpc_id = aws_vpc.this[0].id
  tags   = local.tags
}

resource "aws_route_table_association" "private" {
  count          = length(local.zones)
  subnet_id      = aws_subnet.private[count.index].id
  route_table_id = aws_route_table.private[0].id
}

resource "aws_vpc_endpoint" "interface" {
  for_each            = local.interfaces
  vpc_id              = aws_vpc.this[0].id
  service_name        = "com.amazonaws.${var.region}.${each.key}"
  vpc_endpoint_type   = "Interface"
  private_dns_enabled = true
  subnet_ids          = aws_subnet.private[*].id
  security_group_ids  = [aws_security_group.endpoints[0].id]
  tags                = local.tags
}

resource "aws_vpc_endpoint" "dynamodb" {
  count             = local.private ? 1 : 0
  vpc_id            = aws_vpc.this[0].id
  service_name      = "com.amazonaws.${var.region}.dynamodb"
  vpc_endpoint_type = "Gateway"
  route_table_ids   = [aws_route_table.private[0].id]
  tags              = local.tags
}

resource "aws_security_group" "worker" {
  count       = local.private ? 1 : 0
  name        = "${var.name}-worker"
  description = "The worker of the bridge: nothing comes in"
  vpc_id      = aws_vpc.this[0].id
  tags        = local.tags
}

# 443: all services of both clouds. 5671 (AMQP) only a worker in Azure needs, which receives there.
resource "aws_vpc_security_group_egress_rule" "https" {
  count             = local.private ? 1 : 0
  security_group_id = aws_security_group.worker[0].id
  description       = "The services of both clouds"
  ip_protocol       = "tcp"
  from_port         = 443
  to_port           = 443
  cidr_ipv4         = "0.0.0.0/0"
}

resource "aws_security_group" "endpoints" {
  count       = local.private ? 1 : 0
  name        = "${var.name}-endpoints"
  description = "Endpoints of AWS services, for the worker alone"
  vpc_id      = aws_vpc.this[0].id
  tags        = local.tags
}

resource "aws_vpc_security_group_ingress_rule" "endpoints" {
  count                        = local.private ? 1 : 0
  security_group_id            = aws_security_group.endpoints[0].id
  description                  = "From the worker"
  ip_protocol                  = "tcp"
  from_port                    = 443
  to_port                      = 443
  referenced_security_group_id = aws_security_group.worker[0].id
}

# The way to Azure. One NAT gateway, in the first zone: if that zone fails, events for Azure wait as letters until it is back.
resource "aws_subnet" "public" {
  count             = local.nat ? 1 : 0
  vpc_id            = aws_vpc.this[0].id
  availability_zone = local.zones[0]
  cidr_block        = cidrsubnet(var.network.cidr, 4, 15)
  tags              = merge(local.tags, { Name = "${var.name}-public" })
}

resource "aws_internet_gateway" "this" {
  count  = local.nat ? 1 : 0
  vpc_id = aws_vpc.this[0].id
  tags   = local.tags
}

resource "aws_route_table" "public" {
  count  = local.nat ? 1 : 0
  vpc_id = aws_vpc.this[0].id
  tags   = local.tags
}

resource "aws_route" "public" {
  count                  = local.nat ? 1 : 0
  route_table_id         = aws_route_table.public[0].id
  destination_cidr_block = "0.0.0.0/0"
  gateway_id             = aws_internet_gateway.this[0].id
}

resource "aws_route_table_association" "public" {
  count          = local.nat ? 1 : 0
  subnet_id      = aws_subnet.public[0].id
  route_table_id = aws_route_table.public[0].id
}

resource "aws_eip" "nat" {
  count  = local.nat ? 1 : 0
  domain = "vpc"
  tags   = local.tags
}

resource "aws_nat_gateway" "this" {
  count         = local.nat ? 1 : 0
  allocation_id = aws_eip.nat[0].id
  subnet_id     = aws_subnet.public[0].id
  tags          = local.tags
  depends_on    = [aws_internet_gateway.this]
}

resource "aws_route" "nat" {
  count                  = local.nat ? 1 : 0
  route_table_id         = aws_route_table.private[0].id
  destination_cidr_block = "0.0.0.0/0"
  nat_gateway_id         = aws_nat_gateway.this[0].id
}
