"""Half precision where the machine computes in it; emulated, it would be slower than single."""

import torch


def has_bf16(device: torch.device) -> bool:
    """Whether bf16 products are the device's own."""
    return torch.cuda.is_bf16_supported() if device.type == "cuda" else torch.ops.mkldnn._is_mkldnn_bf16_supported()


def bf16(device: torch.device, wanted: bool = True) -> torch.autocast:
    """A context in which products are bf16 where the device has them; what needs more (a base, positions) keeps it."""
    return torch.autocast(device.type, torch.bfloat16, enabled=wanted and has_bf16(device))
