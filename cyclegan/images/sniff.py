"""What a file holds, told by its first bytes: its ending may say anything."""

_KINDS = (
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
    (b"PK\x03\x04", "NPZ"),
    (b"PK\x05\x06", "NPZ"),  # with nothing in it
    (b"\0\0\0\x0cjP  \r\n\x87\n", "JPEG2000"),
    (b"\xff\x4f\xff\x51", "JPEG2000"),
)

_STRANGERS = (
    (b"%PDF", "a PDF document"),
    (b"8BPS", "a Photoshop document"),
    (b"\x1f\x8b", "a gzip archive"),
    (b"version https://git-lfs", "the pointer of Git LFS to an image: `git lfs pull` fetches it"),
    (b"\xff\x0a", "a JPEG XL image, which cannot be read here: save it as PNG or JPEG"),
    (b"\x89HDF", "an HDF5 file, which cannot be read here: save its images as TIFF or NPY"),
    (b"SIMPLE  =", "a FITS file, which cannot be read here: save its images as TIFF or NPY"),
)


def kind(start: bytes) -> str | None:
    """The format of a file that starts with these bytes (16 are enough); None if it is no image's."""
    for signature, name in _KINDS:
        if start.startswith(signature):
            return name
    if start[:4] == b"RIFF" and start[8:12] == b"WEBP":
        return "WEBP"
    if start[4:8] == b"ftyp" and start[8:12] in (b"avif", b"avis"):
        return "AVIF"
    if start[:1] == b"P" and start[1:2] in (b"1", b"2", b"3", b"4", b"5", b"6") and start[2:3] in b" \t\r\n#":
        return "PNM"
    return None


def stranger(start: bytes) -> str:
    """In words, what it is that starts with these bytes and is no image (200 are enough)."""
    if not start:
        return "nothing"
    for signature, words in _STRANGERS:
        if start.startswith(signature):
            return words
    if start[4:8] == b"ftyp" and start[8:12] in (b"heic", b"heix", b"hevc", b"mif1", b"msf1"):
        return "a HEIC image, which cannot be read here: save it as JPEG or PNG"
    if not any(start):
        return "zero bytes: it was never written to its end"
    text = start.decode("utf-8", errors="replace")[:-1]  # the last character may be cut
    if text.lstrip("\ufeff \t\r\n")[:9].lower().startswith(("<!doctype", "<html")):
        return "an HTML page: the download gave this in place of the image"
    if "\ufffd" not in text and "".join(text.split()).isprintable():
        return f"text that begins with {text[:40]!r}"
    return f"content of no known kind that begins with the bytes {start[:8].hex(' ')}"
