"""What Python source does when it runs: the references and calls that mean something."""

from __future__ import annotations

import ast
import enum
import functools
import re
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Final

from poisonscan.detectors.models.script_moments import Moment, units
from poisonscan.detectors.models.script_names import COMPUTED, Names
from poisonscan.escape import quote
from poisonscan.formats.scripts import Unparsed, parse
from poisonscan.rules import folder, read_yaml


class Weight(enum.IntEnum):
    """How much an act means: ordinary, unusual beside a model, or nothing that is honest."""

    MILD = 0
    UNUSUAL = 1
    EVIL = 2


@dataclass(frozen=True, slots=True)
class Act:
    """Something that code does.

    Attributes:
        name: what it uses, as a dotted path.
        what: what that does; goes on a sentence that begins with the name.
        weight: how much it means.
        moment: when it happens at the earliest.
        line: where, from 1.
    """

    name: str
    what: str
    weight: Weight
    moment: Moment
    line: int


@dataclass(frozen=True, slots=True)
class Lists:
    """``rules/acts.yaml``."""

    acts: Mapping[str, str]
    runs: Mapping[str, str]
    sends: Mapping[str, str]
    mild: Mapping[str, str]
    fetches: frozenset[str]
    decodes: frozenset[str]


@functools.cache
def lists() -> Lists:
    """What names do."""
    content = read_yaml(folder() / "acts.yaml")
    sets = (frozenset(content[name]) for name in ("fetches", "decodes"))
    return Lists(*(content[name] for name in ("acts", "runs", "sends", "mild")), *sets)


FETCH_AND_RUN: Final = re.compile(
    r"\b(?:curl|wget)\b[^\n|;&]{1,500}\|\s*(?:sudo\s+)?(?:ba|z|da|k)?sh\b"
    r"|\b(?:ba|z)?sh\b\s+(?:-c\s+)?[\"']?(?:<\(|\$\()\s*(?:curl|wget)\b",
)
BACKDOOR: Final = re.compile(
    r"/dev/(?:tcp|udp)/|\bn(?:c|cat|etcat)\b[^\n|;]{0,80}\s-[a-z]*[ec]\b\s*/?\S*sh\b"
    r"|\bbase64\s+(?:-d|-D|--decode)\b[^\n|;]{0,80}\|\s*(?:sudo\s+)?(?:\S+/)?(?:ba|z|k|da)?(?:sh|python3?)\b"
    r"|\bpowershell\b[^\n]{0,120}\s-(?:e|en|enc|encodedcommand)\s+[A-Za-z0-9+/=]{16}"
    r"|\b(?:iex|invoke-expression)\b[^\n]{0,80}\b(?:downloadstring|net\.webclient|iwr|irm)\b"
    r"|\b(?:downloadstring|invoke-webrequest|iwr|irm)\b[^\n]{0,200}\|\s*iex\b"
    r"|\bmkfifo\b[^\n]{0,200}\b(?:nc|sh)\b|>>?\s*\S*\.ssh/authorized_keys|\|\s*crontab\s+-"
    r"|\bcertutil\b[^\n]{0,80}-(?:urlcache|decode)\b|\bbitsadmin\b[^\n]{0,80}/transfer",
    re.IGNORECASE,
)
_SECRETS: Final = re.compile(
    r"\.ssh/(?:id_|authorized_keys)|\.aws/credentials|/etc/(?:shadow|cron|ld\.so\.preload|sudoers)"
    r"|\.(?:bashrc|bash_profile|zshrc|profile)$|\.config/autostart|LaunchAgents|/var/spool/cron"
    r"|(?:site|user)customize\.py$|\.netrc$|\.git-credentials$|\.kube/config$|\.docker/config\.json$"
    r"|huggingface/token$|Start Menu.Programs.Startup|Login Data$|wallet\.dat$|CurrentVersion.Run\b"
)
_FILES: Final = frozenset(
    {"builtins.open", "io.open", "codecs.open", "os.open", "pathlib.Path", "os.path.expanduser",
     "os.path.join", "shutil.copy", "shutil.copyfile", "pathlib.Path.home", "os.path.exists"}
)  # fmt: skip
_MACHINE: Final = frozenset(
    {"socket.gethostname", "getpass.getuser", "platform.node", "platform.uname", "os.getlogin",
     "os.uname", "psutil.net_if_addrs", "uuid.getnode"}
)  # fmt: skip
# Of what runs code: unusual even if nothing shows where the code comes from.
_ALWAYS_UNUSUAL: Final = frozenset(
    {"builtins.exec", "builtins.execfile", "marshal.load", "marshal.loads", "imp.load_source",
     "imp.load_module", "runpy.run_path", "runpy.run_module", "types.CodeType"}
)  # fmt: skip
_UNPICKLE: Final = frozenset({"pickle.loads", "_pickle.loads", "cloudpickle.loads", "dill.loads"})
_OWN_GLOBALS: Final = frozenset({"builtins.globals()", "builtins.locals()"})
_WITHIN: Final = frozenset({"os", "posix", "nt", "subprocess", "builtins", "pty", "sys"})
_WALKED: Final = 5_000
_DEEPEST: Final = 3


