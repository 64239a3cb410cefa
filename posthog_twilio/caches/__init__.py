"""Where cooldowns are kept: one protocol, one file per store."""
