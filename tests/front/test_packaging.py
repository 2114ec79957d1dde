"""The wheel holds exactly the mapped files, and the repo's folders stay out of other apps' way."""

import importlib.util
import subprocess
import sys
import tarfile
import tomllib
import zipfile
from pathlib import Path

import pytest
from packaging.requirements import Requirement

ROOT = Path(__file__).resolve().parents[2]

MAPPED = {
    "src/allotrope": "allotrope",
    "agents": "allotrope/agents",
    "experiments": "allotrope/experiments",
    "graphs": "allotrope/graphs",
    "memory": "allotrope/memory",
    "models": "allotrope/models",
    "prompts": "allotrope/prompts",
    "usage": "allotrope/usage",
}
"""Folder of the repo to folder of the wheel; written out here, not read from pyproject."""

ROOMS = [room for room in MAPPED if "/" not in room]


def expected_files() -> set[str]:
    """Every tracked or new file of the mapped folders, at its place in the wheel."""
    listed = subprocess.run(
        ["git", "ls-files", "--cached", "--others", "--exclude-standard", *MAPPED],
        cwd=ROOT,
        check=True,
        capture_output=True,
        text=True,
    ).stdout.splitlines()
    files = set()
    for name in listed:
        path = ROOT / name
        if path.is_symlink() or not path.is_file():
            continue
        folder = next(folder for folder in MAPPED if name.startswith(folder + "/"))
        files.add(MAPPED[folder] + name.removeprefix(folder))
    return files


@pytest.fixture(scope="module")
def built(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """The sdist and the wheel, built from a clean copy of the tracked files."""
    folder = tmp_path_factory.mktemp("build")
    source, out = folder / "source", folder / "dist"
    listed = subprocess.run(
        ["git", "ls-files", "-z", "--cached", "--others", "--exclude-standard"],
        cwd=ROOT,
        check=True,
        capture_output=True,
    ).stdout
    source.mkdir()
    present = b"\0".join(
        name for name in listed.split(b"\0") if name and (ROOT / name.decode()).exists()
    )
    subprocess.run(
        f"tar --null -T - -cf - | tar -xf - -C {source}",
        shell=True,
        cwd=ROOT,
        check=True,
        input=present,
    )
    subprocess.run(
        [sys.executable, "-m", "build", "--no-isolation", "--outdir", str(out), str(source)],
        check=True,
        capture_output=True,
    )
    return {"wheel": next(out.glob("*.whl")), "sdist": next(out.glob("*.tar.gz"))}


@pytest.mark.slow
def test_the_wheel_holds_exactly_the_mapped_files(built: dict[str, Path]) -> None:
    with zipfile.ZipFile(built["wheel"]) as wheel:
        held = {name for name in wheel.namelist() if not name.split("/")[0].endswith(".dist-info")}
    assert held == expected_files()


@pytest.mark.slow
def test_the_sdist_holds_every_room(built: dict[str, Path]) -> None:
    with tarfile.open(built["sdist"]) as sdist:
        names = {name.partition("/")[2] for name in sdist.getnames()}
    assert {f"{room}/__init__.py" for room in ROOMS} <= names


@pytest.mark.slow
def test_nothing_is_installed_beside_allotrope(built: dict[str, Path]) -> None:
    with zipfile.ZipFile(built["wheel"]) as wheel:
        tops = {name.split("/")[0] for name in wheel.namelist()}
    assert {top for top in tops if not top.endswith(".dist-info")} == {"allotrope"}


@pytest.mark.parametrize("room", ROOMS)
def test_each_link_leads_to_its_room(room: str) -> None:
    link = ROOT / "src" / "allotrope" / room
    assert link.is_symlink()
    assert link.resolve() == ROOT / room


@pytest.mark.parametrize("room", ROOMS)
def test_no_room_can_be_imported_on_its_own(room: str) -> None:
    spec = importlib.util.find_spec(room)
    if spec is not None:  # `agents` is the OpenAI Agents SDK's
        places = [*(spec.submodule_search_locations or []), spec.origin or ""]
        assert not any(str(place).startswith(str(ROOT / room)) for place in places)


def test_it_works_beside_openai_agents() -> None:
    code = "import agents, allotrope.agents as ours; print(agents.Runner, ours.__file__)"
    ran = subprocess.run(
        [sys.executable, "-W", "ignore", "-c", code], cwd="/", capture_output=True, text=True
    )
    assert ran.returncode == 0, ran.stderr
    assert "Runner" in ran.stdout


NEWER = {"annotationlib", "compression"}
"""Modules of the standard library that came after the Python we may run on (3.14)."""


@pytest.mark.parametrize("folder", ["benchmarks", "docs/pictures", "examples"])
def test_no_script_shadows_the_standard_library(folder: str) -> None:
    """A script's own folder comes first on the path: its neighbours win over everything."""
    names = {path.stem for path in (ROOT / folder).glob("*.py")}
    assert names
    assert names.isdisjoint(sys.stdlib_module_names | NEWER)


def test_the_web_framework_takes_no_path_from_a_host_header() -> None:
    """Below 1.0.1 `request.url.path` begins with what stands behind a slash in `Host`."""
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    needs = map(Requirement, project["optional-dependencies"]["web"])
    (starlette,) = [one.specifier for one in needs if one.name == "starlette"]
    assert "1.0.0" not in starlette
    assert "1.0.1" in starlette
