"""Makes `networks` importable from every folder of tests, and keeps Hypothesis without deadlines."""

from hypothesis import settings

settings.register_profile("steady", deadline=None, max_examples=50, derandomize=True)
settings.load_profile("steady")
