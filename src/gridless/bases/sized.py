"""A base whose buffers have the sizes of what it was fitted to."""

import torch
from torch import nn


class SizedBuffers(nn.Module):
    """Loaded, buffers take the sizes that were saved, in memory of their own: what was solved before keeps the numbers of
    its time."""

    def __init__(self):
        super().__init__()
        self.register_load_state_dict_pre_hook(_adapt_state)

    def adapt_state(self, state: dict, prefix: str = "") -> None:
        """Makes room for the buffers of a state."""
        for name, buffer in list(self.named_buffers(recurse=False)):
            saved = state.get(prefix + name)
            if saved is not None and saved.ndim == buffer.ndim:
                setattr(self, name, torch.empty(saved.shape, dtype=buffer.dtype, device=buffer.device))


def _adapt_state(module: SizedBuffers, state: dict, prefix: str, *_: object) -> None:
    """By name, so that a model can be pickled."""
    module.adapt_state(state, prefix)
