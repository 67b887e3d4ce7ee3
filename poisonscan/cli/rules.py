"""``rules`` and ``explain``: what is looked for."""

from __future__ import annotations

import json

import click

from poisonscan import json_form
from poisonscan.cli import completing
from poisonscan.finding import Rule
from poisonscan.rules import RuleError, all_rules, named


@click.command()
@click.option("--json", "as_json", is_flag=True, help="Write the rules as JSON.")
def rules(*, as_json: bool) -> None:
    """List the rules."""
    listed = list(all_rules().values())
    if as_json:
        click.echo(json.dumps([json_form.as_json(rule) for rule in listed], indent=2))
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
    try:
        _print(named(rule_id))
    except RuleError as error:
        raise click.UsageError(str(error)) from error


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
    if not rule.fast:
        click.echo("Not applied by: --profile fast")
    if rule.thresholds:
        shown = ", ".join(f"{name} = {value:g}" for name, value in rule.thresholds.items())
        click.echo(f"Thresholds: {shown}")
    click.echo(f"\n{rule.help.replace('**', '')}")
