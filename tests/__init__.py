"""Tests of what crosses packages, and the real servers that all tests share."""
