"""What the documentation shows is run as written."""
