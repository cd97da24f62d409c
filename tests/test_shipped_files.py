"""What ships beside the code can be used as it is."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

import pytest
import yaml

from barray.coordinator.config.file import read_config
from barray.coordinator.config.model import SessionConfig

ROOT = Path(__file__).parents[1]


def test_the_example_configs_name_every_section_and_read() -> None:
    named: set[str] = set()
    for path in sorted((ROOT / "examples").glob("*.yaml")):
        config = read_config(path)
        root = "universe/minutes" if config.scans else "bars"
        assert config.sources[0].root == str(ROOT / "examples" / root), path
        named |= set(yaml.safe_load(path.read_text()))
    assert named == set(SessionConfig.model_fields)


@pytest.mark.long
def test_ray_up_accepts_the_cluster_file() -> None:
    """In a process of its own: Ray's validator imports half of Ray."""
    code = (
        "import yaml; from ray.autoscaler._private.util import prepare_config, validate_config\n"
        f"config = prepare_config(yaml.safe_load(open({str(ROOT / 'cluster.yaml')!r})))\n"
        "validate_config(config); print(config['cluster_name'])\n"
        "config['provider'] = 3\n"
        "try: validate_config(config)\n"
        "except Exception: print('refused')\n"
    )
    result = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=60, check=False)
    assert result.stdout.split() == ["barray", "refused"], result.stderr


PAGES = ["README.md", "ARCHITECTURE.md", "CONTRIBUTING.md", "CHANGELOG.md"]
PAGES += [str(path.relative_to(ROOT)) for path in sorted((ROOT / "docs").rglob("*.md"))]


@pytest.mark.parametrize("page", PAGES)
def test_links_between_the_pages_lead_somewhere(page: str) -> None:
    for target in re.findall(r"\]\(([^)#]+)\)", (ROOT / page).read_text()):
        assert target.startswith("https://") or (ROOT / page).parent.joinpath(target).exists(), target


def test_the_commands_in_the_readme_exist() -> None:
    from barray.cli.app import app, attach_app

    def names(commands: list[object]) -> set[str]:
        return {getattr(c, "name", None) or getattr(c, "callback").__name__ for c in commands}  # noqa: B009

    known = names(list(app.registered_commands)) | {"attach", "node"}
    text = (ROOT / "README.md").read_text()
    assert set(re.findall(r"\$ barray ([a-z-]+)", text)) <= known
    assert set(re.findall(r"barray attach ([a-z-]+)", text)) <= names(list(attach_app.registered_commands))


def test_no_shipped_file_names_a_registry() -> None:
    tracked = subprocess.run(["git", "ls-files"], cwd=ROOT, capture_output=True, text=True, check=False).stdout.split()
    hosts = ("pypi." + "org", "pythonhosted." + "org", "npmjs." + "org", "debian." + "org")
    for name in tracked:
        content = (ROOT / name).read_bytes() if (ROOT / name).is_file() else b""
        assert not any(host.encode() in content for host in hosts), name
