"""Networks: by name, from given weights, cut into backbone and head."""
