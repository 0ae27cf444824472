"""What holds for all tests."""

import signal

from hypothesis import HealthCheck, settings

# A slow machine is no failure: no test here is about time.
settings.register_profile("farm", deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.load_profile("farm")

# A shell lets what it runs in the background ignore these, and so would the programs that tests interrupt.
signal.signal(signal.SIGINT, signal.default_int_handler)
signal.signal(signal.SIGQUIT, signal.SIG_DFL)
