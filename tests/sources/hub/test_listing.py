from __future__ import annotations

from typing import Any, cast

from hypothesis import given
from hypothesis import strategies as st

from poisonscan.sources.hub.address import Address
from poisonscan.sources.hub.client import Client
from poisonscan.sources.hub.errors import HubError
from poisonscan.sources.hub.listing import list_files
from tests.sources.hub.fake import COMMIT

VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner, max_size=3),
    max_leaves=5,
)
ENTRIES = st.fixed_dictionaries(
    {},
    optional={
        "type": st.sampled_from(["file", "directory"]) | VALUES,
        "path": st.text() | VALUES,
        "size": st.integers(-1, 9) | VALUES,
        "oid": st.sampled_from(["a" * 40, "A" * 40, "a" * 64, "sha256:" + "b" * 64]) | VALUES,
        "lfs": st.fixed_dictionaries({"oid": st.sampled_from(["a" * 64, ""]), "size": VALUES})
        | VALUES,
    },
)


class Answers:
    """A client whose Hub answers anything."""

    endpoint = "https://hub.test"

    def __init__(self, *answers: Any) -> None:
        self.answers = list(answers)

    def json(self, url: str) -> tuple[Any, str | None]:
        following = f"{url}+" if len(self.answers) > 2 else None
        return self.answers.pop(0), following


@given(VALUES, VALUES | st.lists(ENTRIES | VALUES), VALUES | st.lists(ENTRIES))
def test_whatever_a_hub_answers(about: Any, first: Any, second: Any) -> None:
    for answers in ((about, first, second), ({"sha": COMMIT}, first, second)):
        try:
            found = list_files(cast("Client", Answers(*answers)), Address("model", "org/name"))
        except HubError:
            continue
        assert found.commit == COMMIT
        for entry in found.entries:
            assert 0 <= entry.size < 1 << 60
            assert len(entry.digest) in (0, 40, 64)
