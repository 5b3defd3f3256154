"""Linear layers that use the faster of torch's two matrix libraries on the CPU.

torch multiplies float32 matrices with Intel's MKL, which uses half the width of the AVX-512 units
of AMD processors. Convolutions use oneDNN, which uses the full width: on such a processor, as a
1 x 1 convolution, a projection of many tokens is 2.2 times as fast.
"""

from __future__ import annotations

import platform
from pathlib import Path

import torch
import torch.nn.functional as F
from torch import Tensor, nn


def vendor() -> str:
    """Vendor of the processor as it identifies itself; empty if the system does not tell."""
    cpuinfo = Path("/proc/cpuinfo")
    if not cpuinfo.is_file():
        return platform.processor().rpartition(", ")[2]  # the last part on Windows
    with cpuinfo.open() as lines:
        line = next((line for line in lines if line.startswith("vendor_id")), "")
    return line.partition(":")[2].strip()


NARROW_MKL = (
    vendor() == "AuthenticAMD"
    and torch.backends.cpu.get_cpu_capability() == "AVX512"
    and torch.backends.mkl.is_available()  # type: ignore[no-untyped-call]
    and torch.backends.mkldnn.is_available()  # type: ignore[no-untyped-call]
)
"""Whether MKL uses half the width of this processor, and oneDNN is available."""
MIN_ROWS, MIN_NUMBERS = 128, 20480
"""Below, there is no gain (rows), or torch does not use oneDNN (numbers)."""


def linear(x: Tensor, weight: Tensor, bias: Tensor | None = None) -> Tensor:
    """The same as torch's `linear` up to rounding, by the faster library.

    Args:
        x: tokens [..., D].
        weight: [D', D].
        bias: [D'].

    Returns:
        [..., D'].
    """
    rows = x.shape[:-1].numel()
    if not (
        NARROW_MKL
        and x.device.type == "cpu"
        and x.dtype == torch.float32
        and rows >= MIN_ROWS
        and x.numel() > MIN_NUMBERS
        and not torch.is_autocast_enabled("cpu")
    ):
        return F.linear(x, weight, bias)
    image = x.reshape(1, rows, 1, -1).permute(0, 3, 1, 2)  # [1, D, rows, 1], channels last
    # Dilation has no effect on a 1 x 1 kernel; without it, torch with one thread uses MKL.
    out = F.conv2d(image, weight[:, :, None, None], bias, dilation=(1, 2))
    return out.permute(0, 2, 3, 1).reshape(*x.shape[:-1], -1)


class Linear(nn.Linear):
    """torch's `Linear` with the same parameters, by `linear`."""

    def forward(self, x: Tensor) -> Tensor:
        """Tokens [..., D] to tokens [..., D']."""
        return linear(x, self.weight, self.bias)
