"""Notes of a table: sentences by subject, with short flags for the most important ones."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal, get_args

Subject = Literal["Numbers", "Test", "Verdicts", "Rows", "Data", "Methods", "Provenance"]
SUBJECTS: tuple[Subject, ...] = get_args(Subject)
MORE = "Details: add --notes."


@dataclass(frozen=True)
class Note:
    """A statement about a table.

    Attributes:
        subject: Heading of the statement in the list of notes.
        text: One or more whole sentences.
        flag: Short form for the caption. It is empty unless readers without the note would
            misunderstand the numbers.
    """

    subject: Subject
    text: str
    flag: str = ""


def by_subject(notes: Sequence[Note]) -> dict[str, list[str]]:
    """Return the texts of each subject, in the order of SUBJECTS."""
    grouped = {subject: [n.text for n in notes if n.subject == subject] for subject in SUBJECTS}
    return {subject: texts for subject, texts in grouped.items() if texts}


def flags(notes: Sequence[Note]) -> list[str]:
    """Return the flags, each once."""
    return list(dict.fromkeys(note.flag for note in notes if note.flag))


def text_notes(notes: Sequence[Note]) -> str:
    """Return notes as a list for each subject."""
    return "\n\n".join(
        "\n".join([f"{subject}:", *(f"- {text}" for text in texts)])
        for subject, texts in by_subject(notes).items()
    )