def acts(tree: ast.Module, depth: int = 0, *, served: bool = False) -> Iterator[Act]:
    """Everything that a file does, in no order; one act may come more than once.

    Args:
        tree: of the file.
        depth: strings with source around it.
        served: a model server calls functions of the file by their names.
    """
    reading = _Reading(Names.of(tree), depth)
    reading.learn(tree)
    for unit in units(tree, served=served):
        inner: set[int] = set()
        for node in unit.nodes:
            for name, what, weight in reading.look(node, inner):
                line = getattr(node, "lineno", 1)
                yield Act(name, what, weight, unit.moment, line)


Seen = tuple[str, str, Weight]


class _Reading:
    """Looks at nodes, knowing the names of the file and which of them hold decoded data."""

    def __init__(self, names: Names, depth: int) -> None:
        self.names = names
        self.depth = depth
        self.hidden: set[str] = set()
        self.redirects = False

    def learn(self, tree: ast.Module) -> None:
        """Find variables that hold decoded or fetched data, and functions that return it."""
        returned: dict[str, list[ast.expr]] = {}
        for node in ast.walk(tree):
            if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
                returned[node.name] = _returned(node)
            elif isinstance(node, ast.Attribute) and node.attr == "dup2":
                self.redirects = self.names.dotted(node) == "os.dup2" or self.redirects
        for _ in range(3):
            before = len(self.hidden)
            for name, values in (*self.names.assigned.items(), *returned.items()):
                if name not in self.hidden and any(map(self.source, values[:8])):
                    self.hidden.add(name)
            if len(self.hidden) == before:
                break

    def source(self, node: ast.AST) -> str:
        """What hides or fetches the data that an expression uses; empty if nothing does."""
        known = lists()
        for inner in _some(node):
            if isinstance(inner, ast.Call):
                name = self.names.dotted(inner.func)
                if name in known.decodes or name in known.fetches:
                    return name
            if isinstance(inner, ast.Name) and inner.id in self.hidden:
                return inner.id
        return ""

    def look(self, node: ast.AST, inner: set[int]) -> Iterator[Seen]:
        """What one node does; ``inner`` holds those that were part of one that was looked at."""
        if isinstance(node, ast.Attribute | ast.Name) and isinstance(node.ctx, ast.Load):
            value: ast.expr = node
            while isinstance(value, ast.Attribute):
                value = value.value
                inner.add(id(value))
            if id(node) not in inner:
                yield from self._reference(self.names.dotted(node))
            yield from _through_globals(node)
        elif isinstance(node, ast.Call):
            yield from self._call(node)
        elif isinstance(node, ast.Subscript) or (
            isinstance(node, ast.BinOp) and isinstance(node.op, ast.Div)
        ):
            yield from self._rest(node)

    def _reference(self, name: str) -> Iterator[Seen]:
        what = lists().acts.get(name)
        if what is None and name.startswith("ctypes."):
            what = lists().acts.get(".".join(name.split(".")[:2]))
        if what is not None:
            reverse = self.redirects and name in ("socket.socket", "socket.create_connection")
            yield name, what, Weight.EVIL if reverse else Weight.UNUSUAL

    def _rest(self, node: ast.Subscript | ast.BinOp) -> Iterator[Seen]:
        if isinstance(node, ast.BinOp):
            text = self.names.constant(node.right)
            if isinstance(text, str) and _SECRETS.search(text):
                yield text, "is a file with secrets, or one that is run at login", Weight.EVIL
            return
        name = self.names.dotted(node)
        yield from self._reference(name)
        known = self.names.constant(node.slice) if isinstance(node.ctx, ast.Load) else None
        if known == "__builtins__" and self.names.dotted(node.value) not in _OWN_GLOBALS:
            yield known, "is looked up in what other code knows", Weight.UNUSUAL
        if name in lists().runs:
            yield name, "runs code, and is looked up in an unusual way", Weight.UNUSUAL

    def _call(self, node: ast.Call) -> Iterator[Seen]:
        known = lists()
        name = self.names.dotted(node.func)
        looked_up = self.names.dotted(node)
        module, _, last = looked_up.rpartition(".")
        if last == COMPUTED and module in _WITHIN:
            yield module, "is asked for something by a computed name", Weight.UNUSUAL
        elif looked_up and looked_up != name:
            yield from self._reference(looked_up)
        if name in known.runs:
            yield from self._runs(node, name)
        if name in known.sends:
            yield from self._sends(node, name)
        if name in known.acts:
            yield from self._texts(node, name)
        if name in _FILES:
            yield from self._paths(node)
        if name in known.mild and name not in known.runs:
            yield name, known.mild[name], Weight.MILD
        if name in ("torch.load", "numpy.load", "yaml.load"):
            yield from _loads(node, name)

    def _runs(self, node: ast.Call, name: str) -> Iterator[Seen]:
        known = lists()
        if not node.args:
            return
        text = self.names.constant(node.args[0])
        source = self.source(node.args[0])
        if source and name not in (
            "pickle.loads",
            "_pickle.loads",
            "cloudpickle.loads",
            "dill.loads",
        ):
            what = f"{known.runs[name]} that is hidden or fetched: it comes through {quote(source)}"
            yield name, what, Weight.EVIL
        elif text is not None:
            inside = self._inside(text) if name in ("builtins.exec", "builtins.eval") else ""
            if inside:
                yield name, f"{known.runs[name]} that uses {quote(inside)}", Weight.EVIL
        elif name in _ALWAYS_UNUSUAL:
            yield name, known.runs[name], Weight.UNUSUAL
        elif name in known.mild:
            yield name, known.mild[name], Weight.MILD

    def _inside(self, text: str | bytes) -> str:
        """What unusual thing is done by source in a string."""
        if self.depth >= _DEEPEST or len(text) < 3:
            return ""
        source = text if isinstance(text, str) else text.decode("utf-8", "replace")
        tree = parse(source)
        if isinstance(tree, Unparsed):
            return ""
        found = (act for act in acts(tree, self.depth + 1) if act.weight > Weight.MILD)
        return next((act.name for act in found), "")

    def _sends(self, node: ast.Call, name: str) -> Iterator[Seen]:
        values = [*node.args, *(w.value for w in node.keywords if w.arg not in ("headers", "auth"))]
        for value in values:
            taken = self._taken(value)
            if taken:
                yield name, f"sends out what {quote(taken)} tells of the machine", Weight.EVIL
                return
        yield name, lists().sends[name], Weight.MILD

    def _taken(self, value: ast.expr) -> str:
        single: set[int] = set()
        for inner in _some(value):
            if isinstance(inner, ast.Subscript):
                single.add(id(inner.value))
            elif isinstance(inner, ast.Call):
                if isinstance(inner.func, ast.Attribute) and inner.func.attr in ("get", "pop"):
                    single.add(id(inner.func.value))
                name = self.names.dotted(inner.func)
                if name in _MACHINE:
                    return name
            elif (
                isinstance(inner, ast.Attribute | ast.Name)
                and id(inner) not in single
                and self.names.dotted(inner) == "os.environ"
            ):
                return "os.environ"
        return ""

    def _texts(self, node: ast.Call, name: str) -> Iterator[Seen]:
        """Commands that are evil by themselves, whatever starts them."""
        texts: list[str] = []
        for argument in node.args[:8]:
            items = argument.elts if isinstance(argument, ast.List | ast.Tuple) else [argument]
            texts += [str(self.names.constant(item) or "") for item in items[:50]]
        whole = " ".join(texts)
        if BACKDOOR.search(whole) or FETCH_AND_RUN.search(whole):
            yield name, f"starts {quote(whole, 100)}", Weight.EVIL
            return
        decoders = [name for name in map(self._decoder, node.args[:8]) if name]
        if decoders:
            what = f"starts what is hidden: it comes through {quote(decoders[0])}"
            yield name, what, Weight.EVIL

    def _decoder(self, node: ast.expr) -> str:
        """What decodes data within an expression itself; empty if nothing does."""
        calls = (inner for inner in _some(node) if isinstance(inner, ast.Call))
        found = (self.names.dotted(call.func) for call in calls)
        return next((name for name in found if name in lists().decodes), "")

    def _paths(self, node: ast.Call) -> Iterator[Seen]:
        for argument in node.args[:8]:
            text = self.names.constant(argument)
            if isinstance(text, str) and len(text) < 300 and _SECRETS.search(text):
                yield text, "is a file with secrets, or one that is run at login", Weight.EVIL


