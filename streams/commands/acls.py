"""`borderflow acls`: what each component may do on the brokers, and granting it to a principal."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

from cyclopts import App, Parameter
from rich.table import Table

from streams.commands import CommandRefusedError, output
from streams.settings import Settings

app = App(name="acls", help="Show what each component may do on the brokers, and grant it to a principal.")

File = Annotated[Path, Parameter(help="The list of components (ops/acls.yaml of the repository).")]


@app.command(name="list")
def list_(file: File, /) -> None:
    """List the components of a file and what each is for."""
    from streams.acls import AclsRefusedError, read_components

    try:
        components = read_components(file)
    except AclsRefusedError as error:
        raise CommandRefusedError(str(error)) from None
    table = Table("component", "what it is", "reads", "writes", box=None)
    for name, one in components.items():
        table.add_row(name, one.what, ", ".join(one.read), ", ".join(one.write))
    output(soft_wrap=True).print(table)


@app.command
def grant(
    file: File,
    component: str,
    principal: str,
    /,
    *,
    dry_run: Annotated[bool, Parameter(negative=(), help="Print the rules, add none.")] = False,
) -> None:
    """Add the rules of a component for a principal; rules that are there already stay as they are.

    It needs ALTER on the cluster, which no component of the file has: run it as a super user.

    Parameters
    ----------
    component
        A component of the file, such as `screening`; a worker that hosts all steps needs all four.
    principal
        Who it is to the brokers, such as `User:border-worker`.
    """
    from streams.acls import AclsRefusedError, acls_of, apply, read_components
    from streams.topics import admin

    kind, _, name = principal.partition(":")
    if not (kind and name):
        raise CommandRefusedError(f"{principal!r}: a principal has a kind and a name, such as User:border-worker")
    try:
        components = read_components(file)
        if component not in components:
            raise CommandRefusedError(f"{file}: no component {component!r}; there are {', '.join(components)}")
        if not dry_run:
            with admin(Settings.from_environment()) as client:
                apply(client, components[component], principal)
    except AclsRefusedError as error:
        raise CommandRefusedError(str(error)) from None
    for acl in acls_of(components[component], principal):
        resource = acl.resource_pattern
        star = "*" if resource.pattern_type.name == "PREFIXED" else ""
        print(f"{principal} may {acl.operation.name} {resource.resource_type.name} {resource.resource_name}{star}")  # noqa: T201
