"""A dataset as detectors see it: shards of rows, columns with roles, rows as vectors."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from poisonscan.datasets.batch import Batch, Labels, Role
from poisonscan.datasets.flaws import PLACES, Flaw, Place, flaw
from poisonscan.datasets.shards import Shard
from poisonscan.escape import quote
from poisonscan.finding import MAX_ROWS, Rows
from poisonscan.json_form import as_json

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    import pyarrow as pa
    from numpy.typing import NDArray

    from poisonscan.datasets.activations import Activations
    from poisonscan.datasets.describe import Later
    from poisonscan.datasets.flaws import Sink
    from poisonscan.datasets.network import Network
    from poisonscan.datasets.numbers import Embedding, Numbers
    from poisonscan.datasets.pictures import Pictures, Pixels
    from poisonscan.datasets.reference import Reference
    from poisonscan.datasets.words import Words
    from poisonscan.finding import Json, Row
    from poisonscan.formats.base import TableFile

    Vectors = Activations | Network | Embedding | Pictures | Words | Numbers

NO_PICTURE = "with a picture that cannot be read"
FILES = 256
"""Picture files in a batch."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Dataset:
    """Rows with labels, contents and vectors, in shards. Small; it pickles to workers.

    Attributes:
        path: what the report calls it: the file, or the folder of several.
        format: ``parquet``, ``arrow``, ``csv``, ``json`` or ``image``.
        shards: its parts, in reading order.
        columns: type of each column, as text.
        roles: columns by role: ``label``, ``text``, ``image``, ``features``, ``numeric``, ``id``,
            and of conversations ``prompt``, ``response``, ``messages``, ``chosen``, ``rejected``.
        inferred: roles that were inferred rather than given.
        label_names: declared class names.
        vectors: what makes rows into vectors; None when nothing does.
        reading: how the files were read, such as the delimiter.
        partial: how many of the rows are looked at, where the user wanted fewer than all.
        beside: paths of further files that were read, such as that of the labels of an array.
        reference: what it is to be compared with.
        later: what looks rows up once all findings are there; None: ``describe`` does it at once.
    """

    path: str
    format: str
    shards: tuple[Shard, ...]
    columns: Mapping[str, str] = field(default_factory=dict)
    roles: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    inferred: frozenset[str] = frozenset()
    label_names: tuple[str, ...] | None = None
    vectors: Vectors | None = None
    reading: Mapping[str, Json] = field(default_factory=dict)
    partial: str = ""
    beside: tuple[str, ...] = ()
    reference: Reference | None = None
    later: Later | None = field(default=None, compare=False, repr=False)

    @property
    def facts(self) -> dict[str, Json]:
        """What was read and inferred, for the report."""
        facts = {
            "columns": self.columns,
            "roles": self.roles,
            "inferred": sorted(self.inferred),
            "features": self.feature_source or None,
            "splits": list(dict.fromkeys(shard.split for shard in self.shards)),
            **self.reading,
            **({"partial": self.partial} if self.partial else {}),
        }
        return {name: as_json(fact) for name, fact in facts.items()}

    @property
    def rows(self) -> int | None:
        """Number of rows, where it is known without reading them."""
        known = [shard.rows for shard in self.shards if shard.rows is not None]
        return sum(known) if len(known) == len(self.shards) else None

    @property
    def feature_source(self) -> str:
        """What row vectors are made of, for people; empty when there are none."""
        return self.vectors.source if self.vectors is not None else ""

    @property
    def dimension(self) -> int:
        """Length of a row vector; 0 when there are none."""
        return self.vectors.dimension if self.vectors is not None else 0

    @property
    def offers(self) -> frozenset[Role]:
        """What batches can hold. A dataset without labels or vectors lacks that role."""
        has: set[Role] = {Role.VALUES}
        if self.content:
            has.add(Role.CONTENT)
        if self.roles.get("label"):
            has.add(Role.LABEL)
        if self.roles.get("text"):
            has.add(Role.TEXT)
        if self.vectors is not None:
            has.add(Role.FEATURES)
        if self.cells and self.shards[0].layout is not None:  # picture files have no cells
            has.add(Role.CELLS)
        if self.roles.get("image") or self.shards[0].layout is None:
            has |= {Role.PICTURES, Role.ENCODED}
        return frozenset(has)

    def batches(
        self, shard_index: int, roles: frozenset[Role], problem: Sink = lambda _: None
    ) -> Iterator[Batch]:
        """Rows of a shard in order, with the roles asked for and no other column read.

        A picture that does not decode (its vector is all NaN), a record that is left out (a line
        with too many cells) and a row group that is damaged do not stop the shard: ``problem`` is
        told of them.

        Args:
            shard_index: index into ``shards``.
            roles: what each batch is to hold; roles that the dataset lacks are left out.
            problem: told what could not be used.

        Raises:
            DatasetError: the rest of the shard cannot be read; all before it was yielded.
        """
        from poisonscan.datasets.layouts import BATCH_PICTURES, BATCH_ROWS, reading
        from poisonscan.datasets.sampling import chosen
        from poisonscan.datasets.tables import numbered

        shard = self.shards[shard_index]
        wanted = roles & self.offers
        if shard.layout is None:
            yield from self._picture_files(shard_index, shard, wanted, problem)
            return
        columns = self._columns(wanted)
        most = BATCH_PICTURES if self._decodes(wanted) else BATCH_ROWS
        tables = numbered(
            shard.files[0], shard.layout, columns, problem, part=shard.part, rows=most
        )
        for start, rows in chosen(tables, shard):
            with reading(shard.path, shard.start + start):
                batch = self._batch(shard_index, start, rows, wanted, problem)
            yield batch

    def describe(
        self, rows: NDArray[np.int64], scores: Sequence[float] | None = None
    ) -> tuple[Row, ...]:
        """What a report says about rows: file, line, label, excerpt.

        Reads the shards concerned once more, up to the last row asked for.

        Args:
            rows: shard and position in the shard, ``int64`` of shape (n, 2).
            scores: of each row.

        Returns:
            In the order asked for.
        """
        if self.later is not None:
            return self.later.describe(self, rows, scores)
        from poisonscan.datasets.describe import describe

        return describe(self, rows, scores)

    def named(
        self,
        rows: NDArray[np.int64],
        scores: Sequence[float] | NDArray[np.floating[Any] | np.int64] | None = None,
        *,
        count: int | None = None,
        shown: int = MAX_ROWS,
        taken: NDArray[np.int64] | None = None,
        partial: bool = False,
    ) -> Rows:
        """Rows for a finding: the first are described for reports, all are listed.

        Args:
            rows: shard and position in the shard, ``int64`` of shape (n, 2), the most suspicious
                first.
            scores: of each row.
            count: how many there are, where ``rows`` are not all.
            shown: how many are described.
            taken: those that one would take out, where these are others, without scores.
            partial: only a sample of the rows was looked at.
        """
        from poisonscan.datasets.describe import listed

        first = None if scores is None else np.asarray(scores[:shown], float).tolist()
        described = self.describe(rows[:shown], first)
        count = len(rows) if count is None else count
        if taken is None:
            every, missing = listed(self, rows, scores), max(0, count - len(rows))
        else:
            every, missing = listed(self, taken, None), 0
        left_out = every.left_out + missing
        return Rows(described, count, replace(every, left_out=left_out, partial=partial))

    def place(self, shard_index: int, position: int) -> tuple[str, int]:
        """File that holds a row, as reports call it, and the row's index in that file."""
        shard = self.shards[shard_index]
        return shard.place(int(shard.rows_of(np.array([position]))[0]))

    def numeric(self, column: str) -> bool:
        """Whether a column holds numbers, perhaps written as text."""
        return any(kind in self.columns[column] for kind in ("int", "float", "double"))

    def _columns(self, roles: frozenset[Role]) -> list[str]:
        """The columns that the roles are made of."""
        names: list[str] = []
        if Role.LABEL in roles:
            names += self.roles["label"][:1]
        if Role.CONTENT in roles:
            names += self.content
        if Role.TEXT in roles:
            names += self.roles["text"]
        if Role.FEATURES in roles and self.vectors is not None:
            names += self.vectors.columns
        if Role.CELLS in roles:
            names += self.cells
        if roles & {Role.PICTURES, Role.ENCODED}:
            names += self.roles["image"][:1]
        if Role.VALUES in roles:
            names += self.columns
        return list(dict.fromkeys(names))

    @property
    def cells(self) -> tuple[str, ...]:
        """Columns that hold neither pictures nor vectors."""
        apart = {*self.roles.get("image", ()), *self.roles.get("features", ())}
        return tuple(name for name in self.columns if name not in apart)

    @property
    def content(self) -> tuple[str, ...]:
        """Columns that make up a row's content: all but label and id."""
        apart = {*self.roles.get("label", ()), *self.roles.get("id", ())}
        return tuple(name for name in self.columns if name not in apart)

    def _batch(
        self,
        index: int,
        start: int,
        table: pa.RecordBatch,
        roles: frozenset[Role],
        problem: Sink,
    ) -> Batch:
        values: dict[Role, Any] = {}
        if Role.LABEL in roles:
            values[Role.LABEL] = self._labels(table.column(self.roles["label"][0]))
        image = next(iter(self.roles.get("image", ())), None)
        pixels = None
        if image is not None and image in table.schema.names:
            from poisonscan.datasets.pictures import Encoded, decode_column

            folder = _folder(self.shards[index].files[0])
            if Role.ENCODED in roles:
                values[Role.ENCODED] = Encoded(table.column(image), folder)
            if self._decodes(roles):
                pixels = decode_column(table.column(image), folder)
                if pixels.problems:
                    places = tuple(
                        Place(self.place(index, start + row)[1], detail=reason)
                        for row, reason in pixels.problems[:PLACES]
                    )
                    problem(Flaw(NO_PICTURE, "row", places, len(pixels.problems)))
        if Role.CONTENT in roles:
            values[Role.CONTENT] = self._digests(table, image, pixels)
        if Role.TEXT in roles:
            from poisonscan.datasets.words import distinct_texts

            values[Role.TEXT] = distinct_texts([table.column(n) for n in self.roles["text"]])
        if Role.FEATURES in roles:
            values[Role.FEATURES] = self._features(index, start, table, pixels)
            self._tell_unusable(values[Role.FEATURES], table, index, start, problem)
        if Role.CELLS in roles:
            values[Role.CELLS] = {name: table.column(name) for name in self.cells}
        if Role.PICTURES in roles:
            values[Role.PICTURES] = pixels
        if Role.VALUES in roles:
            values[Role.VALUES] = {name: table.column(name) for name in self.columns}
        return Batch(index, start, table.num_rows, values)

    def _decodes(self, roles: frozenset[Role]) -> bool:
        """Whether any of the roles is made of decoded pictures."""
        from poisonscan.datasets.network import Network
        from poisonscan.datasets.pictures import Pictures

        vectors = self.vectors
        # A network decodes by itself; what does not decode is told here.
        looked_at = isinstance(vectors, Network) and vectors.form.takes == "pictures"
        shown = looked_at or isinstance(vectors, Pictures)
        seen = {Role.PICTURES} | ({Role.FEATURES} if shown else set())
        if self.roles.get("image", ())[:1] and self.roles["image"][0] in self.content:
            seen |= {Role.CONTENT}
        return bool(roles & seen)

    def _labels(self, column: pa.Array) -> Labels:
        from poisonscan.datasets.labels import labels

        numeric = self.numeric(self.roles["label"][0])
        return labels(column, self.label_names or (), numeric=numeric)

    def _digests(
        self, table: pa.RecordBatch, image: str | None, pixels: Pixels | None
    ) -> NDArray[np.uint64]:
        from poisonscan.datasets.content import digests

        names = [name for name in self.content if name != image]
        extra = [pixels.digests] if pixels is not None else []
        out = digests([table.column(name) for name in names], extra, rows=table.num_rows)
        if pixels is not None:  # what was not seen is not equal to anything
            out[[row for row, _ in pixels.problems]] = 0
        return out

    def _features(
        self, index: int, start: int, table: pa.RecordBatch, pixels: Pixels | None
    ) -> NDArray[np.float32]:
        from poisonscan.datasets.activations import Activations
        from poisonscan.datasets.network import Network
        from poisonscan.datasets.pictures import Pictures, residuals

        vectors, shard = self.vectors, self.shards[index]
        if isinstance(vectors, Activations):
            return vectors.read((shard.first or 0) + start, table.num_rows)
        if isinstance(vectors, Network):
            columns = [table.column(name) for name in vectors.columns]
            return vectors.of_columns(columns, _folder(shard.files[0]))
        if isinstance(vectors, Pictures) and pixels is not None:
            return residuals(pixels.planes)
        if vectors is None or isinstance(vectors, Pictures):
            raise ValueError("the dataset has no vectors")
        return vectors.vectors([table.column(name) for name in vectors.columns])

    def _tell_unusable(
        self,
        vectors: NDArray[np.float32],
        table: pa.RecordBatch | None,
        index: int,
        start: int,
        problem: Sink,
    ) -> None:
        """Say which rows the vectors that somebody brought say nothing of."""
        from poisonscan.datasets.own_vectors import unusable

        rows, what = unusable(self.vectors, vectors, table)
        if len(rows):
            places = tuple(
                Place(self.place(index, start + row)[1]) for row in rows[:PLACES].tolist()
            )
            problem(Flaw(what, "row", places, len(rows)))

    def _picture_files(
        self, index: int, shard: Shard, roles: frozenset[Role], problem: Sink
    ) -> Iterator[Batch]:
        from poisonscan.datasets.labels import labels_of
        from poisonscan.datasets.picture_sources import file_values, read_file
        from poisonscan.datasets.pictures import Encoded, Pictures, decode, residuals

        for start in range(0, len(shard.files), FILES):
            files = shard.files[start : start + FILES]
            values: dict[Role, Any] = {}
            if Role.LABEL in roles:
                values[Role.LABEL] = labels_of(shard.labels[start : start + FILES])
            values[Role.ENCODED] = Encoded(None, Path(), files)
            if Role.VALUES in roles:
                values[Role.VALUES], unread = file_values(
                    files, shard.labels[start : start + FILES]
                )
                if unread and not roles & {Role.CONTENT, Role.FEATURES, Role.PICTURES}:
                    places = [Place(0, quote(files[row].path), reason) for row, reason in unread]
                    problem(flaw(NO_PICTURE, "file", places))
            if roles & {Role.CONTENT, Role.FEATURES, Role.PICTURES}:
                pixels = decode(read_file(file) for file in files)
                if pixels.problems:
                    places = [
                        Place(0, quote(files[row].path), reason) for row, reason in pixels.problems
                    ]
                    problem(flaw(NO_PICTURE, "file", places))
                values[Role.CONTENT] = pixels.digests.copy()
                values[Role.CONTENT][[row for row, _ in pixels.problems]] = 0
                values[Role.PICTURES] = pixels
                if isinstance(self.vectors, Pictures):
                    values[Role.FEATURES] = residuals(pixels.planes)
                elif Role.FEATURES in roles and self.vectors is not None:
                    values[Role.FEATURES] = self._brought(shard, start, files)
                    self._tell_unusable(values[Role.FEATURES], None, index, start, problem)
            columns = {role: values[role] for role in roles if role in values}
            yield Batch(index, start, len(files), columns)

    def _brought(self, shard: Shard, start: int, files: Sequence[TableFile]) -> NDArray[np.float32]:
        from poisonscan.datasets.activations import Activations
        from poisonscan.datasets.network import Network
        from poisonscan.datasets.picture_sources import read_file

        if isinstance(self.vectors, Network):
            return self.vectors.vectors(read_file(file) for file in files)
        if not isinstance(self.vectors, Activations):
            raise ValueError("picture files have no columns")
        return self.vectors.read((shard.first or 0) + start, len(files))


def _folder(file: TableFile) -> Path:
    """Where paths in a table lead: what a member of an archive names is not beside the archive."""
    return Path(file.file) if file.steps else Path(file.file).parent
