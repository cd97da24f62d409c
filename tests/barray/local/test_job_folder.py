"""What travels with a job is the config as it was meant, and what comes back is what was written there."""

from __future__ import annotations

import re
from pathlib import Path

import orjson
import pytest

from barray.cli.submit import _Shown
from barray.coordinator.config.file import read_config
from barray.coordinator.strategies import strategy_source
from barray.local.job_folder import CONFIG, RESULTS, fill, is_packed, packed, unpack
from barray.market.errors import DataError

STRATEGY = (
    "import helper, tools.sums\nfrom barray import Strategy\nclass S(Strategy):\n    def on_bar(self, ctx): ...\n"
)
SETTINGS = """
name: there
session: {start: 2024-07-02, end: 2024-07-03}
symbols: [AAPL, ON]
intervals: [1m, 5m]
indicators: ["RSI(14)@5m"]
history: {trailing_days: 1}
sources:
  - {root: bars, columns: {timestamp: ts}, interval_names: {1Min: 1m}}
  - {type: alpaca, store: store, credentials: keys}
schedule: [{at: "10:30", add_symbol: TSLA}]
strategy: {path: own/strategy.py, parameters: {}}
ray: {address: "10.0.0.1:6379"}
"""


@pytest.fixture
def config(tmp_path: Path) -> Path:
    own = tmp_path / "own"
    (own / "tools").mkdir(parents=True)
    (own / "strategy.py").write_text(STRATEGY)
    (own / "helper.py").write_text("FAST = 3\n")
    (own / "tools/__init__.py").write_text("")
    (own / "tools/sums.py").write_text("import helper\n")
    path = tmp_path / "there.yaml"
    path.write_text(SETTINGS)
    return path


def test_the_config_that_arrives_means_the_same_but_where_it_runs_and_writes(config: Path, tmp_path: Path) -> None:
    folder = tmp_path / "job"
    folder.mkdir()
    here = read_config(config)
    fill(folder, here)
    there = read_config(folder / CONFIG)
    unlike = {name for name in type(here).model_fields if getattr(here, name) != getattr(there, name)}
    assert unlike == {"export", "report", "strategy", "ray"}
    assert there.sources[0].root == str(tmp_path / "bars"), "as the config's own folder has it"
    assert there.ray.address is None
    assert there.export.directory == there.report.directory == str(folder / RESULTS)
    sent, own = strategy_source(there.strategy), strategy_source(here.strategy)
    assert (sent.text, {one.name: one.text for one in sent.siblings}) == (
        own.text,
        {one.name: one.text for one in own.siblings},
    )
    assert {one.name for one in sent.siblings} == {"helper", "tools", "tools.sums"}


def test_results_that_go_to_an_object_store_go_there(config: Path, tmp_path: Path) -> None:
    config.write_text(SETTINGS + "report: {directory: 's3://bucket/out'}\n")
    fill(tmp_path, read_config(config))
    told = orjson.loads((tmp_path / CONFIG).read_bytes())
    assert told["report"] == {"directory": "s3://bucket/out"}
    assert told["export"] == {"directory": RESULTS}


def test_files_come_back_through_a_log_as_they_were(tmp_path: Path) -> None:
    there, here = tmp_path / "there", tmp_path / "here"
    (there / "deep").mkdir(parents=True)
    files = {"report.html": b"<p>" * 5000, "deep/bars.parquet": bytes(range(256)) * 40}
    for name, content in files.items():
        (there / name).write_bytes(content)
    log = "\n".join(["what it said", *packed(there), "and more"])
    assert sorted(unpack(log, here)) == sorted(here / name for name in files)
    assert {name: (here / name).read_bytes() for name in files} == files
    assert unpack("only words\n", here) == []
    assert list(packed(tmp_path / "nothing")) == []


@pytest.mark.parametrize("spoil", [lambda log: log[: len(log) // 2], lambda log: log.replace("A", "B")])
def test_what_was_cut_or_changed_on_its_way_is_refused(tmp_path: Path, spoil: object) -> None:
    (tmp_path / "a").write_bytes(bytes(1000))
    log = "\n".join(packed(tmp_path))
    with pytest.raises(DataError, match="not what it sent"):
        unpack(spoil(log), tmp_path / "here")  # type: ignore[operator]


def test_a_name_that_leads_elsewhere_is_refused(tmp_path: Path) -> None:
    import base64
    import hashlib
    import io
    import zipfile

    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as archive:
        archive.writestr("../evil", "x")
    content = buffer.getvalue()
    log = f"barray-result {base64.b64encode(content).decode()}\nbarray-result : {hashlib.sha256(content).hexdigest()}"
    with pytest.raises(DataError, match="leads elsewhere"):
        unpack(log, tmp_path / "here")
    assert not (tmp_path / "evil").exists()


def test_what_comes_back_as_files_is_not_shown(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "a").write_bytes(bytes(9000))
    text = "\n".join(["one", *packed(tmp_path), "two", ""])
    show = _Shown()
    for piece in re.findall(r"(?s).{1,7}", text):
        show(piece)
    assert capsys.readouterr().out == "one\ntwo\n"
    assert is_packed(next(packed(tmp_path)))
