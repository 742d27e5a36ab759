"""The command `espalier`, where only its folder is there: python -m espalier"""

from espalier.cli import app

if __name__ == "__main__":
    app(prog_name="espalier")
