kind = "Tf"
metadata = { name = "tf" }
resource "aws_s3_bucket" "b" {
  count = 2
  acl   = "public-read"
  name  = "x-${var.env}"
}
