"""The environment in which a claim is judged: versions, kind of array, device."""

from __future__ import annotations

import platform
from functools import cache
from importlib import metadata

from .certificate import Environment
from .version import __version__


@cache
def _version(package: str) -> str | None:
    try:
        return metadata.version(package)
    except metadata.PackageNotFoundError:
        return None


def environment(array: str, dtype: str, device: str) -> Environment:
    """Describe this environment, for arrays of this kind and dtype on this device.

    >>> environment("numpy", "float64", "cpu").device
    'cpu'
    """
    names = ("numpy", "scipy", "msgspec", "array-api-compat", "torch", "jax", "jaxlib")
    # All installed versions count, imported or not, so that the same environment always has the same description.
    packages = {name: version for name in names if (version := _version(name)) is not None}
    if device.startswith("cuda") and array == "torch":
        import torch

        device = f"{device} ({torch.cuda.get_device_name(device)})"
    elif device.startswith("cuda") and array == "jax":
        import jax

        device = f"{device} ({jax.devices('cuda')[int(device.partition(':')[2] or 0)].device_kind})"
    return Environment(
        exactness=__version__,
        python=platform.python_version(),
        platform=f"{platform.system()} {platform.machine()}",
        packages=packages,
        array=array,
        dtype=dtype,
        device=device,
    )
