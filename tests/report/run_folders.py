"""Run folders as a training leaves them, with numbers to know again."""

import csv
import io
import json
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

from PIL import Image

PROTOCOL = {
    "images": {"A": 12, "B": 14},
    "distances": {"network": "inception", "antialias": False, "sizes": [8, 299]},
}

ALARMS = [
    {"images": 20, "epoch": 2, "alarm": "checkerboard", "state": "raised", "text": "a pattern"},
    {"images": 30, "epoch": 3, "alarm": "identity", "state": "raised", "text": "identity rises"},
    {"images": 40, "epoch": 4, "alarm": "checkerboard", "state": "cleared", "text": "gone"},
]


def jpeg(colour: str) -> bytes:
    """A small image of one colour."""
    file = io.BytesIO()
    Image.new("RGB", (48, 32), colour).save(file, "JPEG")
    return file.getvalue()


def write_table(path: Path, rows: list[dict[str, Any]]) -> None:
    """Writes metrics.csv, blank where a row has no such metric."""
    with path.open("w", newline="") as file:
        writer = csv.DictWriter(file, list(dict.fromkeys(name for row in rows for name in row)))
        writer.writeheader()
        writer.writerows(rows)


def write_run(folder: Path, epochs: int = 4) -> Path:
    """A whole run of some epochs of 10 images: PSNR 15, 17, 19, 18 and so on in A→B."""
    (folder / "samples").mkdir(parents=True)
    (folder / "validation").mkdir()
    rows = []
    for epoch in range(epochs + 1):
        at = {"images_seen": 10 * epoch, "epoch": float(epoch)}
        psnr = {1: 17.0, 2: 19.0, 3: 18.5}.get(epoch, 15.0 if epoch == 0 else 18.0)
        kid = 0.2 - 0.03 * epoch
        if epoch:
            rows.append({**at, "train/adv_ab": 1 / epoch, "train/adv_ba": 2 / epoch, "lr/generators": 2e-4})
        rows.append(
            {**at, "val/psnr_ab": psnr, "val/psnr_copied_ab": 14.2, "val/kid_ab": kid, "val/kid_spread_ab": 0.01}
            | {"val/variety_ab": 0.5}
        )
        shade = hex(40 + epoch * 20 % 200)[2:]
        (folder / "samples" / f"epoch{epoch:04d}.jpg").write_bytes(jpeg(f"#{shade * 3}"))
    write_table(folder / "metrics.csv", rows)
    (folder / "config.yaml").write_text("name: toy\nseed: 3\n")
    (folder / "validation" / "protocol.json").write_text(json.dumps(PROTOCOL))
    (folder / "alarms.jsonl").write_text("".join(json.dumps(alarm) + "\n" for alarm in ALARMS))
    (folder / "environment.json").write_text(json.dumps({"Python": "3.12.1", "device": "cpu"}))
    return folder


class Page(HTMLParser):
    """A page, read as a browser would: its elements with their attributes, and its text by section.

    Args:
        file: the page.
    """

    def __init__(self, file: Path) -> None:
        super().__init__()
        self.elements: list[tuple[str, dict[str, str | None]]] = []
        self.text: dict[str, str] = {}
        """What is to be read in each section, by its id; blanks made one. Under `script` what scripts hold."""
        self._section = "header"
        self._within = ""
        self.feed(file.read_text(encoding="utf-8"))
        self.text = {section: " ".join(text.split()) for section, text in self.text.items()}

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        """Notes an element."""
        self.elements.append((tag, dict(attrs)))
        self._within = tag
        if tag == "section":
            self._section = dict(attrs)["id"] or ""

    def handle_endtag(self, tag: str) -> None:
        """Leaves scripts and styles."""
        self._within = ""

    def handle_data(self, data: str) -> None:
        """Notes text."""
        where = "script" if self._within in ("script", "style") else self._section
        self.text[where] = self.text.get(where, "") + data + " "

    def find(self, tag: str) -> list[dict[str, str | None]]:
        """The attributes of all elements of a kind."""
        return [attributes for name, attributes in self.elements if name == tag]
