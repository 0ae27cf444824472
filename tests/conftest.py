"""What holds for all tests."""

from hypothesis import HealthCheck, settings

# A slow machine is no failure: no test here is about time.
settings.register_profile("farm", deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.load_profile("farm")
