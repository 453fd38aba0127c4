"""How far a runner is behind."""


class Lag:
    """How far a version is behind; ``error`` is what has stopped it."""

    def __init__(self) -> None:
        self.events: int | None = None
        self.seconds: float | None = None
        self.is_idle = False
        self.error: str | None = None

    def behind(self, events: int | None, seconds: float | None) -> None:
        """Note that there is something to do."""
        self.events, self.seconds, self.is_idle, self.error = events, seconds, False, None

    def rests(self, error: str | None = None) -> None:
        """Note that there is nothing to do, or nothing may be done."""
        self.events, self.seconds, self.is_idle, self.error = 0, 0.0, True, error
