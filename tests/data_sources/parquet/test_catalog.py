"""The catalog: each directory is listed once, and only those a question needs."""

from __future__ import annotations

from collections import Counter

from barray.data_sources.parquet.catalog import Catalog, FileEntry
from barray.data_sources.parquet.layout import Layout
from barray.market.interval import Interval

DAY, MINUTE = Interval.parse("1d"), Interval.parse("1m")


class Tree:
    """A tree given as paths (those ending in / are empty folders) that counts how often each folder is listed."""

    def __init__(self, *paths: str) -> None:
        self.listed: Counter[str] = Counter()
        self._paths = paths

    def __call__(self, directory: str) -> dict[str, bool]:
        self.listed[directory] += 1
        inside = [path[len(directory) :] for path in self._paths if path.startswith(directory)]
        return {path.split("/")[0]: "/" in path for path in inside if path}


def test_only_the_folders_of_the_symbol_asked_are_listed() -> None:
    tree = Tree("AAPL/1m/2024-07-01.parquet", "AAPL/1d/2024-07-01.parquet", "MSFT/1m/2024-07-01.parquet")
    Catalog(Layout("{symbol}/{interval}/{date}.parquet"), tree).entries("AAPL")
    assert tree.listed == {"AAPL/": 1, "AAPL/1d/": 1, "AAPL/1m/": 1}


def test_a_folder_is_listed_once_however_often_it_is_asked_about() -> None:
    tree = Tree("1m/AAPL/2024-07.parquet", "1m/MSFT/2024-07.parquet")
    catalog = Catalog(Layout("{interval}/{symbol}/{month}.parquet"), tree)
    for symbol in ("AAPL", "MSFT", "NONE", "AAPL", "NONE"):
        catalog.entries(symbol)
    assert tree.listed == {"": 1, "1m/AAPL/": 1, "1m/MSFT/": 1, "1m/NONE/": 1}


def test_a_folder_that_holds_files_of_all_symbols_is_listed_once() -> None:
    tree = Tree("1m/AAPL.parquet", "1m/MSFT.parquet", "1d/MSFT.parquet")
    catalog = Catalog(Layout("{interval}/{symbol}.parquet"), tree)
    assert list(catalog.entries("MSFT")) == [MINUTE, DAY]
    assert list(catalog.entries("AAPL")) == [MINUTE]
    assert tree.listed == {"": 1, "1m/": 1, "1d/": 1}


def test_intervals_come_finest_first_and_periods_in_order() -> None:
    tree = Tree("A/1d/2024.parquet", "A/1m/2024.parquet", "A/1m/2023.parquet", "A/5m/2024.parquet")
    entries = Catalog(Layout("{symbol}/{interval}/{year}.parquet"), tree).entries("A")
    assert list(map(str, entries)) == ["1m", "5m", "1d"]
    assert list(entries[MINUTE]) == ["2023", "2024"]
    assert entries[DAY] == {"2024": FileEntry("A/1d/2024.parquet", "2024")}


def test_what_is_no_file_of_the_layout_is_not_seen() -> None:
    tree = Tree(
        "A/README.txt",
        "A/.cache/2024-07-01.parquet",
        "A/notes/2024-07-01.parquet",
        "A/90x/2024-07-01.parquet",
        "A/1m/2024-07-01.parquet",
        "A/1m/2024-07-01.parquet.tmp",
        "A/1m/2024-02-30.parquet",
        "A/1m/2024-13.parquet",
        "A/1m/old/2024-07-02.parquet",
        "A/5m",
    )
    entries = Catalog(Layout("{symbol}/{interval}/{date}.parquet"), tree).entries("A")
    assert {str(interval): list(files) for interval, files in entries.items()} == {"1m": ["2024-07-01"]}


def test_a_folder_in_the_place_of_a_file_is_told_apart() -> None:
    tree = Tree("A/1m/2024-07-01.parquet/", "A/1m/2024-07-02.parquet")
    files = Catalog(Layout("{symbol}/{interval}/{date}.parquet"), tree).entries("A")[MINUTE]
    assert [set(entry.directories) for entry in files.values()] == [{"A/1m/2024-07-01.parquet"}, set()]


def test_a_trees_own_names_of_intervals_are_understood() -> None:
    tree = Tree("A/1Min/2024-07-01.parquet", "A/day/2024-07-01.parquet")
    catalog = Catalog(Layout("{symbol}/{interval}/{date}.parquet"), tree, aliases={"1Min": "1m", "day": "1d"})
    assert list(catalog.entries("A")) == [MINUTE, DAY]


def test_a_layout_without_an_interval_uses_the_one_it_is_given() -> None:
    catalog = Catalog(Layout("{symbol}/{date}.parquet"), Tree("A/2024-07-01.parquet"), MINUTE)
    assert list(catalog.entries("A")) == [MINUTE]


def test_files_of_many_symbols_belong_to_none() -> None:
    tree = Tree("1m/2024-07-01.parquet", "1m/2024-07-02.parquet")
    catalog = Catalog(Layout("{interval}/{date}.parquet"), tree)
    assert list(catalog.entries(None)[MINUTE]) == ["2024-07-01", "2024-07-02"]
    assert tree.listed == {"": 1, "1m/": 1}


def test_a_tree_of_a_thousand_symbols_that_does_not_fit_is_not_listed_whole() -> None:
    tree = Tree(*(f"1m/S{number}/2024-07-01.parquet" for number in range(1_000)))
    assert Catalog(Layout("{symbol}/{interval}/{date}.parquet"), tree).misfit() == "1m/S0/2024-07-01.parquet"
    assert sum(tree.listed.values()) < 10


def test_one_file_that_fits_is_enough_for_a_tree_to_fit() -> None:
    others = [f"a/b{number}/x.parquet" for number in range(300)]
    tree = Tree(*others, "SPY/1m/2024-07-01.parquet")
    assert Catalog(Layout("{symbol}/{interval}/{date}.parquet"), tree).misfit() is None


def test_an_unknown_symbol_has_no_files() -> None:
    catalog = Catalog(Layout("{symbol}/{interval}/{date}.parquet"), Tree("A/1m/2024-07-01.parquet"))
    assert catalog.entries("B") == {}
