"""The promises of the published documentation, with code of our own."""
