"""What all tests of the package share."""

from hypothesis import HealthCheck, settings

settings.register_profile(  # nothing here is about time, and machines are slow at times
    "advanced", deadline=None, suppress_health_check=[HealthCheck.too_slow]
)
settings.load_profile("advanced")
