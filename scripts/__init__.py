"""Commands for developers of the toolkit."""
