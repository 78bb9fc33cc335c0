"""Recognise the format of a file by its first bytes, whatever its extension."""

START_BYTES = 200
"""Number of first bytes that the functions here need."""

_SIGNATURES = (
    (b"\xff\xd8\xff", "JPEG"),
    (b"\x89PNG\r\n\x1a\n", "PNG"),
    (b"II*\0", "TIFF"),
    (b"MM\0*", "TIFF"),
    (b"II+\0", "TIFF"),  # BigTIFF
    (b"MM\0+", "TIFF"),
    (b"BM", "BMP"),
    (b"GIF87a", "GIF"),
    (b"GIF89a", "GIF"),
    (b"\x93NUMPY", "NPY"),
    (b"\0\0\0\x0cjP  \r\n\x87\n", "JPEG2000"),
    (b"\xff\x4f\xff\x51", "JPEG2000"),
)

_NOT_IMAGES = (
    (b"version https://git-lfs", "it is the pointer of Git LFS to an image: run `git lfs pull`"),
    (b"\xff\x0a", "it is a JPEG XL image, which is not supported: save it as PNG or JPEG"),
    (b"PK", "it is a zip archive or NPZ file, which is not supported: save each image as NPY"),
)


def image_kind(start: bytes) -> str | None:
    """Return the format of an image file that starts with these bytes; None for other files."""
    for signature, name in _SIGNATURES:
        if start.startswith(signature):
            return name
    if start[:4] == b"RIFF" and start[8:12] == b"WEBP":
        return "WEBP"
    if start[4:8] == b"ftyp" and start[8:12] in (b"avif", b"avis"):
        return "AVIF"
    if start[:2] in (b"P4", b"P5", b"P6") and start[2:3] in b" \t\r\n#":
        return "PNM"
    return None


def describe_content(start: bytes) -> str:
    """Describe a file that is not an image and starts with these bytes, for an error message."""
    if not start:
        return "it is empty"
    for signature, words in _NOT_IMAGES:
        if start.startswith(signature):
            return words
    if start[4:8] == b"ftyp" and start[8:12] in (b"heic", b"heix", b"hevc", b"mif1", b"msf1"):
        return "it is a HEIC image, which is not supported: save it as JPEG or PNG"
    if not any(start):
        return "it starts with zero bytes, as after an interrupted download"
    text = start.decode("utf-8", errors="replace")[:-1]  # the last character may be cut
    if text.lstrip("\ufeff \t\r\n")[:9].lower().startswith(("<!doctype", "<html")):
        return "it is an HTML page, which a server sent instead of the image"
    if "\ufffd" not in text and "".join(text.split()).isprintable():
        return f"it is text that begins with {text[:40]!r}"
    return f"it is of no known format and begins with the bytes {start[:8].hex(' ')}"
