"""What all tests share."""

from hypothesis import HealthCheck, settings

# How fast examples are drawn and run says nothing about the code, only about how busy the machine is.
settings.register_profile("any machine", deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.load_profile("any machine")
