"""Data sets that the method's authors publish: fetched, checked and unpacked."""
