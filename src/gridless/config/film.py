"""A model of films: what it sees of time, and how it goes on where it has not learned to look."""

from typing import Literal

from gridless.config.frozen import config
from gridless.config.numbers import Count


@config
class Film:
    """One axis is time. The network sees a window of `frames` frames, of which the first `seen` hold readings, and is told
    the moment that is asked; training on forecasts (task.kind forecast) sets both counts to the task's."""

    frames: Count = 8
    seen: Count = 4
    target: bool = True
    """Tokens know the asked moment, so that every moment has an encoding of its own; false: one for all."""
    readings: Count | None = None
    """The network reads at most so many of a window's readings, strewn evenly (drawn anew in every step of training); the
    base reads all of them. None: all."""
    unroll: Literal["field", "latent"] = "field"
    """Beyond the frames of training: answers at the readings' places become readings of the next window (`field`), or the
    processor goes on from the latents (`latent`)."""

    def __post_init__(self):
        if self.seen >= self.frames:
            raise ValueError(f"film.frames counts what is seen and what is ahead: more than film.seen {self.seen}")

    @property
    def ahead(self) -> int:
        """The frames that a window reaches beyond what is seen."""
        return self.frames - self.seen
