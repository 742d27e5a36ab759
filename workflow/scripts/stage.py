"""Make one run: stage.py STAGE FOLDER --data FILE [--parents FOLDER ...] key=value ...; stage.py STAGE --help"""

import sys

from espalier.errors import Mistake
from espalier.site.preload import client

if __name__ == "__main__":
    # Before all that the run imports: where it is forked, it is imported there.
    client.hand_over()
    try:
        from espalier.stages.frame.command_line import main
    except Mistake as mistake:
        print(mistake, file=sys.stderr)
        sys.exit(2)

    main()
