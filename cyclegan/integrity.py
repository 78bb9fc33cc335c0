"""Whether a checkpoint is whole, told without loading it.

torch.save writes a zip archive, in which every record carries its CRC-32. torch.load does not look at them: a
flipped bit in a weight would be read as it is. Python's zipfile does, so the mark needs no file beside the file.
"""

import os
import zipfile
import zlib
from pathlib import Path


def damage(path: str | os.PathLike[str]) -> str | None:
    """What is wrong with a file that torch.save wrote, in words; None if it is whole.

    Reads all of it, at about the speed of the disk.
    """
    file = Path(path)
    try:
        size = file.stat().st_size
        with zipfile.ZipFile(file) as archive:
            broken = archive.testzip()
    except (zipfile.BadZipFile, zlib.error, EOFError, ValueError, NotImplementedError, RuntimeError) as error:
        # The last two are zipfile's answer to flags and methods that a flipped bit can pretend.
        return f"{size} bytes that are no whole archive: {error}"
    except OSError as error:
        return f"it cannot be read: {error.strerror or error}"
    return None if broken is None else f"its part {broken} does not agree with its checksum"
