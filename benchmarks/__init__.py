"""Measures our code beside hand-written code for the same work."""
