"""What every room stands on: errors, status, seed streams, ulp arithmetic, config base, recorder protocol.

Import from its modules (`from lastbit.core.errors import LastbitError`): the package itself stays empty, so that the
command line can speak of errors without importing torch.
"""
