"""The customers of a store."""
