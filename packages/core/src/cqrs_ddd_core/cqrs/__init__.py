"""cqrs."""
