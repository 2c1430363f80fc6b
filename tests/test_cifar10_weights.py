"""The weights `cifar10-mamba-ginr`: small pictures from 4,096 numbers, smooth between their pixels."""

import pytest
import torch

import gridless as gl
from gridless.bases import Interpolation
from gridless.scoring.metrics import psnr

data = pytest.importorskip("skimage.data")


@pytest.fixture(scope="module")
def pictures() -> torch.Tensor:
    cat = torch.from_numpy(data.chelsea()).float().div(255)[:288, :448]
    small = torch.nn.functional.avg_pool2d(cat.permute(2, 0, 1), 3).permute(1, 2, 0)
    return torch.stack([small[y : y + 32, x : x + 32] for y in (0, 32, 64) for x in (0, 40, 80, 112)])


@pytest.fixture(scope="module")
def field(pictures):
    return gl.FieldModel.from_pretrained("cifar10-mamba-ginr").encode(gl.Samples.from_grid(pictures))


def test_pictures_come_back(field, pictures):
    with torch.no_grad():
        answers = field.to_grid(scale=1)
    assert psnr(answers.numpy(), pictures.numpy()) > 52


@pytest.mark.parametrize("side", [64, 128])
def test_between_the_pixels_it_is_smooth(field, pictures, side):
    coords = gl.grid(side, side).expand(len(pictures), -1, -1)
    with torch.no_grad():
        answers, smooth = field(coords), Interpolation("bicubic").solve(field.samples)(coords)
    assert psnr(answers.numpy(), smooth.numpy()) > 44
