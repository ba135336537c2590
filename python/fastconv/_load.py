"""Loads the compiled core. Import this before ``fastconv._core``.

GNU's OpenMP runtime lets threads without work spin for milliseconds, in case more comes. On cores that other
programs want as well, a thread that has work then waits for one that has none. A spin of about 100 microseconds
covers the Python between two calls, and no more: a training step of LeNet-5 took 5.5 ms on two quiet cores (5.7 with
the runtime's default), 17 ms beside two busy processes (28), and 15 ms beside one (21). The runtime reads its setting
once, when it is loaded; so it is set around that moment, unless the user has chosen, and taken back for the processes
and libraries that come later.
"""

import os

_SETTING, _OTHER_SETTING = "GOMP_SPINCOUNT", "OMP_WAIT_POLICY"
_TURNS = "10000"

if _SETTING in os.environ or _OTHER_SETTING in os.environ:
    from fastconv import _core
else:
    os.environ[_SETTING] = _TURNS
    try:
        from fastconv import _core
    finally:
        del os.environ[_SETTING]

__version__ = _core.__version__
