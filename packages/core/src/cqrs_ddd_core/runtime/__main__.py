"""``python -m cqrs_ddd_core.runtime module:attribute`` runs a worker until a signal."""

import argparse
import asyncio
import logging
import sys
from pathlib import Path

from cqrs_ddd_core.primitives.errors import ConfigurationError
from cqrs_ddd_core.runtime.process import serve_reference
from cqrs_ddd_core.runtime.worker import ExitCode


def main() -> int:
    """Read the command line, run, and return the exit code."""
    parser = argparse.ArgumentParser(prog="python -m cqrs_ddd_core.runtime", description=__doc__)
    parser.add_argument("reference", metavar="module:attribute", help="a worker, or what gives one")
    parser.add_argument("--health-file", type=Path, help="where to keep the status, for probes")
    parser.add_argument("--log-level", default="info", help="debug, info, warning or error")
    arguments = parser.parse_args()
    logging.basicConfig(
        level=arguments.log_level.upper(),
        format="%(asctime)s %(levelname)-7s %(name)s: %(message)s",
    )
    try:
        serving = serve_reference(arguments.reference, health=arguments.health_file)
        return asyncio.run(serving)
    except ConfigurationError as error:
        sys.stderr.write(f"Error: {error}\n")
        return ExitCode.CONFIGURATION


if __name__ == "__main__":
    sys.exit(main())
