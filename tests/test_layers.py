"""The shape of the house: who may import whom, and what stands where."""

from __future__ import annotations

import ast
import subprocess
import sys
from pathlib import Path

import pytest

import poisonscan

PACKAGE = Path(poisonscan.__file__).parent
LAYERS = [
    [
        *("run_as_module", "version", "escape", "masking", "plural", "limits", "origin"),
        *("finding", "places", "json_form", "report"),
    ],
    ["spelling"],
    ["marks", "verdict"],
    ["rules"],
    ["sources"],
    ["pickles"],
    ["formats"],
    ["engines"],
    ["datasets"],
    ["detectors"],
    ["confirmation"],
    ["contents", "files"],
    ["isolation"],
    [
        *("agreement", "beside", "further_pictures", "references", "passes", "opening", "remote"),
        *("rounds", "first_rows", "shard_scan", "targets", "vetting", "scan"),
    ],
    ["ignores", "baseline"],
    ["aside", "settings"],
    ["cleaning", "locking", "planting"],
    ["differences"],
    ["reporters"],
    ["cli"],
]
LEVEL = {name: level for level, names in enumerate(LAYERS) for name in names}
TOP = {
    path.stem
    for path in PACKAGE.iterdir()
    if path.suffix == ".py" or (path / "__init__.py").is_file()
}
MODULES = sorted(
    path for path in PACKAGE.rglob("*.py") if path.parent != PACKAGE or path.stem in LEVEL
)


def imported(path: Path) -> set[str]:
    """Parts of poisonscan that a module imports, outside of ``if TYPE_CHECKING``."""
    tree = ast.parse(path.read_text("utf-8"))
    for node in ast.walk(tree):
        if isinstance(node, ast.If) and "TYPE_CHECKING" in ast.dump(node.test):
            node.body = []
    names = set()
    for node in ast.walk(tree):
        if isinstance(node, ast.ImportFrom) and (node.module or "").startswith("poisonscan."):
            names.add((node.module or "").split(".")[1])
        elif isinstance(node, ast.ImportFrom) and node.module == "poisonscan":
            names |= {alias.name for alias in node.names}
        elif isinstance(node, ast.Import):
            names |= {
                alias.name.split(".")[1]
                for alias in node.names
                if alias.name.startswith("poisonscan.")
            }
    return names


@pytest.mark.parametrize("path", MODULES, ids=lambda p: p.relative_to(PACKAGE).as_posix())
def test_imports_go_one_way(path: Path) -> None:
    layer = path.relative_to(PACKAGE).with_suffix("").parts[0]
    for name in imported(path):
        assert LEVEL[name] <= LEVEL[layer], f"{layer} may not import {name}"


def test_every_module_has_a_layer() -> None:
    assert TOP - {"__init__", "__main__"} == set(LEVEL)


@pytest.mark.parametrize(
    "path", sorted(PACKAGE.rglob("*.py")), ids=lambda p: p.relative_to(PACKAGE).as_posix()
)
def test_broad_excepts_are_in_the_flow_only(path: Path) -> None:
    last_resorts = {
        PACKAGE / "files.py",
        PACKAGE / "scan.py",
        PACKAGE / "shard_scan.py",
        PACKAGE / "cli" / "__init__.py",
        PACKAGE / "engines" / "forks.py",  # what a task raises there is raised here
    }
    for node in ast.walk(ast.parse(path.read_text("utf-8"))):
        if isinstance(node, ast.ExceptHandler):
            broad = node.type is None or (
                isinstance(node.type, ast.Name) and node.type.id in ("Exception", "BaseException")
            )
            assert not broad or path in last_resorts, f"line {node.lineno}"


@pytest.mark.parametrize(
    "path", sorted(PACKAGE.rglob("*.py")), ids=lambda p: p.relative_to(PACKAGE).as_posix()
)
def test_nothing_scanned_can_run(path: Path) -> None:
    """No call that loads objects or runs code from data."""
    loaders = {
        "pickle",
        "_pickle",
        "joblib",
        "torch",
        "marshal",
        "dill",
        "cloudpickle",
        "np",
        "numpy",
        "shelve",
    }
    for node in ast.walk(ast.parse(path.read_text("utf-8"))):
        if not isinstance(node, ast.Call):
            continue
        name = (
            node.func.attr if isinstance(node.func, ast.Attribute) else getattr(node.func, "id", "")
        )
        owner = getattr(getattr(node.func, "value", None), "id", "")
        where = f"{owner}.{name} in line {node.lineno}"
        assert not (name in ("load", "loads", "Unpickler") and (not owner or owner in loaders)), (
            where
        )
        # What ``re`` and a database of expressions compile is no code.
        searches = name == "compile" and owner in ("re", "database")
        assert searches or name not in ("eval", "exec", "compile", "__import__"), where
        assert not any(
            keyword.arg == "allow_pickle" and getattr(keyword.value, "value", 1)
            for keyword in node.keywords
        )


def test_files_stay_small() -> None:
    long = {
        p.name: n
        for p in PACKAGE.rglob("*.py")
        if (n := len(p.read_text("utf-8").splitlines())) > 420
    }
    assert long == {}


def test_heavy_libraries_are_imported_by_what_needs_them_only() -> None:
    code = (
        "import sys, poisonscan, poisonscan.cli; "
        "heavy = {'numpy', 'pyarrow', 'datasets', 'sklearn', 'pandas', 'PIL', 'joblib', 'torch'}; "
        "print(sorted(heavy & set(sys.modules)))"
    )
    out = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert out.stdout.strip() == "[]"
