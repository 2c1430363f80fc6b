"""Files of the repository that a page links to (results, source, model cards) become files of the site under repository/,
so that a link that works in the repository works on the site, and no link leaves it. Markdown among them becomes pages."""

import re
from pathlib import Path
from posixpath import dirname, relpath

from mkdocs.config.defaults import MkDocsConfig
from mkdocs.structure.files import File, Files
from mkdocs.structure.pages import Page

LINK = re.compile(r"(\]\()([^)#\s:]+)((?:#[^)\s]*)?\))")
FOLDER = "repository"
ALWAYS = ("README.md",)  # in the navigation
SHOWN = {".py": "python", ".toml": "toml"}
"""Source becomes a page that shows it."""


def address(root: Path, docs: Path, target: Path) -> str:
    """Where a file of the repository lies on the site, by its source."""
    if target.is_relative_to(docs):
        return target.relative_to(docs).as_posix()
    path = f"{FOLDER}/{target.relative_to(root).as_posix()}"
    return path + ".md" if target.suffix in SHOWN else path


def repository_path(root: Path, docs: Path, address_on_site: str) -> Path:
    """The reverse."""
    if not address_on_site.startswith(FOLDER + "/"):
        return docs / address_on_site
    path = root / address_on_site.removeprefix(FOLDER + "/")
    return path if path.exists() else path.with_suffix("")


def targets(text: str, folder: Path, root: Path) -> list[Path]:
    """Files of the repository that a text in `folder` links to."""
    linked = [(folder / match[2]).resolve() for match in LINK.finditer(text)]
    return [path for path in linked if path.is_file() and path.is_relative_to(root)]


def on_files(files: Files, config: MkDocsConfig) -> Files:
    docs = Path(config.docs_dir).resolve()
    root = docs.parent
    waiting = [root / name for name in ALWAYS]
    for page in files.documentation_pages():
        source = docs / page.src_uri
        waiting += targets(source.read_text(encoding="utf-8"), source.parent, root)
    while waiting:
        target = waiting.pop()
        if target.is_relative_to(docs) or files.get_file_from_path(address(root, docs, target)) is not None:
            continue
        place = address(root, docs, target)
        if target.suffix in SHOWN:
            text = target.read_text(encoding="utf-8")
            name = target.relative_to(root).as_posix()
            body = f'# {name}\n\n`````{SHOWN[target.suffix]} linenums="1"\n{text}`````\n'
            files.append(File.generated(config, place, content=body))
            continue
        files.append(File.generated(config, place, abs_src_path=str(target)))
        if target.suffix == ".md":
            waiting += targets(target.read_text(encoding="utf-8"), target.parent, root)
    return files


def on_page_markdown(markdown: str, page: Page, config: MkDocsConfig, files: Files) -> str:
    docs = Path(config.docs_dir).resolve()
    root = docs.parent
    source = repository_path(root, docs, page.file.src_uri)
    if source.suffix in SHOWN:
        return markdown

    def moved(match: re.Match) -> str:
        target = (source.parent / match[2]).resolve()
        if not target.is_file() or not target.is_relative_to(root):
            return match[0]  # the build's own check names it
        return match[1] + relpath(address(root, docs, target), dirname(page.file.src_uri) or ".") + match[3]

    return LINK.sub(moved, markdown)
