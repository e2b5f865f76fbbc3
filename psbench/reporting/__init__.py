"""Tables with published numbers beside measured ones, curves and pictures."""
