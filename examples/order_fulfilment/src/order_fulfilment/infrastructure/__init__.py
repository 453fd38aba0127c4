"""Files and databases."""
