"""Starts and ends the servers of compose.yaml, and says which ones are reachable."""

import shutil
import socket
import subprocess
from contextlib import closing
from pathlib import Path

import typer
from rich.console import Console
from rich.table import Table

COMPOSE_FILE = Path(__file__).parents[1] / "compose.yaml"
PORTS = {
    "postgres": 5432,
    "mariadb": 3306,
    "redis": 6379,
    "rabbitmq": 5672,
    "kafka": 9092,
    "mongodb": 27017,
    "sqs": 9324,
}

app = typer.Typer(help="The servers that the tests use.", no_args_is_help=True)


@app.command()
def up(names: list[str] | None = None) -> None:
    """Start all servers, or those named, and wait until they serve."""
    compose("up", "--detach", "--wait", *(names or []))


@app.command()
def down() -> None:
    """End the servers and remove what they hold."""
    compose("down", "--volumes")


@app.command()
def status() -> None:
    """Say which servers are reachable on their default ports, whoever started them."""
    table = Table("server", "port", "reachable")
    for name, port in PORTS.items():
        table.add_row(name, str(port), "yes" if is_reachable(port) else "no")
    Console().print(table)


def is_reachable(port: int) -> bool:
    """Whether something listens on ``port`` on loopback."""
    with closing(socket.socket()) as probe:
        probe.settimeout(1)
        return probe.connect_ex(("127.0.0.1", port)) == 0


def compose(*arguments: str) -> None:
    """Run Docker Compose, and exit as it does."""
    docker = shutil.which("docker")
    if docker is None:
        typer.echo("There is no docker here. The tests start private servers by themselves.")
        raise typer.Exit(1)
    command = [docker, "compose", "--file", str(COMPOSE_FILE), *arguments]
    raise typer.Exit(subprocess.run(command, check=False).returncode)


if __name__ == "__main__":
    app()
