"""poisonscan: scan datasets and model files for poisoning before training on them or loading them.

>>> import poisonscan
>>> report = poisonscan.scan("model.pt")
>>> report.exit_code()  # 0 clean, 1 findings, 3 not everything could be checked
"""

import poisonscan.run_as_module  # noqa: F401 - before anything else
from poisonscan.aside import set_aside
from poisonscan.baseline import Baseline, BaselineError
from poisonscan.datasets.own_model import OwnModel
from poisonscan.finding import (
    Aside,
    Column,
    Finding,
    Gap,
    Location,
    Row,
    Rows,
    Rule,
    Scanned,
    Severity,
    Skipped,
    Span,
    Tensor,
)
from poisonscan.ignores import Ignore, IgnoreError
from poisonscan.limits import Limits
from poisonscan.report import Report
from poisonscan.rules import RuleError
from poisonscan.scan import TargetError, scan
from poisonscan.version import VERSION

__version__ = VERSION

__all__ = [
    "Aside",
    "Baseline",
    "BaselineError",
    "Column",
    "Finding",
    "Gap",
    "Ignore",
    "IgnoreError",
    "Limits",
    "Location",
    "OwnModel",
    "Report",
    "Row",
    "Rows",
    "Rule",
    "RuleError",
    "Scanned",
    "Severity",
    "Skipped",
    "Span",
    "TargetError",
    "Tensor",
    "__version__",
    "scan",
    "set_aside",
]
