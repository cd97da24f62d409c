"""What an object store's error means: in a line what is wrong and what would mend it, and whether it may pass."""

from __future__ import annotations

import re
from dataclasses import dataclass

from barray.data_sources.environment import storage_keys
from barray.market.reason_codes import ReasonCode

_KEYS = (
    "give the processes that read it keys that may: a role, AWS_PROFILE, or the AWS_… variables of the shell that "
    "started Ray there"
)


@dataclass(frozen=True)
class Fault:
    """`reason` follows the object's name. `passes`: asking again may help."""

    reason: str
    remedy: str
    code: ReasonCode = "source_unavailable"
    passes: bool = False


_KNOWN: tuple[tuple[str, Fault], ...] = (
    ("NO_SUCH_BUCKET|NoSuchBucket", Fault("its bucket does not exist", "correct the bucket's name")),
    (
        r"INVALID_ACCESS_KEY_ID|SIGNATURE|EXPIRED|INVALID_TOKEN|CLIENT_TOKEN_ID|MISSING_AUTHENTICATION|HTTP status 401|"
        r"InvalidAccessKeyId|SignatureDoesNotMatch|ExpiredToken|InvalidToken|status code: 401",
        Fault("the store does not accept the keys", _KEYS, "access_denied"),
    ),
    ("ACCESS_DENIED|HTTP status 403|status code: 403", Fault("access is denied", _KEYS, "access_denied")),
    (
        "HTTP status 301|HTTP status 307|AUTHORIZATION_HEADER_MALFORMED|PermanentRedirect|"
        "AuthorizationHeaderMalformed|incorrectly configured region",
        Fault("its bucket lies in another region", "add ?region=… to its URI, or set AWS_REGION"),
    ),
    (
        "SLOW_DOWN|THROTTLING|HTTP status 429|SlowDown|status code: 429",
        Fault(
            "the store asks for fewer requests", "try again later, or with fewer processes", "throttled", passes=True
        ),
    ),
    (
        "NETWORK_CONNECTION|curlCode|REQUEST_TIMEOUT|Timeout|error sending request|response body error|timed out",
        Fault("cannot be reached", "see whether endpoint and network are there", passes=True),
    ),
    (
        r"SERVICE_UNAVAILABLE|INTERNAL_FAILURE|(HTTP status|status code:) 5\d\d",
        Fault("the store is failing", "try again later", passes=True),
    ),
)
_REGION = re.compile(r"bucket is located in '([^']+)'")
_DETAIL = re.compile(r"during \w+ operation: (.*)")


def explained(error: OSError) -> Fault:
    """The fault that an error of pyarrow or obstore tells of. Keys never stand in it."""
    text = " ".join(str(error).split())
    for pattern, fault in _KNOWN:
        if re.search(pattern, text):
            return _detailed(fault, text)
    return Fault(f"cannot be read: {_hidden(_detail(text) or text)[:160]}", "see whether its storage can be reached")


def _detailed(fault: Fault, text: str) -> Fault:
    region, detail = _REGION.search(text), _detail(text)
    if region:
        told = f"its bucket lies in the region {region[1]}"
        return Fault(told, f"add ?region={region[1]} to its URI, or set AWS_REGION")
    if not fault.passes or not detail:
        return fault
    return Fault(f"{fault.reason}: {_hidden(detail)[:160]}", fault.remedy, fault.code, fault.passes)


def _detail(text: str) -> str:
    found = _DETAIL.search(text)
    said = found[1].rpartition("Details: ")[2] if found else ""
    return "" if said.startswith("No response body") else said.partition(" (Request ID")[0].strip()


def _hidden(text: str) -> str:
    for key in storage_keys().values():
        text = text.replace(key, "***")
    return text
