"""What each scanner says of files that are known to be bad, and of files known to be good.

``python -m benchmarks.model_detection PEERS`` reads every committed sample of a model file, rule by
rule; ``--bad FOLDER`` and ``--good FOLDER`` take other files instead, grouped by the folders in
them. PEERS is what ``python -m benchmarks.peers install`` made. ``--json FILE`` writes every single
verdict, ``--tool NAME`` asks only some of the peers. Every file is scanned by itself, except where
a report on many tells them apart: modelscan is given copies, each in a folder of its own, and
modelaudit, which takes a second to start, many files at once, and again one by one those that its
report leaves open.

The bad samples were written for poisonscan's own rules: that it finds them says that it does what
it means to do. What the table shows is which of these attacks the others know, and how noisy each
is on the good ones. A rule may be no part of what another tool promises: "skipped" and "error" say
where a tool does not claim to have looked.
"""

from __future__ import annotations

import argparse
import json
import shutil
import tempfile
from collections import Counter
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from benchmarks.peers import OURS, Peer, Verdict, call, installed

SAMPLES = Path(__file__).parents[1] / "fixtures" / "samples"
AT_MOST = 120.0
"""Seconds per call."""

Groups = dict[str, list[Path]]
Verdicts = dict[Path, Verdict]


def committed(quality: str) -> Groups:
    """Rule → samples."""
    return {
        rule.name: files
        for rule in sorted(SAMPLES.glob("PS[12]*"))
        if (files := regular(rule / quality))
    }


def below(folder: Path) -> Groups:
    """Folder in the folder → files; ``.`` for those that are in none."""
    groups: Groups = {}
    for file in regular(folder):
        parts = file.relative_to(folder).parts
        groups.setdefault(parts[0] if len(parts) > 1 else ".", []).append(file)
    return groups


def regular(folder: Path) -> list[Path]:
    return sorted(p.resolve() for p in folder.rglob("*") if p.is_file() and not p.is_symlink())


def verdicts(peer: Peer, program: str, files: Sequence[Path], jobs: int) -> Verdicts:
    """What a tool says of each file."""
    parts = [files[i : i + peer.at_once] for i in range(0, len(files), peer.at_once)]
    with ThreadPoolExecutor(jobs) as pool:
        found: Verdicts = {}
        for part in pool.map(lambda part: dict(of_part(peer, program, part)), parts):
            found |= part
    return found


def of_part(peer: Peer, program: str, files: Sequence[Path]) -> Iterator[tuple[Path, Verdict]]:
    """Verdicts on files given at once; one by one where that leaves any open."""
    if len(files) > 1:
        told = at_once(peer, program, files)
        yield from told.items()
        files = [file for file in files if file not in told]
    for file in files:
        yield file, peer.read(call(peer, program, [file], AT_MOST))


def at_once(peer: Peer, program: str, files: Sequence[Path]) -> Verdicts:
    """What one call on several files tells of each, if anything."""
    if not peer.gathers:
        answer = call(peer, program, files, AT_MOST)
        return peer.separate(answer.report, {str(file): file for file in files})
    with tempfile.TemporaryDirectory() as folder:
        names = {f"{i}/{file.name}": file for i, file in enumerate(files)}
        for name, file in names.items():
            Path(folder, name).parent.mkdir()
            shutil.copyfile(file, Path(folder, name))
        return peer.separate(call(peer, program, [Path(folder)], AT_MOST).report, names)


def table(title: str, groups: Groups, said: dict[str, Verdicts]) -> None:
    """Print flagged/clean/error/skipped per group and tool."""
    print(f"\n{title}: flagged / clean / error / skipped")
    print(f"{'':34}{'files':>6}" + "".join(f"{name:>18}" for name in said))
    everything = [file for files in groups.values() for file in files]
    for group, files in [*groups.items(), ("all", everything)]:
        cells = (counts(Counter(of[file] for file in files)) for of in said.values())
        print(f"{group:34}{len(files):6}" + "".join(f"{cell:>18}" for cell in cells))
    for name, of in said.items():
        flagged = sum(of[file] is Verdict.FLAGGED for file in everything)
        print(f"  {name}: {flagged / max(len(everything), 1):.1%} flagged")


def counts(of: Counter[Verdict]) -> str:
    return " / ".join(str(of[verdict]) for verdict in Verdict)


def only_by_others(groups: Groups, said: dict[str, Verdicts]) -> None:
    """Name the bad files that poisonscan does not flag, and who does."""
    for files in groups.values():
        for file in files:
            if said[OURS.name][file] is not Verdict.FLAGGED:
                others = [name for name, of in said.items() if of[file] is Verdict.FLAGGED]
                print(f"missed ({said[OURS.name][file]}): {file}; flagged by {others or 'none'}")


def main() -> None:
    """Print the tables."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("peers", type=Path)
    parser.add_argument("--bad", type=Path, help="files that should be flagged")
    parser.add_argument("--good", type=Path, help="files that should not")
    parser.add_argument("--json", type=Path, help="write every verdict to this file")
    parser.add_argument("--tool", action="append", default=[], metavar="NAME")
    parser.add_argument("--jobs", type=int, default=2)
    options = parser.parse_args()
    chosen = options.bad or options.good
    sets = {
        "bad": below(options.bad) if options.bad else {} if chosen else committed("bad"),
        "good": below(options.good) if options.good else {} if chosen else committed("good"),
    }
    every = [file for groups in sets.values() for files in groups.values() for file in files]
    said: dict[str, Verdicts] = {}
    for peer, program in installed(options.peers.resolve()):
        if options.tool and peer.name not in (OURS.name, *options.tool):
            continue
        said[peer.name] = verdicts(peer, program, every, options.jobs)
        if options.json:
            told = {name: {str(f): v for f, v in of.items()} for name, of in said.items()}
            options.json.write_text(json.dumps(told, indent=1))
    for quality, groups in sets.items():
        if not groups:
            continue
        table(quality, groups, said)
    only_by_others(sets["bad"], said)


if __name__ == "__main__":
    main()
