"""Where a domain's images are: in folders, patterns, lists and shards."""
