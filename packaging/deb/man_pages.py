"""Writes manual pages: of a program, from the help of its commands; of a file, from the document about it."""

import re
from collections.abc import Iterator

import click

from packrat_core.cli.command_group import CommandInModule

_ESCAPES = {"\\": "\\e", "-": "\\-", "'": "\\(aq", "`": "\\(ga"}


def write_program_page(group: click.Group, summary: str, version: str, date: str, see_also: str) -> str:
    """Write the page of a program, with a section for each of its commands.

    Args:
        group: The program.
        summary: What it is for, as a part of a sentence.
        version: Its version.
        date: Of the page, as 2026-01-31.
        see_also: Other pages, such as `mirror.conf(5)`.
    """
    name = group.name or ""
    lines = [f'.TH {name.upper()} 1 "{date}" "{name} {version}" "{name}"', ".SH NAME", f"{name} \\- {_plain(summary)}"]
    lines += [".SH SYNOPSIS", f".B {_plain(name)}", "[OPTIONS] COMMAND [ARGS]..."]
    with click.Context(group, info_name=name) as context:
        lines += [".SH DESCRIPTION", *_paragraphs(group.help or ""), ".SH OPTIONS", *_options(group, context)]
        lines += [".SH COMMANDS"]
        for path, command in _commands(group):
            lines += _command(name, path, command, context)
        if group.epilog:
            lines += [".SH EXIT STATUS", *_paragraphs(group.epilog)]
    lines += [".SH SEE ALSO", _plain(see_also)]
    return "\n".join(lines) + "\n"


def _commands(group: click.Group, path: tuple[str, ...] = ()) -> Iterator[tuple[tuple[str, ...], click.Command]]:
    for name, entry in group.commands.items():
        command = entry.load() if isinstance(entry, CommandInModule) else entry
        yield (*path, name), command
        if isinstance(command, click.Group):
            yield from _commands(command, (*path, name))


def _command(program: str, path: tuple[str, ...], command: click.Command, above: click.Context) -> list[str]:
    with click.Context(command, info_name=" ".join(path), parent=above) as context:
        usage = " ".join(command.collect_usage_pieces(context))
        lines = [f".SS {_plain(' '.join((program, *path)))} {_plain(usage)}", *_paragraphs(command.help or "")]
        return lines + _options(command, context)


def _options(command: click.Command, context: click.Context) -> list[str]:
    lines: list[str] = []
    for parameter in command.get_params(context):
        record = parameter.get_help_record(context)
        if record is not None and "--help" not in parameter.opts:
            lines += [".TP", f".B {_plain(record[0])}", _plain(" ".join(record[1].split()))]
    return lines


def _paragraphs(text: str) -> list[str]:
    paragraphs = [" ".join(part.split()) for part in re.split(r"\n\s*\n", text.strip())]
    return [line for part in paragraphs if part for line in (".PP", _plain(part))]


def write_page_of_document(markdown: str, title: str, section: int, summary: str, date: str) -> str:
    """Write a page from one of the project's documents.

    Args:
        markdown: The document: headings, paragraphs, lists, tables, fenced blocks.
        title: The name of the page.
        section: The section of the manual.
        summary: What it is about, as a part of a sentence.
        date: Of the page, as 2026-01-31.
    """
    head = [f'.TH {title.upper()} {section} "{date}" "packrat-agent" "packrat-agent"']
    head += [".SH NAME", f"{title} \\- {_plain(summary)}", ".SH DESCRIPTION"]
    return "\n".join([*head, *_body(markdown)]) + "\n"


def _body(markdown: str) -> Iterator[str]:
    in_block = False
    paragraph_ended = True
    for line in markdown.splitlines():
        if line.startswith("```"):
            in_block = not in_block
            yield from (".PP", ".nf", ".RS 4") if in_block else (".RE", ".fi")
        elif in_block:
            yield _plain(line) or "\\&"
        elif heading := re.match(r"(#+) (.*)", line):
            if len(heading[1]) > 1:
                yield f".{'SH' if len(heading[1]) == 2 else 'SS'} {_plain(_inline(heading[2]))}"
        elif re.fullmatch(r"\|[-| :]+\|", line):
            continue
        elif line.startswith("|"):
            first, *rest = (cell.strip() for cell in line.strip().strip("|").split("|"))
            yield from (".TP", f".B {_plain(_inline(first))}", _plain(_inline("; ".join(rest))) or "\\&")
        elif not line.strip():
            paragraph_ended = True
            continue
        elif item := re.match(r"(?:[-*]|\d+\.) (.*)", line):
            yield from (".IP \\(bu 2", _plain(_inline(item[1])))
        else:
            yield from (".PP",) if paragraph_ended else ()
            yield _plain(_inline(line.strip()))
        paragraph_ended = False


def _inline(text: str) -> str:
    """Take away the marks of links, code and emphasis; the words stay."""
    text = re.sub(r"\[([^\]]+)\]\([^)]*\)", r"\1", text)
    return re.sub(r"\*\*([^*]+)\*\*|`([^`]+)`", lambda match: match[1] or match[2], text)


def _plain(text: str) -> str:
    """Escape what the formatter would read as its own."""
    escaped = "".join(_ESCAPES.get(character, character) for character in text)
    return f"\\&{escaped}" if escaped.startswith((".", "\\(aq")) else escaped
