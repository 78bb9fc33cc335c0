#!/usr/bin/env bash
# Gather in .gpu/ what a GPU machine without a network lacks, for benchmarks/gpu.sh: wheels of the packages in pure Python
# that PyTorch and Lightning do not bring, in the versions installed here, and the photos, re-encoded to fit.
#     benchmarks/gpu_pack.sh [PHOTOS [MEGABYTES]]     by default data/horse2zebra and 40
set -euo pipefail
photos=$(realpath "${1:-$(dirname "$0")/../data/horse2zebra}") megabytes=${2:-40}
cd "$(dirname "$0")/.."
python() { command "${PYTHON:-.venv/bin/python}" "$@"; }
rm -rf .gpu
mkdir -p .gpu/wheels
python -m pip freeze | grep -E '^(hydra-core|omegaconf|antlr4-python3-runtime|tifffile)==' \
    | xargs "${PYTHON:-.venv/bin/python}" -m pip wheel --quiet --no-deps --wheel-dir .gpu/wheels
python - "$photos" "$megabytes" <<'PYTHON'
import io
import sys
from pathlib import Path

from PIL import Image

photos, limit = Path(sys.argv[1]), float(sys.argv[2]) * 1e6
files = sorted(file for folder in ("trainA", "trainB", "testA", "testB") for file in (photos / folder).iterdir())


def encoded(file, quality):
    buffer = io.BytesIO()
    Image.open(file).convert("RGB").save(buffer, "JPEG", quality=quality, optimize=True)
    return buffer.getvalue()


# The largest quality at which every twentieth photo takes its share of the room, with 3 % to spare.
sample = files[::20]
quality = 95
while quality > 10 and sum(len(encoded(file, quality)) for file in sample) > 0.97 * limit * len(sample) / len(files):
    quality -= 1
for file in files:
    target = Path(".gpu/photos", file.parent.name, f"{file.stem}.jpg")
    target.parent.mkdir(parents=True, exist_ok=True)
    target.write_bytes(encoded(file, quality))
print(f"{len(files)} photos at JPEG quality {quality}")
PYTHON
du -sh .gpu/wheels .gpu/photos
