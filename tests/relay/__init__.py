"""Relays as processes: killed, paused, raced."""
