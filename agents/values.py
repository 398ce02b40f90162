"""value: the frozen dataclass of what every turn makes anew."""

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import TypeVar, dataclass_transform, overload

T = TypeVar("T")


@overload
def value(cls: type[T]) -> type[T]: ...
@overload
def value(*, kw_only: bool) -> Callable[[type[T]], type[T]]: ...
@dataclass_transform(frozen_default=True, kw_only_default=True, field_specifiers=(field,))
def value(cls: type[T] | None = None, *, kw_only: bool = True) -> type[T] | Callable[[type[T]], type[T]]:
    """`@dataclass(frozen=True, slots=True, kw_only=True)` to whoever checks types; at run time nobody pays for the lock.

    A frozen dataclass sets its fields through object.__setattr__, which takes four times as long: 4 % of a turn.
    """
    made = dataclass(slots=True, kw_only=kw_only, unsafe_hash=True)
    return made if cls is None else made(cls)
