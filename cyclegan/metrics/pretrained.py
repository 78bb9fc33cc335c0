"""Published weights: download them once, and read them without running code."""

import http.client
import logging
import os
import pickle
import struct
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

import torch
from torch import Tensor

from cyclegan.errors import WeightsError

log = logging.getLogger(__name__)

UNREADABLE = (
    pickle.UnpicklingError, RuntimeError, EOFError, LookupError, ValueError, TypeError, AttributeError,
    AssertionError, struct.error,
)  # fmt: skip
"""Exceptions of `torch.load(..., weights_only=True)` for bytes that are no checkpoint."""


@dataclass(frozen=True)
class Pretrained:
    """A published file of weights.

    Args:
        title: the network's name for messages.
        address: URL of the file; the file's name ends with the first digits of its sha256.
        option: the option that names a local file, in the configuration and on the command line.
        remedy: how to do without the weights.
    """

    title: str
    address: str
    option: str
    remedy: str

    @property
    def cached(self) -> Path:
        """The file's place in the cache of torch.hub, which other programs share."""
        return Path(torch.hub.get_dir()) / "checkpoints" / PurePosixPath(self.address).name

    def read(self, path: str | os.PathLike[str] | None = None) -> dict[str, Tensor]:
        """Read the weights onto the CPU from `path`, by default from torch.hub's cache, downloading them if needed.

        Raises:
            WeightsError: the file is missing and cannot be downloaded, or it holds no weights.
        """
        file = self.cached if path is None else Path(path).expanduser()
        if path is None and not file.is_file():
            self._download(file)
        if not file.is_file():
            raise WeightsError(f"no weights of {self.title} at {file}. {self._advice()}")
        try:
            state = torch.load(file, map_location="cpu", weights_only=True)
        except UNREADABLE:
            state = None  # without torch's own message: it advises to load with weights_only=False, which runs code
        if not isinstance(state, dict) or not all(isinstance(value, Tensor) for value in state.values()):
            raise WeightsError(f"{file} is damaged or no file of weights. {self._advice()}")
        return state

    def mismatch(self, path: str | os.PathLike[str] | None, error: RuntimeError) -> WeightsError:
        """Return the error for weights that were read and do not fit the network."""
        found = " ".join(str(error).split())[:200]
        return WeightsError(
            f"{path or self.cached} does not hold the weights of {self.title}: {found}. {self._advice()}"
        )

    def _download(self, file: Path) -> None:
        log.info("weights   downloading %s (%s)", self.title, file.name)
        try:
            file.parent.mkdir(parents=True, exist_ok=True)
            torch.hub.download_url_to_file(self.address, str(file), file.stem.rpartition("-")[2], progress=False)
        except (OSError, RuntimeError, http.client.HTTPException) as error:
            raise WeightsError(
                f"the weights of {self.title} are not at {file}, and downloading them failed: {error}. {self._advice()}"
            ) from error

    def _advice(self) -> str:
        return (
            f"Download {self.cached.name} where there is a network and put it at {self.cached}, or name it by "
            f"{self.option}; {self.remedy}."
        )
