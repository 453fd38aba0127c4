"""``python -m cqrs_ddd_cli`` is ``cqrs-ddd``."""

from cqrs_ddd_cli.main import main

main()
