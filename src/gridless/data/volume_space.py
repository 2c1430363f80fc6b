"""Where the axes of a volume lie in its scanner's world, and the header that its answers keep."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from jaxtyping import Float


@dataclass(frozen=True, eq=False)
class NiftiSpace:
    """Of a file's grid: its affine (voxel indices to world coordinates) and its header. It stands beside samples that were
    read from a file, and nothing but a file of their answer reads it."""

    affine: Float[np.ndarray, "4 4"]
    shape: tuple[int, int, int]
    """Of the grid that the affine belongs to."""
    header: Any
    """A nibabel.Nifti1Header or Nifti2Header, with its extensions."""

    @property
    def voxel_sizes(self) -> tuple[float, float, float]:
        """The lengths of the affine's columns."""
        i, j, k = np.linalg.norm(self.affine[:3, :3], axis=0)
        return float(i), float(j), float(k)

    def affine_of(self, shape: Sequence[int]) -> Float[np.ndarray, "4 4"]:
        """The affine of another grid over the same box: its outer faces stay where they were, so that the centre of the
        first voxel moves by half the difference of the voxels."""
        ratio = np.array(self.shape) / np.array(shape)
        inside = np.eye(4)
        inside[:3, :3], inside[:3, 3] = np.diag(ratio), ratio / 2 - 0.5
        return self.affine @ inside

    def shape_of(self, spacing: Sequence[float]) -> tuple[int, int, int]:
        """How many voxels of about this size fill the box, one at least along each axis. Raises ValueError for a spacing
        that is none."""
        if len(spacing) != 3 or not all(np.isfinite(s) and s > 0 for s in spacing):
            raise ValueError(
                f"spacing is three positive numbers, one for each axis of the file, got {tuple(spacing)}; e.g. 1 1 1"
            )
        i, j, k = (
            max(1, round(n * size / s)) for n, size, s in zip(self.shape, self.voxel_sizes, spacing, strict=True)
        )
        return i, j, k

    def places(self, world: Float[np.ndarray, "*B 3"]) -> dict[str, Float[np.ndarray, "*B"]]:
        """World coordinates as those of a field of this volume, by the names of its axes."""
        voxel = np.asarray(world, np.float64) @ np.linalg.inv(self.affine)[:3, :3].T + np.linalg.inv(self.affine)[:3, 3]
        return {name: voxel[..., a] * size for a, (name, size) in enumerate(zip("ijk", self.voxel_sizes, strict=True))}
