"""URLs of files in object stores and on web servers, with and without their credentials.

A URL may carry credentials: `user:password@`, or a signature in its query. What is printed or
written is `Address.shown`, which has none.
"""

from __future__ import annotations

import hashlib
import re
import unicodedata
from dataclasses import dataclass, field
from pathlib import PurePosixPath
from urllib.parse import unquote, urlsplit

from staa_cli.errors import InputError

STORES, WEB = ("s3", "gs", "az"), ("http", "https")
_URL = re.compile(r"([A-Za-z][\w+.-]+)://(.*)", re.DOTALL)
_CHAINED = re.compile(r"[A-Za-z][\w+.-]*::.*://.*", re.DOTALL)
_SUPPORTED = f"it may be at {'://, '.join((*STORES, *WEB))}://; download it first"

_CREDENTIAL = re.compile(
    "sig|token|key|secret|auth|pass|pwd|cred|policy|session|jwt|hmac|access|x-amz|x-goog", re.I
)
"""In the name of a query parameter: its value may be a credential."""
_LONGEST_SHOWN = 40
"""Characters of the longest value of a query parameter that is not taken for a credential."""
_SIGNED = re.compile(
    "x-amz-.*|x-goog-.*|AWSAccessKeyId|GoogleAccessId|Signature|Expires|Key-Pair-Id|Policy", re.I
)
"""Parameters of signed URLs of Amazon, Google, and CloudFront, which differ each time."""
_SIGNED_BY_AZURE = re.compile("s[a-z]{1,2}|spr|sig|sktid|skoid", re.I)
_UNSAFE = re.compile(r'[/\\:*?"<>|]')
_NAME_BYTES = 200


@dataclass(frozen=True, slots=True)
class Address:
    """The URL of one file or folder.

    Args:
        url: complete, possibly with credentials; starts with a supported protocol in lower case.
    """

    url: str = field(repr=False)

    @classmethod
    def parse(cls, text: str) -> Address:
        """The address of a URL.

        Raises:
            InputError: not a URL, or one with a protocol that is not supported.
        """
        match = _URL.fullmatch(text)
        protocol, rest = (match[1].lower(), match[2]) if match else ("", "")
        if protocol not in (*STORES, *WEB):
            raise InputError(
                f"{without_credentials(text)} is a URL, but staa reads only files", _SUPPORTED
            )
        host = re.split("[/?#]", rest, maxsplit=1)[0]
        if not host:
            kind = "server" if protocol in WEB else "bucket"
            raise InputError(f"the URL {without_credentials(text)} has no {kind}")
        try:
            _ = urlsplit(f"{protocol}://{rest}").port
        except ValueError as error:
            text = without_credentials(f"{protocol}://{host}")
            raise InputError(f"{text} is not a URL: {str(error).lower()}") from error
        if protocol in STORES and "::" in rest:
            raise InputError(f"{without_credentials(text)} chains URLs with ::", _SUPPORTED)
        if protocol in STORES and "@" in host:
            raise InputError(
                f"{without_credentials(text)} must not have credentials before the bucket",
                "configure them as the provider's own tools do",
            )
        # Two ways to write one URL; a key of an object store is not encoded.
        return cls(f"{protocol}://{rest.replace(' ', '%20') if protocol in WEB else rest}")

    @property
    def protocol(self) -> str:
        """One of `STORES` and `WEB`."""
        return self.url.partition(":")[0]

    @property
    def is_store(self) -> bool:
        """Whether it is in an object store, whose folders can be listed."""
        return self.protocol in STORES

    @property
    def shown(self) -> str:
        """The URL without credentials: to be printed and written."""
        return without_credentials(self.url)

    @property
    def identity(self) -> str:
        """The URL without what differs each time that it is signed; never printed or written."""
        if self.is_store:
            return self.url
        base, query = _split(self.url)
        parameters = [parameter for parameter in query.split("&") if parameter]
        names = {parameter.partition("=")[0] for parameter in parameters}
        kept = [
            parameter
            for parameter in parameters
            if not _SIGNED.fullmatch(name := parameter.partition("=")[0])
            and not ("sig" in names and _SIGNED_BY_AZURE.fullmatch(name))
        ]
        return f"{base}?{'&'.join(kept)}" if kept else base

    @property
    def name(self) -> str:
        """A safe name for a copy of the file, with its ending if it has one."""
        if self.is_store:
            return safe_name(self.url.rstrip("/").rpartition("/")[2])
        base, _, query = self.identity.partition("?")
        _, _, path = base.partition("://")[2].partition("/")
        name = safe_name(unquote(path.rstrip("/").rpartition("/")[2]) or "index")
        return hashed(name, query) if query else name

    def below(self, path: str) -> Address:
        """The address of a file in this folder of an object store."""
        return Address(f"{self.url.rstrip('/')}/{path}")


def is_url(text: str) -> bool:
    """Whether a text has the form of a URL, or of chained ones."""
    return bool(_URL.fullmatch(text) or _CHAINED.fullmatch(text))


def without_credentials(url: str) -> str:
    """A URL of any protocol without user, password, fragment, and query that may be a credential.

    Only a query in which every parameter is harmless is kept.
    """
    match = _URL.fullmatch(url)
    if match and match[1].lower() in STORES:
        host, slash, key = match[2].partition("/")
        return f"{match[1]}://{host.rpartition('@')[2]}{slash}{key}"
    base, query = _split(url)
    pairs = (parameter.partition("=") for parameter in query.split("&"))
    if any(_CREDENTIAL.search(name) or len(value) > _LONGEST_SHOWN for name, _, value in pairs):
        query = ""
    return f"{base}?{query}" if query else base


def _split(url: str) -> tuple[str, str]:
    """A URL without user and password, up to its query, and the query without the fragment."""
    url = url.partition("#")[0]
    base, _, query = url.partition("?")
    scheme, separator, rest = base.partition("://")
    host, slash, path = rest.partition("/")
    return f"{scheme}{separator}{host.rpartition('@')[2]}{slash}{path}", query


def safe_name(name: str) -> str:
    """A name from elsewhere as a file name: unchanged, or with replaced characters and a hash."""
    safe = _UNSAFE.sub("_", name)
    safe = "".join("_" if unicodedata.category(c) in _CONTROLS else c for c in safe)
    if not safe.strip(". "):  # `..`, above all
        safe = "_"
    if safe == name and len(name.encode()) <= _NAME_BYTES:
        return name
    return hashed(safe, name)


_CONTROLS = ("Cc", "Cs", "Zl", "Zp")


def hashed(name: str, distinct: str) -> str:
    """A file name with a hash of `distinct` before its ending."""
    path = PurePosixPath(name)
    digest = hashlib.sha256(distinct.encode("utf-8", "surrogatepass")).hexdigest()[:8]
    stem = path.stem.encode()[:_NAME_BYTES].decode(errors="ignore")
    return f"{stem}~{digest}{path.suffix[:16]}"
