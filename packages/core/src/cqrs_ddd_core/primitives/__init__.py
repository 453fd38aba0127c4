"""Errors, ids, clock and resource names: what everything else stands on."""
