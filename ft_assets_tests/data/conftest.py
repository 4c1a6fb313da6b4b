"""Property tests of the data layer: no deadline, because a shared machine may be slow at any example."""

from hypothesis import HealthCheck, settings

# 30 examples: the properties are simple, and the whole layer's tests should take seconds.
settings.register_profile(
    "data", deadline=None, max_examples=30, suppress_health_check=[HealthCheck.too_slow]
)
settings.load_profile("data")
