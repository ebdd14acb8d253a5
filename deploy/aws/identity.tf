# Identity across the clouds, without a stored secret (docs/identity.md).

# This site's worker to Azure: STS signs a token that says who the role is. Azure trusts the account's issuer and this role.
resource "aws_iam_outbound_web_identity_federation" "this" {
  count = var.outbound_audience != null && var.enable_outbound_federation ? 1 : 0
}

# Workers of other clouds to this site: IAM trusts their issuer; the role accepts one subject of each.
resource "aws_iam_openid_connect_provider" "peer" {
  for_each       = var.enable_inbound_federation ? toset([for peer in values(var.trusted_peers) : peer.issuer]) : toset([])
  url            = each.key
  client_id_list = [var.inbound_audience]
  tags           = local.tags
}

# One role for all of them: a site's section of the configuration names one. Each statement accepts one worker.
resource "aws_iam_role" "peer" {
  count                = length(var.trusted_peers) > 0 ? 1 : 0
  name                 = "${local.global}-peer"
  description          = "What workers of other clouds may do at ${local.site}"
  max_session_duration = 3600
  tags                 = local.tags
  assume_role_policy = jsonencode({
    Version = "2012-10-17"
    Statement = [for name, peer in var.trusted_peers : {
      Sid       = replace(title(replace(name, "/[^A-Za-z0-9]/", " ")), " ", "")
      Effect    = "Allow"
      Principal = { Federated = "arn:${local.partition}:iam::${local.account}:oidc-provider/${trimprefix(peer.issuer, "https://")}" }
      Action    = "sts:AssumeRoleWithWebIdentity"
      Condition = {
        StringEquals = {
          "${trimprefix(peer.issuer, "https://")}:sub" = peer.subject
          "${trimprefix(peer.issuer, "https://")}:aud" = var.inbound_audience
        }
      }
    }]
  })
  depends_on = [aws_iam_openid_connect_provider.peer]
}

resource "aws_iam_role_policy" "peer" {
  count  = length(var.trusted_peers) > 0 ? 1 : 0
  name   = "bridge"
  role   = aws_iam_role.peer[0].id
  policy = jsonencode({ Version = "2012-10-17", Statement = local.peer_rights })
}
