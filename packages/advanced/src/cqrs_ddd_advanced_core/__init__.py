"""What long-running work needs beyond the core; import from the folders."""
