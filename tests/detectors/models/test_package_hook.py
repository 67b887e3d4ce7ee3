"""Hooks of installation, and places that packages come from."""

from __future__ import annotations

import pytest

from poisonscan.detectors.models.package_hook import DETECTOR
from poisonscan.finding import Json
from poisonscan.formats.base import Script, Settings


@pytest.mark.parametrize(
    ("line", "told"),
    [
        ("torch==2.4.0", False),
        ("-e .", False),
        ("git+https://github.com/a/b.git@v1", False),
        ("x @ https://files.pythonhosted.org/x.whl", False),
        ("--extra-index-url https://download.pytorch.org/whl/cu121", False),
        ("# --index-url http://192.0.2.1", False),
        ("--extra-index-url https://pkgs.example.org/simple", True),
        ("--extra-index-url=https://user:pass@pkgs.example.org/simple", True),
        ("-i http://pypi.org/simple", True),
        ("x @ https://192.0.2.1/x.whl", True),
        ("git+https://notgithub.com/a/b.git", True),
        ("git+https://github.com@example.org/a.git", True),
    ],
)
def test_where_packages_come_from(line: str, told: bool) -> None:
    document: Json = ["numpy", line]
    assert bool(list(DETECTOR.check(Settings("r.txt", "requirements", document)))) is told


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("setup(cmdclass={'install': X})", True),
        ("cmdclass = {'egg_info': X, 'build_ext': Y}", True),
        ("setup(cmdclass={'build_ext': BuildExtension})", False),
        ("setup(cmdclass=versioneer.get_cmdclass())", False),
        ("import subprocess\nsubprocess.run(['git', 'describe'])", False),
    ],
)
def test_commands_of_installation(text: str, told: bool) -> None:
    assert bool(list(DETECTOR.check(Script("setup.py", "python", text, "setup")))) is told


def test_odd_documents_do_no_harm() -> None:
    for kind in ("conda", "pyproject", "requirements"):
        for document in ([], [1, None], {}, {"dependencies": 1}, {"build-system": {"requires": 1}}):
            if isinstance(document, list) or kind != "requirements":
                list(DETECTOR.check(Settings("x", kind, document)))  # type: ignore[arg-type]
