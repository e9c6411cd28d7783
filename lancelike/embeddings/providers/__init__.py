"""The embedding functions that come with lancelike, a file each; the registry imports one when first asked for it."""
