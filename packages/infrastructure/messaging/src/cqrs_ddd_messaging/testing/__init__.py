"""What every broker adapter promises, as tests: subclass the suite, provide its fixture, done.

Needs pytest, and pytest-asyncio in auto mode.

    class TestMyBroker(BrokerConformance):
        @pytest.fixture
        async def broker(self) -> AsyncGenerator[BrokerUnderTest]:
            yield MyBrokerUnderTest()
"""

import pytest

pytest.register_assert_rewrite(
    *(f"{__name__}.{name}" for name in ("conformance", "dead_letters", "restarts"))
)

# imported only now, so that a failed assert of a suite shows its values
# ruff: noqa: E402
from cqrs_ddd_messaging.testing.conformance import BrokerConformance
from cqrs_ddd_messaging.testing.restarts import BrokerRestartConformance
from cqrs_ddd_messaging.testing.world import BrokerUnderTest, Handled

__all__ = ["BrokerConformance", "BrokerRestartConformance", "BrokerUnderTest", "Handled"]
