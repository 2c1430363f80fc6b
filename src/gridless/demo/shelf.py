"""What was made for visitors, kept for a while: bounded by count and bytes, the longest unused goes first."""

from collections import OrderedDict
from collections.abc import Callable, Hashable
from threading import Lock
from typing import TypeVar

T = TypeVar("T")


class Shelf:
    """Values by their keys, each with the bytes that it takes. Threads may ask at once; two that ask for the same at the
    same time may both make it."""

    def __init__(self, most: int, most_bytes: int):
        """At most so many values, and so many bytes."""
        self.most, self.most_bytes, self.nbytes = most, most_bytes, 0
        self._kept: OrderedDict[Hashable, tuple[object, int]] = OrderedDict()
        self._lock = Lock()

    def __len__(self) -> int:
        return len(self._kept)

    def keys(self) -> list[Hashable]:
        """The longest unused first."""
        with self._lock:
            return list(self._kept)

    def get(self, key: Hashable, make: Callable[[], T], nbytes: Callable[[T], int]) -> T:
        """The value of the key, made where it is not kept."""
        with self._lock:
            if key in self._kept:
                self._kept.move_to_end(key)
                return self._kept[key][0]  # pyright: ignore[reportReturnType]  a key has values of one type
        value = make()
        size = nbytes(value)
        with self._lock:
            self.nbytes -= self._kept.pop(key, (None, 0))[1]
            self._kept[key], self.nbytes = (value, size), self.nbytes + size
            while len(self._kept) > self.most or (self.nbytes > self.most_bytes and len(self._kept) > 1):
                self.nbytes -= self._kept.popitem(last=False)[1][1]
        return value
