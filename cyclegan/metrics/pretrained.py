"""Weights that others trained and published: read without running code, fetched where they are not there yet."""

import hashlib
import http.client
import logging
import os
import pickle
import struct
import urllib.request
import warnings
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

import torch
from torch import Tensor

from cyclegan.metrics.feature_network import WeightsError

log = logging.getLogger(__name__)

UNREADABLE = (
    pickle.UnpicklingError, RuntimeError, EOFError, LookupError, ValueError, TypeError, AttributeError,
    AssertionError, struct.error,
)  # fmt: skip
"""What torch's reader raises of bytes that are no checkpoint."""

_SILENCE = 20.0  # seconds without a byte: where the network drops packets, waiting would not end


@dataclass(frozen=True)
class Pretrained:
    """A published file of weights.

    Args:
        title: whose weights they are, in words.
        address: where the file is published; its name ends in the first digits of its sha256.
        option: how a file of them is named, in the configuration and on the command line.
        remedy: how to do without them, in words.
    """

    title: str
    address: str
    option: str
    remedy: str

    @property
    def name(self) -> str:
        """The file's name."""
        return PurePosixPath(self.address).name

    @property
    def cached(self) -> Path:
        """Where torch's hub keeps it, and so where other programs that use it have put it."""
        return Path(torch.hub.get_dir()) / "checkpoints" / self.name

    def read(self, path: str | os.PathLike[str] | None = None) -> dict[str, Tensor]:
        """Reads the weights onto the CPU: from `path`, else from the hub's cache, fetched into it if need be.

        Raises:
            WeightsError: there is no such file and none can be fetched, or it holds no weights.
        """
        file = self.cached if path is None else Path(path).expanduser()
        if path is None and not file.is_file():
            self._fetch(file)
        if not file.is_file():
            raise WeightsError(f"no weights of {self.title} at {file}. {self._advice()}")
        try:
            with warnings.catch_warnings():
                warnings.filterwarnings("ignore", "Detected pickle protocol")  # of pickles that torch did not write
                state = torch.load(file, map_location="cpu", weights_only=True)
        except OSError as error:
            raise WeightsError(f"{file} cannot be read: {error}. {self._advice()}") from error
        except UNREADABLE:
            # Not torch's own words: of a photograph they advise to read it with weights_only=False, which runs code.
            raise WeightsError(
                f"{file} is no file of weights as torch writes them, or it is damaged. {self._advice()}"
            ) from None
        if not isinstance(state, dict) or not all(isinstance(value, Tensor) for value in state.values()):
            raise WeightsError(f"{file} holds something else than a dictionary of tensors. {self._advice()}")
        return state

    def foreign(self, path: str | os.PathLike[str] | None, error: RuntimeError) -> WeightsError:
        """What to raise where weights that were read do not fit the network."""
        found = " ".join(str(error).split())[:200]
        return WeightsError(
            f"{path or self.cached} does not hold the weights of {self.title}: {found}. {self._advice()}"
        )

    def _fetch(self, file: Path) -> None:
        log.info("weights   fetching %s (%s)", self.title, self.name)
        unfinished = file.with_name(f".{self.name}.{os.getpid()}.part")
        digest = hashlib.sha256()
        try:
            file.parent.mkdir(parents=True, exist_ok=True)
            try:
                # The address is a library's constant; torch's own function for this has no limit of time.
                with urllib.request.urlopen(self.address, timeout=_SILENCE) as answer, unfinished.open("wb") as out:  # noqa: S310
                    while block := answer.read(1 << 20):
                        digest.update(block)
                        out.write(block)
                if not digest.hexdigest().startswith(Path(self.name).stem.rpartition("-")[2]):
                    raise OSError("what came has another checksum than its name says")
                unfinished.replace(file)
            finally:
                unfinished.unlink(missing_ok=True)
        except (OSError, http.client.HTTPException) as error:
            raise WeightsError(
                f"the weights of {self.title} are not at {file}, and fetching them failed: {error}. {self._advice()}"
            ) from error

    def _advice(self) -> str:
        return (
            f"Get the file {self.name} where there is a network and put it at {self.cached}, or name it by "
            f"{self.option}; {self.remedy}."
        )
