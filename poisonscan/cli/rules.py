"""``rules`` and ``explain``: what is looked for."""

from __future__ import annotations

import json

import click

from poisonscan.cli import completing
from poisonscan.finding import Rule
from poisonscan.json_form import as_json
from poisonscan.rules import all_rules


@click.command()
@click.option(
    "--format", "form", type=click.Choice(["text", "json"]), default="text", show_default=True
)
def rules(form: str) -> None:
    """List the rules."""
    listed = list(all_rules().values())
    if form == "json":
        click.echo(json.dumps([as_json(rule) for rule in listed], indent=2))
        return
    width = max(len(rule.name) for rule in listed)
    for rule in listed:
        click.echo(f"{rule.id}  {rule.severity!s:8}  {rule.name:{width}}  {rule.title}")


@click.command()
@click.argument("rule_id", metavar="RULE", shell_complete=completing.rules)
def explain(rule_id: str) -> None:
    """Print a rule with its help. RULE is an id such as PS101, or a name.

    \b
    Example:
      poisonscan explain PS101
    """  # noqa: D301 - \b is click's
    found = [
        rule for rule in all_rules().values() if rule_id.lower() in (rule.id.lower(), rule.name)
    ]
    if not found:
        message = f"{rule_id!r} is no rule; `poisonscan rules` lists them"
        raise click.UsageError(message)
    _print(found[0])


def _print(rule: Rule) -> None:
    click.secho(f"{rule.id} {rule.name}", bold=True)
    click.echo(f"{rule.title}\n")
    click.echo(f"Severity: {rule.severity}    Precision: {rule.precision}")
    tags = [
        *rule.cwe,
        *(f"ATLAS {t}" for t in rule.atlas),
        *(f"OWASP ML top ten {o}" for o in rule.owasp),
    ]
    if tags:
        click.echo(f"See also: {', '.join(tags)}")
    if rule.thresholds:
        shown = ", ".join(f"{name} = {value:g}" for name, value in rule.thresholds.items())
        click.echo(f"Thresholds: {shown}")
    click.echo(f"\n{rule.help.replace('**', '')}")
