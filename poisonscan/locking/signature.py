"""OpenSSF Model Signing bundles, by the ``model-signing`` library: an extra, key-based, offline.

A bundle signs the digest of every file of a folder: https://github.com/sigstore/model-transparency
"""

from __future__ import annotations

import importlib.util
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from poisonscan.escape import clip, escape

if TYPE_CHECKING:
    from types import ModuleType


class SignatureError(ValueError):
    """A key or a bundle that cannot be used; the message is for people."""


class WrongSignature(SignatureError):  # noqa: N818 - it says what happened
    """A bundle that does not fit the files or the key."""


def library() -> ModuleType:
    """The library, which takes two seconds to import.

    Raises:
        SignatureError: it is not installed.
    """
    if importlib.util.find_spec("model_signing") is None:
        message = "signatures need the model-signing library: pip install 'poisonscan[sign]'"
        raise SignatureError(message)
    try:
        import model_signing
        import model_signing.hashing
        import model_signing.signing
        import model_signing.verifying
    except ImportError as error:
        message = f"the model-signing library cannot be imported: {escape(str(error))}"
        raise SignatureError(message) from error
    module: ModuleType = model_signing
    return module


def sign(target: Path, bundle: Path, key: Path, ignored: Sequence[Path] = ()) -> None:
    """Write a bundle for a file or folder.

    Args:
        target: what is signed.
        bundle: where the signature goes.
        key: a private elliptic-curve key in PEM, without a password.
        ignored: files below the target that are not signed, besides the bundle itself.

    Raises:
        SignatureError: the library, the key or a file cannot be used.
    """
    signing = library()
    hashing = _hashing(signing, target, (bundle, *ignored))
    try:
        config = signing.signing.Config().use_elliptic_key_signer(private_key=key)
        config.set_hashing_config(hashing).sign(target, bundle)
    except (ValueError, TypeError, OSError) as error:
        raise SignatureError(f"not signed: {_said(error)}") from error


def check(target: Path, bundle: Path, public_key: Path) -> None:
    """Check a bundle against a file or folder.

    Raises:
        SignatureError: the library or the key cannot be used.
        WrongSignature: the bundle is none, is not by the key, or is of other files.
    """
    signing = library()
    from cryptography.exceptions import InvalidSignature

    try:
        config = signing.verifying.Config().use_elliptic_key_verifier(public_key=public_key)
    except (ValueError, TypeError, OSError) as error:
        raise SignatureError(f"the public key cannot be used: {_said(error)}") from error
    try:
        config.verify(target, bundle)
    except InvalidSignature as error:
        raise WrongSignature("the signature is not by this key, or was changed") from error
    except (ValueError, TypeError, KeyError, AttributeError, OSError) as error:
        raise WrongSignature(_said(error)) from error


def _hashing(signing: ModuleType, target: Path, ignored: Sequence[Path]) -> Any:
    inside = [path.resolve() for path in ignored]
    root = target.resolve()
    relative = [path.relative_to(root) for path in inside if path.is_relative_to(root)]
    config = signing.hashing.Config()
    return config.set_ignored_paths(paths=relative if target.is_dir() else ())


def _said(error: Exception) -> str:
    return clip(escape(str(error) or type(error).__name__), 500)
