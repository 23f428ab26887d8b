"""Sealing of records about persons: AES-256-GCM under a key of the archive's own.

A record is sealed whole (its exact bytes), and only what is not about persons stands in plain columns beside it. Every
file has a key of its own, derived with HKDF-SHA256 from the archive's key and a random salt, so a nonce can be the
record's offset and is never used twice under one key. Topic, partition and offset are authenticated with it: a sealed
value cannot be moved to another record. Without a key, in development, records stand unprotected, and the file says so.
"""

from __future__ import annotations

import os
from dataclasses import dataclass
from functools import cached_property
from hashlib import blake2b
from pathlib import Path
from typing import Any, Final

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from cryptography.hazmat.primitives.kdf.hkdf import HKDF

from streams.archive.layout import ArchiveError
from streams.settings import SHORTEST_KEY_BYTES

CIPHER: Final = "AES-256-GCM"
UNPROTECTED: Final = "unprotected"


@dataclass(frozen=True)
class ArchiveKey:
    """The secret that an archive is sealed with; 32 bytes or more. It is never written anywhere."""

    secret: bytes

    @classmethod
    def read(cls, path: str) -> ArchiveKey | None:
        """The key in a file (surrounding white space is dropped), None for no file. Raises `ArchiveError`."""
        if not path:
            return None
        try:
            secret = Path(path).read_bytes().strip()
        except OSError as error:
            raise ArchiveError(f"BORDERFLOW_ARCHIVE_KEY_FILE: {path}: {error.strerror}") from None
        if len(secret) < SHORTEST_KEY_BYTES:
            raise ArchiveError(
                f"BORDERFLOW_ARCHIVE_KEY_FILE: {path} holds {len(secret)} bytes, fewer than {SHORTEST_KEY_BYTES}"
            )
        return cls(secret)

    @cached_property
    def key_id(self) -> str:
        """Tells keys apart in file metadata without telling anything of them."""
        return blake2b(b"borderflow archive key", key=self._short, digest_size=6).hexdigest()

    @property
    def _short(self) -> bytes:
        return self.secret if len(self.secret) <= 64 else blake2b(self.secret).digest()

    @cached_property
    def file_secret(self) -> bytes:
        """What the MAC over a whole file is made with."""
        return self.derive(b"", "file")

    def derive(self, salt: bytes, purpose: str) -> bytes:
        """32 bytes for one file and purpose."""
        return HKDF(hashes.SHA256(), 32, salt, f"borderflow archive {purpose}".encode()).derive(self.secret)


class Seal:
    """Seals and opens the records of one file."""

    def __init__(self, key: ArchiveKey, salt: bytes, topic: str, partition: int) -> None:
        self._aead = AESGCM(key.derive(salt, "records"))
        self._place = f"{topic}\x1f{partition}\x1f".encode()
        self.said = {"cipher": CIPHER, "key": key.key_id, "salt": salt.hex()}

    @classmethod
    def fresh(cls, key: ArchiveKey, topic: str, partition: int) -> Seal:
        """The seal of a file that is about to be written."""
        return cls(key, os.urandom(32), topic, partition)

    @classmethod
    def of_file(cls, said: Any, key: ArchiveKey | None, topic: str, partition: int, file: Path) -> Seal | None:
        """The seal that a file says it has, None when it is unprotected. Raises `ArchiveError`."""
        if said == UNPROTECTED:
            return None
        if not isinstance(said, dict) or said.get("cipher") != CIPHER:
            raise ArchiveError(f"{file}: sealed in a way that this version does not know")
        if key is None:
            raise ArchiveError(f"{file}: sealed; set BORDERFLOW_ARCHIVE_KEY_FILE to read its records")
        if said["key"] != key.key_id:
            raise ArchiveError(f"{file}: sealed with key {said['key']}; BORDERFLOW_ARCHIVE_KEY_FILE holds {key.key_id}")
        return cls(key, bytes.fromhex(said["salt"]), topic, partition)

    def close(self, offset: int, value: bytes) -> bytes:
        """Seal a value."""
        return self._aead.encrypt(offset.to_bytes(12, "big"), value, self._place + str(offset).encode())

    def open(self, offset: int, sealed: bytes) -> bytes:
        """The exact bytes that were sealed. Raises `ArchiveError` when they were altered; name the file around it."""
        try:
            return self._aead.decrypt(offset.to_bytes(12, "big"), sealed, self._place + str(offset).encode())
        except InvalidTag:
            raise ArchiveError(f"the sealed record at offset {offset} was altered, or belongs elsewhere") from None
