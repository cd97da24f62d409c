"""Which files of a bucket count where months are written anew under other names, and a manifest says which is meant."""

from __future__ import annotations

import re
from collections.abc import Mapping

import orjson

from barray.data_sources.object_store.store import ObjectStore
from barray.market.errors import DataError, NoDataError

_MANIFEST = "manifest.json"
_WRITTEN_ONCE = re.compile(r"(\d{4}-\d{2}-[0-9a-f]{16})\.parquet")


def counted(store: ObjectStore, directory: str, names: Mapping[str, bool]) -> dict[str, bool]:
    """Names in a directory without those of files that were replaced, or are not counted yet.

    DataError where its manifest can't be read as one, SourceUnavailable where it can't be read.
    """
    found = {name: match[1] for name in names if (match := _WRITTEN_ONCE.fullmatch(name))}
    if not found:
        return dict(names)
    path = f"{directory.rstrip('/')}/{_MANIFEST}".lstrip("/")
    try:
        files = frozenset(orjson.loads(store.read(path))["files"])
    except NoDataError:
        files = frozenset()
    except (ValueError, KeyError, TypeError) as error:
        raise DataError(
            f"{store.at(path)} is no manifest: {error}",
            source=store.source,
            remedy="remove what lies beside it: it will be fetched again",
            code="bad_manifest",
        ) from error
    return {name: is_directory for name, is_directory in names.items() if name not in found or found[name] in files}
