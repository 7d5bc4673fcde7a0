"""Bytes in a home's blob store, as downloads and imports leave them."""

import hashlib

from storage import Home


def stored(home: Home, data: bytes) -> str:
    """Put bytes into the blob store; returns their SHA-256."""
    sha256 = hashlib.sha256(data).hexdigest()
    with home.blobs.temporary() as path:
        path.write_bytes(data)
        home.blobs.adopt(path, sha256)
    return sha256
