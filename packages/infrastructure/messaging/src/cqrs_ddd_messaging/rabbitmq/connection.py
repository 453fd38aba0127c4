"""One connection to RabbitMQ, opened when it is needed and again after it broke."""

import asyncio
from contextlib import suppress
from typing import Any
from urllib.parse import urlsplit

import aio_pika
from aio_pika.abc import AbstractChannel, AbstractConnection
from aio_pika.exceptions import CONNECTION_EXCEPTIONS, AMQPError

from cqrs_ddd_core import BrokerUnavailableError
from cqrs_ddd_messaging.closing import ClosedAtTheEnd

ConnectionLost = (AMQPError, *CONNECTION_EXCEPTIONS, OSError, RuntimeError)


class RabbitMQConnectionManager(ClosedAtTheEnd):
    """Gives out channels of one connection; publishers and consumers may share it.

    It is a plain connection, not aio-pika's robust one: who uses a channel has to know when it is
    gone, because everything unsettled on it is delivered again.

    Args:
        url: such as ``amqp://user:password@host:5672/vhost``.
        timeout: seconds to wait for a connection.
        **options: whatever ``aio_pika.connect`` takes, such as ``ssl_context``.
    """

    def __init__(self, url: str, *, timeout: float = 10.0, **options: Any) -> None:
        self._url, self._timeout, self._options = url, timeout, options
        self._connection: AbstractConnection | None = None
        self._opening = asyncio.Lock()

    @property
    def place(self) -> str:
        """Where the broker is, without the password."""
        url = urlsplit(self._url)
        return f"{url.hostname}:{url.port or 5672}{url.path}"

    async def open_channel(self, *, publisher_confirms: bool = True) -> AbstractChannel:
        """Return a new channel on which an unroutable message raises.

        Raises:
            BrokerUnavailableError: the broker cannot be reached.
        """
        try:
            async with asyncio.timeout(self._timeout):
                connection = await self._connected()
                return await connection.channel(
                    publisher_confirms=publisher_confirms, on_return_raises=publisher_confirms
                )
        except (*ConnectionLost, TimeoutError) as error:
            raise BrokerUnavailableError(self.place, error) from error

    def another(self) -> "RabbitMQConnectionManager":
        """Return one more, with a connection of its own to the same broker."""
        return RabbitMQConnectionManager(self._url, timeout=self._timeout, **self._options)

    async def close(self) -> None:
        """Close the connection, and with it every channel."""
        connection, self._connection = self._connection, None
        if connection is not None:
            await connection.close()

    async def _connected(self) -> AbstractConnection:
        async with self._opening:
            # ``is_closed`` of a plain connection stays False when the other side ends it.
            if self._connection is not None and not self._connection.connected.is_set():
                with suppress(*ConnectionLost):
                    await self.close()
            connection = self._connection
            if connection is None:
                connection = await aio_pika.connect(self._url, **self._options)
                self._connection = connection
            return connection
