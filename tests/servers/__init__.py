"""Real servers for tests: found where they run, or started for the session."""
