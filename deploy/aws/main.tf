# One site of the bridge in AWS: queue, dead-letter queue, table, and a function or a role for a container.

data "aws_caller_identity" "this" {}
data "aws_partition" "this" {}

locals {
  site      = "aws:${var.region}"
  account   = data.aws_caller_identity.this.account_id
  partition = data.aws_partition.this.partition
  function  = var.host == "function"
  private   = var.network != null

  visibility_timeout_seconds = coalesce(var.visibility_timeout_seconds, 6 * var.timeout_seconds)
  day                        = 86400

  # Names of roles and policies are unique in the account, over all regions.
  global = "${var.name}-${var.region}"

  tags = merge(var.tags, { "bridge-site" = replace(local.site, ":", "-") })
}
