# The bridge's own table. Applications may read it, and must not write to it.
# No replica: a global table is written in several regions, where the cloud's own rule decides, which knows no version.

resource "aws_dynamodb_table" "records" {
  name                        = "${var.name}-records"
  billing_mode                = "PAY_PER_REQUEST"
  hash_key                    = "pk"
  deletion_protection_enabled = var.protected
  tags                        = local.tags

  attribute {
    name = "pk"
    type = "S"
  }

  # Tombstones expire by this attribute. It is the only one that the bridge sets.
  ttl {
    attribute_name = "expires_at"
    enabled        = true
  }

  point_in_time_recovery {
    enabled = true
  }

  server_side_encryption {
    enabled     = true
    kms_key_arn = var.key_id
  }
}
