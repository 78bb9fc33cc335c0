"""Where a domain's pictures are: in folders, patterns, lists and shards."""
