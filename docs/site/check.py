"""Check a built site: no dead link or anchor, no page that none leads to, and nothing loaded from another host.

python docs/site/check.py build/site
"""

import sys
from html.parser import HTMLParser
from pathlib import Path
from urllib.parse import unquote, urlsplit

LOADED = {("script", "src"), ("img", "src"), ("link", "href")}


class Page(HTMLParser):
    """The anchors of a page, and the addresses that it links to or loads."""

    def __init__(self, file: Path) -> None:
        super().__init__()
        self.anchors: set[str] = set()
        self.addresses: list[tuple[str, bool]] = []  # with whether the browser loads it by itself
        self.feed(file.read_text(encoding="utf-8"))

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        for name, value in attrs:
            if name == "id":
                self.anchors.add(value or "")
            elif name in ("href", "src") and ("rel", "canonical") not in attrs:
                self.addresses.append((value or "", (tag, name) in LOADED))


def faults(site: Path) -> list[str]:
    """Return a line for each dead link, page without a link to it, and address on another host that a page loads."""
    pages = {file: Page(file) for file in sorted(site.rglob("*.html")) if file.name != "404.html"}
    found, reached = [], {site / "index.html"}
    for file, page in pages.items():
        for address, loaded in page.addresses:
            link = urlsplit(address)
            if link.scheme or link.netloc:
                if loaded and link.scheme != "data":
                    found.append(f"{file}: loads {address}")
                continue
            target = (file.parent / unquote(link.path)).resolve() if link.path else file.resolve()
            target = target / "index.html" if target.is_dir() else target
            if target != file.resolve():
                reached.add(target)
            anchors = pages[target].anchors if target in pages else {unquote(link.fragment)}
            if not target.is_file() or (link.fragment and unquote(link.fragment) not in anchors):
                found.append(f"{file}: {address} leads nowhere")
    return found + [f"{file}: no page leads here" for file in pages if file not in reached]


if __name__ == "__main__":
    lines = faults(Path(sys.argv[1]).resolve())
    sys.exit("\n".join(lines) or None)
