"""What runs when a repository is installed, or when Python starts, and where packages come from."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from typing import Any, ClassVar, Final

from poisonscan.escape import quote
from poisonscan.finding import Finding, Location
from poisonscan.formats.base import Artifact, Script, Settings
from poisonscan.formats.scripts import Unparsed, parse
from poisonscan.rules import rule

# Commands of setuptools that `pip install` runs. Extensions have builders of their own, which is
# what cmdclass is for in honest packages: build_ext, bdist_wheel, test.
_INSTALLING: Final = frozenset(
    {"install", "develop", "egg_info", "build_py", "editable_wheel", "dist_info", "install_lib",
     "install_data", "install_scripts", "build"}
)  # fmt: skip
_ADDRESS: Final = re.compile(
    r"(?:[a-z0-9]+\+)?([a-z][a-z0-9]*)://(?:[^/@\s]*@)?([^/:\s?#]+)", re.IGNORECASE
)
_INDEX: Final = re.compile(
    r"\s*(?:-i|--index-url|--extra-index-url|-f|--find-links|--trusted-host)[ =]\s*(\S+)"
)
_NUMBERS: Final = re.compile(r"[0-9.]+|\[?[0-9a-f:]*:[0-9a-f:]*\]?")
_PATH_LINE: Final = re.compile(r"^import[ \t].*$", re.MULTILINE)
# Hosts of code and packages whose addresses honest lists of requirements hold.
_HOSTS: Final = (
    "pypi.org", "pythonhosted.org", "github.com", "githubusercontent.com", "gitlab.com",
    "bitbucket.org", "codeberg.org", "gitee.com", "huggingface.co", "pytorch.org", "nvidia.com",
    "googleapis.com", "pyg.org", "flashinfer.ai", "vllm.ai", "anaconda.org", "python.org",
    "tsinghua.edu.cn", "aliyun.com", "ustc.edu.cn", "amd.com", "intel.com", "modelscope.cn",
    "openmmlab.com", "paddlepaddle.org.cn", "dgl.ai", "tencent.com", "huaweicloud.com",
)  # fmt: skip


class PackageHook:
    """Rule PS115."""

    reads: ClassVar[tuple[type[Artifact], ...]] = (Script, Settings)

    def check(self, artifact: Script | Settings) -> Iterator[Finding]:
        """One finding for each hook and each place that packages come from."""
        found = _script(artifact) if isinstance(artifact, Script) else _settings(artifact)
        for what, key in dict(found).items():
            yield rule("PS115").finding(Location(artifact.path), f"{what}.", key=key)


def _script(script: Script) -> Iterator[tuple[str, str]]:
    if script.role == "startup":
        line = _PATH_LINE.search(script.text)
        if line is not None and script.path.lower().endswith(".pth"):
            yield f"Python runs {quote(line.group(), 100)} whenever it starts", "pth"
        else:
            yield "Python imports the file whenever it starts", "startup"
    elif script.role == "setup":
        tree = parse(script.text)
        if isinstance(tree, Unparsed):
            return
        commands = sorted(_commands(tree))
        if commands:
            names = ", ".join(map(quote, commands))
            yield f"Installing runs code of its own, in place of {names}", " ".join(commands)


def _commands(tree: ast.Module) -> set[str]:
    """Commands of installation that ``cmdclass`` replaces."""
    names: set[str] = set()
    for node in ast.walk(tree):
        value: ast.expr | None = None
        if (isinstance(node, ast.keyword) and node.arg == "cmdclass") or (
            isinstance(node, ast.Assign)
            and any(
                isinstance(target, ast.Name) and target.id == "cmdclass" for target in node.targets
            )
        ):
            value = node.value
        if isinstance(value, ast.Dict):
            names |= {str(key.value) for key in value.keys if isinstance(key, ast.Constant)}
    return names & _INSTALLING


def _settings(settings: Settings) -> Iterator[tuple[str, str]]:
    document: Any = settings.document
    if settings.kind == "requirements":
        yield from _requirements(document)
    elif settings.kind == "conda" and isinstance(document, dict):
        for item in _listed(document.get("dependencies")):
            if isinstance(item, dict):
                yield from _requirements(_listed(item.get("pip")))
        for channel in _listed(document.get("channels")):
            yield from _place(str(channel), f"the channel {quote(channel)}")
    elif settings.kind == "pyproject" and isinstance(document, dict):
        build = document.get("build-system")
        if isinstance(build, dict):
            yield from _requirements(_listed(build.get("requires")))
            path = build.get("backend-path")
            if path:
                backend = quote(build.get("build-backend"))
                yield f"Installing runs {backend} from {quote(path)} in the repository", "backend"
        project = document.get("project")
        if isinstance(project, dict):
            yield from _requirements(_listed(project.get("dependencies")))


def _listed(value: object) -> list[Any]:
    return value if isinstance(value, list) else []


def _requirements(lines: list[Any]) -> Iterator[tuple[str, str]]:
    for line in lines:
        text = str(line).strip()
        if text.startswith("#"):
            continue
        index = _INDEX.match(text)
        if index is not None:
            yield from _place(index.group(1), f"{quote(text)}, which")
        else:
            yield from _place(text.partition(" #")[0], f"{quote(text)}, which")


def _place(text: str, subject: str) -> Iterator[tuple[str, str]]:
    """An address of a package or an index, unless it is of a host that is known for them."""
    match = _ADDRESS.search(text)
    if match is None:
        return
    scheme, host = match.group(1).lower(), match.group(2).lower()
    problem = ""
    if _NUMBERS.fullmatch(host):
        problem = "is a number and no name"
    elif scheme in ("http", "ftp", "git"):
        problem = "is asked without encryption"
    elif not any(host == known or host.endswith("." + known) for known in _HOSTS):
        problem = "is no place that packages are known to come from"
    if problem:
        yield f"Packages come from {subject} names {quote(host)}: it {problem}", text[:200]


DETECTOR: Final = PackageHook()
