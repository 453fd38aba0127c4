"""A small shop on the CQRS-DDD Toolkit: takes in invoices, answers with figures."""
