"""Memo: what was made of an immutable object that cannot be hashed (a config, a schema), remembered by the object's identity."""

from collections import OrderedDict
from collections.abc import Callable
from typing import Generic, TypeVar

K = TypeVar("K")
V = TypeVar("V")


class Memo(Generic[K, V]):
    """Calls `make` once per object and keeps at most `size` results. It keeps the objects too, so an id stays its own."""

    def __init__(self, make: Callable[[K], V], size: int = 512) -> None:
        self._make = make
        self._size = size
        self._made: OrderedDict[int, tuple[K, V]] = OrderedDict()

    def __call__(self, key: K) -> V:
        found = self._made.get(id(key))
        if found is None:
            found = key, self._make(key)
            self._made[id(key)] = found
            while len(self._made) > self._size:
                self._made.popitem(last=False)
        return found[1]

    def __len__(self) -> int:
        return len(self._made)
