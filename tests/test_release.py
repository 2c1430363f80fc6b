"""What a release needs, as far as it can be seen without building or installing anything."""

import re
import shutil
import subprocess

import pytest
from packaging.requirements import Requirement

from release import cards, distributions, documents, licences, rehearsal

in_git = pytest.mark.skipif(
    shutil.which("git") is None or not (documents.ROOT / ".git").exists(), reason="needs a checkout of git"
)


def test_documents_are_there_agree_and_lead_somewhere():
    assert documents.complaints() == []


def test_cards_of_the_weights_are_complete():
    assert cards.folders() and cards.complaints() == []


def test_a_card_that_says_nothing_is_seen(tmp_path):
    shutil.copy(cards.folders()[0] / "model.safetensors", tmp_path)
    (tmp_path / "README.md").write_text("---\nlicense: other\n---\n\n# new\n", encoding="utf-8")
    said = list(cards.lacking(tmp_path))
    assert len(said) == len(cards.NEEDED) - 1 + 3, said  # all but the licence; the terms, the size and the parameters


@in_git
def test_no_page_or_table_names_a_machine():
    assert list(distributions.machine_marks(distributions.checkout())) == []


@pytest.mark.parametrize("text", ["made in /{}/x.nc", '"/{}/a"', "(/{}/.cache/b)"])
def test_paths_of_a_machine_are_seen(text):
    assert list(distributions.machine_marks([("page", text.format("home/ann").encode())]))  # not itself a path


@pytest.mark.parametrize("text", ["the /home/ page", "https://x.org/home/ann", "squares/root/4", "docs/work/a.md"])
def test_other_words_are_no_paths(text):
    assert not list(distributions.machine_marks([("page", text.encode())]))


@in_git
def test_the_commits_of_the_cards_exist():
    if (
        subprocess.run(["git", "rev-parse", "--is-shallow-repository"], capture_output=True, text=True).stdout.strip()
        == "true"
    ):
        pytest.skip("a shallow checkout does not know them")
    for folder in cards.folders():
        text = (folder / "README.md").read_text(encoding="utf-8")
        for commit in re.findall(r"\bcommit(?:ted\s+with)?\s+([0-9a-f]{7})\b", text):
            subprocess.run(["git", "cat-file", "-e", f"{commit}^{{commit}}"], cwd=documents.ROOT, check=True)


def test_every_dependency_has_a_licence_in_the_table():
    listed = licences.table()
    extras = documents.project()["optional-dependencies"]
    asked = [*documents.project()["dependencies"], *(line for lines in extras.values() for line in lines)]
    names = {licences.normal(Requirement(line).name) for line in asked} - {"gridless"}
    assert names <= set(listed), f"run `python -m release.check --write-licences`: {sorted(names - set(listed))}"
    assert licences.complaints(listed) == []


@pytest.mark.parametrize(
    ("said", "kind"),
    [
        ("MIT", "permissive"),
        ("BSD-3-Clause AND Zlib", "permissive"),
        ("Apache Software License; MIT License", "permissive"),
        ("LGPL-3.0-or-later", "weak copyleft"),
        ("MPL-2.0 AND MIT", "weak copyleft"),
        ("GPL-3.0-only", "forbidden"),
        ("GPL-2.0 OR MIT", "permissive"),
        ("GNU Affero General Public License v3", "forbidden"),
        ("NVIDIA Proprietary Software", "forbidden"),
        ("", "unknown"),
    ],
)
def test_kinds_of_licences(said, kind):
    assert licences.kind_of(said) == kind


def test_every_command_of_the_readme_is_rehearsed_or_says_why_not():
    commands, rules = rehearsal.commands(), rehearsal.rules()
    assert commands
    for command in commands:
        assert rehearsal.rule_of(command, rules) is not None, (
            f"{command}: give it a rule in release/readme_commands.toml"
        )
    used = {rehearsal.rule_of(command, rules).starts for command in commands}
    assert [rule.starts for rule in rules if rule.starts not in used] == []


def test_what_the_rules_need_are_extras():
    assert {extra for rule in rehearsal.rules() for extra in rule.needs} <= set(
        documents.project()["optional-dependencies"]
    )


def test_the_oldest_versions_that_were_tried_are_allowed():
    lines = (documents.ROOT / "constraints-oldest.txt").read_text(encoding="utf-8").splitlines()
    tried = {licences.normal(name): version for name, _, version in (line.partition("==") for line in lines) if version}
    extras = documents.project()["optional-dependencies"]
    asked = [*documents.project()["dependencies"], *(line for lines in extras.values() for line in lines)]
    for requirement in map(Requirement, asked):
        version = tried.get(licences.normal(requirement.name))
        assert version is None or requirement.specifier.contains(version), f"{requirement}: {version} was tried"
