"""Features of libraries that nobody here uses are not imported: 20 MB less in every process.

Libraries try `import x` and go on without it; they are told that x is not installed, as long as leaving_out() lasts.
"""

import sys
from collections.abc import Iterator
from contextlib import contextmanager


@contextmanager
def leaving_out(*packages: str) -> Iterator[None]:
    """Within, importing one of `packages` raises ModuleNotFoundError, unless it is loaded already. None in sys.modules tells Python so."""
    hidden = [package for package in packages if package not in sys.modules]
    sys.modules.update(dict.fromkeys(hidden))  # type: ignore[arg-type]  # the type leaves out what the import system allows
    try:
        yield
    finally:
        for package in hidden:
            del sys.modules[package]
