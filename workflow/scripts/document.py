"""Make the JSON schemas, the pages of docs/keys/ with their index, and the tables of the zoo anew: document.py."""

from pathlib import Path

from espalier.files import write_text
from espalier.reference import made


def main() -> None:
    for path, text in made(Path(__file__).parents[2]):
        write_text(path, text)


if __name__ == "__main__":
    main()
