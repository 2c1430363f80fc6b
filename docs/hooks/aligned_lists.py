"""Docstrings that name parameters in a column, the description beside, become lists: prose would run them together."""

import re

import griffe

ITEM = re.compile(r"^(\w[\w, ]*?) {2,}(\S.*)$")


def listed(text: str) -> str:
    """`name    what it is` as `- `name`: what it is`, lines that are set in below it joined to it."""
    lines, inside = [], False
    for line in text.splitlines():
        item = ITEM.match(line)
        if item:
            lines += [] if inside or not lines or not lines[-1] else [""]
            lines.append(f"- `{item[1]}`: {item[2]}")
        elif inside and line.startswith("    "):
            lines[-1] += " " + line.strip()
        else:
            lines += [""] if inside and line else []
            lines.append(line)
        inside = bool(item) or (inside and line.startswith("    "))
    return "\n".join(lines)


class AlignedLists(griffe.Extension):
    def on_object(self, *, obj: griffe.Object, **_: object) -> None:
        if obj.docstring is not None and not obj.is_module:
            obj.docstring.value = listed(obj.docstring.value)
