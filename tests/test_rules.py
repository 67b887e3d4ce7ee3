from __future__ import annotations

import ast
import importlib
import re
from pathlib import Path

import pytest

import poisonscan
from poisonscan.finding import Rule
from poisonscan.rules import (
    RuleError,
    all_rules,
    divided,
    folder,
    pickle_names,
    rule,
    select,
)

PACKAGE = Path(poisonscan.__file__).parent


def detector_modules() -> set[str]:
    found = set()
    for kind in ("models", "datasets"):
        for path in (PACKAGE / "detectors" / kind).glob("*.py"):
            if "\nDETECTOR" in path.read_text("utf-8"):
                found.add(f"detectors.{kind}.{path.stem}")
    return found


def test_every_rule_has_a_detector_and_every_detector_a_rule() -> None:
    named = {r.detector for r in all_rules().values() if r.detector != "scan"}
    assert named == detector_modules()


@pytest.mark.parametrize("rule_id", list(all_rules()))
def test_a_rule_is_used_by_its_detector_and_by_no_other(rule_id: str) -> None:
    users = {
        path.relative_to(PACKAGE).with_suffix("").as_posix().replace("/", ".")
        for path in PACKAGE.rglob("*.py")
        if f'"{rule_id}"' in path.read_text("utf-8")
    }
    detector = all_rules()[rule_id].detector
    users = {user for user in users if not user.startswith("reporters.")} or {"scan"}
    assert users & {detector, f"{detector.rpartition('.')[0]}.pickle_verdicts"}
    others = detector_modules() - {detector}
    assert not users & others
    importlib.import_module(f"poisonscan.{detector}")


@pytest.mark.parametrize("rule_id", list(all_rules()))
def test_a_rule_names_what_its_detector_reads(rule_id: str) -> None:
    detector = all_rules()[rule_id].detector
    if detector.startswith("detectors.models."):
        kinds = importlib.import_module(f"poisonscan.{detector}").DETECTOR.reads
        assert all_rules()[rule_id].reads == tuple(kind.__name__ for kind in kinds)
    else:
        assert all_rules()[rule_id].reads == ()


@pytest.mark.parametrize("rule_id", list(all_rules()))
def test_a_rule_says_what_people_need(rule_id: str) -> None:
    found = rule(rule_id)
    for heading in ("What it means", "Why it matters", "What to do"):
        assert f"**{heading}.**" in found.help, heading
    assert found.precision in ("very-high", "high", "medium", "low")
    assert found.title.isprintable()
    assert not found.title.endswith(".")
    assert found.cwe
    assert all(re.fullmatch(r"CWE-\d+", cwe) for cwe in found.cwe)
    assert all(re.fullmatch(r"AML\.T\d{4}(\.\d{3})?", technique) for technique in found.atlas)
    assert all(re.fullmatch(r"ML\d\d", entry) for entry in found.owasp)


def test_only_rules_make_findings() -> None:
    makers = [
        path.name
        for path in PACKAGE.rglob("*.py")
        if re.search(r"\bFinding\(", path.read_text("utf-8"))
    ]
    assert makers == ["finding.py"]


def test_selecting() -> None:
    assert {r.id for r in select(("PS10",))} == {r for r in all_rules() if r.startswith("PS10")}
    assert [r.id for r in select(("pickle-runs-code",))] == ["PS101"]
    assert "PS101" not in {r.id for r in select((), ("PS1",))}
    with pytest.raises(RuleError):
        select(("nonsense",))
    with pytest.raises(RuleError):
        rule("PS000")


def test_no_name_is_both_allowed_and_dangerous() -> None:
    names = pickle_names()
    for module, name in names.allowed | names.uncalled:
        assert f"{module}.{name}" not in names.dangerous
        assert f"{module}.{name}" not in names.computed
        assert f"{module}.{name}" not in names.nested


def test_the_rules_are_where_the_package_looks() -> None:
    assert (folder() / "deny.yaml").is_file()
    assert (folder() / "allow").is_dir()


LEARNERS = {"label_model", "text_model", "style_model", "rest_of_row", "suspects"}
"""Modules that fit models, or the shape of every class, to the rows of a dataset."""


def used_by(module: str, known: set[str]) -> set[str]:
    """A module below ``detectors.datasets``, and those there that it imports."""
    if module in known:
        return known
    known.add(module)
    path = PACKAGE / "detectors" / "datasets" / f"{module}.py"
    for node in ast.walk(ast.parse(path.read_text("utf-8"))):
        if isinstance(node, ast.ImportFrom) and node.module:
            folder, _, name = node.module.rpartition(".")
            if folder == "poisonscan.detectors.datasets":
                used_by(name, known)
    return known


@pytest.mark.parametrize(
    "found", [r for r in all_rules().values() if r.detector.startswith("detectors.datasets.")],
    ids=lambda found: found.id,
)  # fmt: skip
def test_the_fast_profile_leaves_out_what_learns_from_the_rows(found: Rule) -> None:
    used = used_by(found.detector.rpartition(".")[2], set())
    assert found.fast == (not used & LEARNERS)


def test_rules_are_divided_by_profile() -> None:
    rules = select()
    assert divided(rules, "default") == (rules, ())
    applied, left = divided(rules, "fast")
    assert applied
    assert left
    assert sorted((*applied, *left), key=lambda each: each.id) == list(rules)
    assert all(each.fast for each in applied)
    with pytest.raises(RuleError, match="default and fast"):
        divided(rules, "quick")  # type: ignore[arg-type]
