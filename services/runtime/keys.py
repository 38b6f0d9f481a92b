"""The public keys that tokens are verified with: a JWKS file (RFC 7517), followed while it changes."""

import json
from collections.abc import Iterator
from pathlib import Path

from joserfc.errors import JoseError
from joserfc.jwk import ECKey, KeySet

from services.runtime import logs, metrics

CURVE = "P-256"
FAULTS = "commerce.keys.faults"


class Keys:
    """The keys of a file as they were when it could last be read. Raises ValueError or OSError when it never could."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._data = path.read_bytes()
        self._fault = ""
        self._take(self._data)

    def key(self, kid: str | None) -> ECKey:
        """Return the key of an id; of none when there is but one. Raises JoseError."""
        key = self._keys.get_by_kid(kid)
        assert isinstance(key, ECKey)
        return key

    def have(self, thumbprint: str) -> bool:
        """Tell whether a key (RFC 7638) has not been withdrawn."""
        return thumbprint in self._thumbprints

    def look(self) -> bool:
        """Take up what the file says now, and tell whether that is something else. What cannot be read is alarming."""
        try:
            data = self._path.read_bytes()
            if data == self._data and not self._fault:
                return False
            self._take(data)
        except (OSError, ValueError) as error:
            self._alarm(f"{type(error).__name__}: {error}")
            return False
        self._data, self._fault = data, ""
        logs.log.info("keys read", keys=len(self._thumbprints))
        return True

    def _take(self, data: bytes) -> None:
        keys = list(_usable(json.loads(data)))
        if not keys:
            raise ValueError(f"no public key of the curve {CURVE}")
        self._keys = KeySet(keys)  # type: ignore[arg-type]
        self._thumbprints = {key.thumbprint() for key in keys}

    def _alarm(self, fault: str) -> None:
        """Count each look in vain; say it once."""
        metrics.count(FAULTS)
        if fault != self._fault:
            self._fault = fault
            logs.log.error("keys not read; the last good ones stay", file=str(self._path), fault=fault)


def _usable(jwks: object) -> Iterator[ECKey]:
    """Yield the keys that can verify ES256. Others may stand beside them (RFC 7517, section 5)."""
    members = jwks.get("keys") if isinstance(jwks, dict) else None
    for member in members if isinstance(members, list) else ():
        try:
            key = ECKey.import_key(member)
            fits = key.get("use", "sig") == "sig" and key.get("alg", "ES256") == "ES256"
            if fits and key.curve_name == CURVE:
                yield key
        except (JoseError, ValueError, KeyError, TypeError, AttributeError):
            continue
