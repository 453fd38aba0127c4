"""Settings of the property tests."""

from hypothesis import HealthCheck, settings

settings.register_profile(  # nothing here is about time
    "patient", deadline=None, suppress_health_check=[HealthCheck.too_slow]
)
settings.load_profile("patient")
