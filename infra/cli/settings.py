"""`sealstream settings`: every setting with its value here, its default and its help."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Any

import typer

if TYPE_CHECKING:
    from collections.abc import Iterator

    from infra.settings import Group, Settings


def register(app: typer.Typer) -> None:
    """Add the command to the application."""
    app.command("settings")(show)


def show(
    as_json: Annotated[bool, typer.Option("--json", help="One JSON object, for scripts.")] = False,
    as_markdown: Annotated[
        bool, typer.Option("--markdown", help="All settings and defaults, as the docs have them.")
    ] = False,
) -> None:
    """Show every setting of this installation: its value, and its default where that differs."""
    import json

    from infra.settings import Settings, load_settings

    if as_markdown:
        print(render_markdown(Settings))
        return
    settings = load_settings()
    if as_json:
        print(settings.model_dump_json(indent=2))
        return
    for table, name, default, help_text in list_settings(Settings):
        value = getattr(getattr(settings, table), name)
        plain = json.dumps(value, default=str)
        print(f"{table}.{name} = {plain}\n    {help_text} Default: {json.dumps(default, default=str)}.")


def list_settings(settings: type[Settings]) -> Iterator[tuple[str, str, Any, str]]:
    """Table, name, default and help of each setting."""
    for table, field in settings.model_fields.items():
        group: type[Group] = type(field.default)
        for name, setting in group.model_fields.items():
            yield table, name, setting.default, setting.description or ""


def render_markdown(settings: type[Settings]) -> str:
    """All settings as docs/settings.md has them: a section for each table of `sealstream.toml`."""
    lines: list[str] = []
    last = ""
    for table, name, default, help_text in list_settings(settings):
        if table != last:
            doc = (type(settings.model_fields[table].default).__doc__ or "").strip()
            lines += ["", f"## [{table}]", "", doc, "", "| name | default | help |", "|---|---|---|"]
            last = table
        lines.append(f"| `{name}` | {render_default(default)} | {help_text} |")
    return "\n".join(lines).strip()


def render_default(default: object) -> str:
    """A default as `sealstream.toml` would have it."""
    import json

    if default is None:
        return "none"
    plain = default if isinstance(default, bool | int | float | list | str) else str(default)
    return f"`{json.dumps(plain)}`" if plain not in ("", ".") else '`""`'