def _through_globals(node: ast.Attribute | ast.Name) -> Iterator[Seen]:
    """The way from any class to what its module has imported, as out of a sandbox."""
    method = node.value if isinstance(node, ast.Attribute) and node.attr == "__globals__" else None
    if isinstance(method, ast.Attribute) and method.attr == "__init__":
        yield "__init__.__globals__", "leads to what other code knows", Weight.UNUSUAL


def _loads(node: ast.Call, name: str) -> Iterator[Seen]:
    """Loaders that run what a file says, depending on their arguments."""
    words = {word.arg: word.value for word in node.keywords}
    if name == "numpy.load":
        allowed = words.get("allow_pickle")
        if isinstance(allowed, ast.Constant) and allowed.value is True:
            yield name, "loads a pickle", Weight.MILD
    elif name == "torch.load":
        only = words.get("weights_only")
        if isinstance(only, ast.Constant) and only.value is False:
            yield name, "loads a pickle with weights_only=False", Weight.MILD
    else:
        loader = words.get("Loader") or (node.args[1] if len(node.args) > 1 else None)
        text = ast.dump(loader) if isinstance(loader, ast.Name | ast.Attribute) else ""
        if "UnsafeLoader" in text or "'Loader'" in text:
            yield name, "builds what YAML names", Weight.MILD


def _returned(function: ast.FunctionDef | ast.AsyncFunctionDef) -> list[ast.expr]:
    return [
        node.value
        for node in _some(function)
        if isinstance(node, ast.Return) and node.value is not None
    ]


def _some(node: ast.AST) -> Iterable[ast.AST]:
    """The first few thousand nodes of a tree."""
    for count, inner in enumerate(ast.walk(node)):
        if count >= _WALKED:
            return
        yield inner
