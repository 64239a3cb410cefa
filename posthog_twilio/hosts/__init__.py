"""Adapters for hosts with traps of their own; any other host calls the hooks itself."""
