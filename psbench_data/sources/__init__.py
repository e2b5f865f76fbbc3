"""Readers, one per official on-disk format; each only parses."""
