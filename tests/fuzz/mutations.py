"""Seeded ways to spoil a tree of JSON types, a table of texts, or bytes."""

from __future__ import annotations

import random
from typing import Any

import pyarrow as pa

STRANGE: list[Any] = [
    None, True, False, 0, -1, 1, 10**9, 2**63 - 1, 10**30, 1.5, -0.5, 1e300, float("nan"), "", "x", " ", "\x07", "é",
    "AAPL", "2024-06-05", "2024-13-45", "2024-06-05T13:30:00Z", "1m", "0m", "7m", "300s", "RSI(14)@5m", "SMA(0)@1m",
    "SMA(99999)@1d", "XNYS", "../../etc", "a" * 500, [], {}, [[]], {"a": 1}, ["1m", "1m"], [None], {"": None},
]  # fmt: skip


def places(tree: Any, path: tuple[Any, ...] = ()) -> list[tuple[Any, ...]]:
    """The paths of all inner and outer values, but for the tree itself; of long lists the first few."""
    entries = (
        list(tree.items()) if isinstance(tree, dict) else list(enumerate(tree))[:3] if isinstance(tree, list) else []
    )
    return [one for key, value in entries for one in ((*path, key), *places(value, (*path, key)))]


def spoil(tree: Any, chance: random.Random) -> None:
    """Change one place of the tree: its value, its key, or whether and how often it is there."""
    path = chance.choice(places(tree))
    for key in path[:-1]:
        tree = tree[key]
    key, value = path[-1], tree[path[-1]]
    match chance.randrange(5):
        case 0:
            del tree[key]
        case 1 if isinstance(tree, list):
            tree.insert(chance.randrange(len(tree) + 1), value)
        case 1:
            tree[chance.choice(["x", f"{key}s", str(key).upper(), ""])] = tree.pop(key)
        case 2 if isinstance(value, int | float) and not isinstance(value, bool):
            tree[key] = chance.choice([-value, value + 1, value * 1000, value / 3])
        case _:
            tree[key] = chance.choice(STRANGE)


def spoil_cell(rows: list[list[str]], chance: random.Random) -> None:
    """Change one cell of a table, or leave out or repeat a row or a cell."""
    row = chance.randrange(len(rows))
    column = chance.randrange(len(rows[row]))
    match chance.randrange(5):
        case 0:
            del rows[row]
        case 1:
            rows.insert(row, list(rows[row]))
        case 2:
            del rows[row][column]
        case _:
            rows[row][column] = str(chance.choice(["", "0", "-1", "1e9", "nan", "x", "true", "2024-06-05T13:30:00Z"]))


def spoil_table(table: Any, chance: random.Random) -> Any:
    """A table of bars (Arrow) with other values, another type or name of a column, or other rows."""
    place = chance.randrange(table.num_columns)
    name, rows = table.column_names[place], table.num_rows
    column = table.column(place)
    match chance.randrange(7):
        case 0:
            return table.drop_columns([name])
        case 1:
            return table.rename_columns(
                [chance.choice(["x", "open", ""]) if one == name else one for one in table.column_names]
            )
        case 2:
            return table.take(pa.array(chance.choices(range(rows), k=chance.randrange(rows + 1)), pa.int64()))
        case 3:
            return table.set_column(place, name, column.cast(pa.string()))
        case 4:
            return table.set_column(place, name, pa.array([None] * rows, column.type))
        case _:
            values = column.cast(pa.int64() if place == 0 else pa.float64()).to_pylist()
            near = (
                [0, -1, 1, 2**62, -(2**62), values[-1]]
                if place == 0
                else [0.0, -1.0, 1e300, float("nan"), float("inf"), None]
            )
            values[chance.randrange(rows)] = chance.choice(near)
            kind = pa.int64() if place == 0 else pa.float64()
            changed = pa.array(values, kind)
            return table.set_column(place, name, changed.cast(column.type) if place == 0 else changed)


def spoil_bytes(data: bytes, chance: random.Random) -> bytes:
    """Cut out a few bytes, put others in, or leave the end away."""
    at = chance.randrange(len(data))
    if chance.randrange(4) == 0:
        return data[:at]
    inserted = bytes(chance.randrange(256) for _ in range(chance.randrange(4)))
    return data[:at] + inserted + data[at + chance.randrange(20) :]
