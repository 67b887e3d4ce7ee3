"""Words without which the checks of text find nothing: what is searched for in every byte.

A check looks closer only where one of its words is. They are at least six bytes long.
"""

from __future__ import annotations

from poisonscan.datasets.literals import words

BLANKS = (" ", "\n", "\t", "\r", "\u00a0")


def _blank_after(*heads: str) -> tuple[str, ...]:
    return tuple(head + blank for head in heads for blank in BLANKS)


def _in_both_cases(*forms: str) -> tuple[str, ...]:
    """For letters whose capitals the search does not know."""
    return tuple(dict.fromkeys(form for word in forms for form in (word, word.upper())))


GROUPS: dict[str, tuple[str, ...]] = {
    # An order to ignore instructions has both of these.
    "ignoring": ("ignore", "ignoring", "disregard", "forget", "override", "bypass"),
    "orders": (
        "instruction",
        "prompt",
        "direction",
        "guideline",
        "command",
        *_blank_after("system"),
    ),
    "phrases": (
        "you are now ",
        "do anything now",
        "developer mode",
        "if you are a",
        *(
            f"{what} {whom} "
            for what in ("note", "message", "attention", "important")
            for whom in ("for", "to")
        ),
        "positive review",
    ),
    "foreign": (
        "anweisungen",
        "instrucciones",
        "précédentes",
        *_in_both_cases("предыдущие"),
        *(f"忽略{which}" for which in ("之前", "以上", "前面", "先前", "上述", "所有")),
    ),
    "turns": (
        "im_start|>",
        "im_end|>",
        "<|system|>",
        "<|user|>",
        "assistant|>",
        "header_id|>",
        "<|eot_id|>",
        "of_text|>",
        "endoftext|>",
        "endofprompt|>",
        "[inst]",
        "[/inst]",
        "<<sys>>",
        "<</sys>>",
        "_of_turn>",
    ),
    "markup": (
        "<script",
        "<iframe",
        "<object",
        "<embed",
        *(
            f"on{event}"
            for event in (
                "error",
                "load",
                "click",
                "mouseover",
                "focus",
                "toggle",
                "begin",
                "animationstart",
                "pointerenter",
            )
        ),
        "javascript:",
        "vbscript:",
        "data:text/html",
        "http-equiv",
        *_blank_after("<base"),
    ),
    "keys": ("hooks.slack.com/services", "private key"),
    "pickles": (
        "posix\n",
        "subprocess\n",
        "builtins\n",
        "__builtin__\n",
        *(
            f"c{module}\n{name}"
            for module in ("os", "nt")
            for name in ("system", "popen", "exec", "spawn", "startfile", "remove", "unlink")
        ),
    ),
}
LITERALS = words(GROUPS)
