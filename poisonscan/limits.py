"""What hostile input may cost. Reaching a limit is a gap in the report, never silence."""

from __future__ import annotations

from dataclasses import dataclass, field


class LimitReached(Exception):  # noqa: N818 - it says what happened
    """Input that would cost more than allowed; the message says which limit and where."""


@dataclass(frozen=True, slots=True)
class Limits:
    """Bounds for one file on disk with all that is nested in it.

    Attributes:
        depth: containers within containers.
        members: archive members.
        unpacked: bytes that decompression may make in total.
        opcodes: pickle opcodes.
        stack: values on the pickle stack at once.
        memo: entries of the pickle memo.
        header: bytes of a safetensors header, the bound of its specification.
        search: bytes searched for pickles behind the end of each pickle.
        findings: findings of each severity; the rest is counted.
        memory: bytes that a process may allocate to read model files, beyond what the process holds
            that it is forked from; mapped files do not count.
        seconds: CPU time for one file, and as much wall time again; large files have more.
        fields: fields, tables and elements of a graph (protobuf, flatbuffer, XML).
        strings: strings and lists in the arrays of a GGUF file, read one by one.
        template: characters of a chat template.
    """

    depth: int = 8
    members: int = 200_000
    unpacked: int = 1 << 30
    opcodes: int = 50_000_000
    stack: int = 1_000_000
    memo: int = 10_000_000
    header: int = 100_000_000
    search: int = 64 << 20
    findings: int = 1_000
    memory: int = 2 << 30
    seconds: int = 60
    fields: int = 10_000_000
    strings: int = 10_000_000
    template: int = 1 << 18


@dataclass(slots=True)
class Budget:
    """What is left of the limits for one file; everything nested in it draws on the same budget."""

    limits: Limits = field(default_factory=Limits)
    members: int = 0
    unpacked: int = 0
    opcodes: int = 0
    fields: int = 0

    def take_member(self) -> None:
        """Count an archive member.

        Raises:
            LimitReached: too many.
        """
        self.members += 1
        if self.members > self.limits.members:
            message = f"more than {self.limits.members:,} archive members"
            raise LimitReached(message)

    def take_unpacked(self, size: int) -> None:
        """Count decompressed bytes.

        Raises:
            LimitReached: too many.
        """
        self.unpacked += size
        if self.unpacked > self.limits.unpacked:
            message = f"decompresses to more than {self.limits.unpacked:,} bytes"
            raise LimitReached(message)

    def take_field(self) -> None:
        """Count a field of a graph.

        Raises:
            LimitReached: too many.
        """
        self.fields += 1
        if self.fields > self.limits.fields:
            message = f"a graph of more than {self.limits.fields:,} fields"
            raise LimitReached(message)
