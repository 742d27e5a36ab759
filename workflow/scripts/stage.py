"""Make one run: stage.py STAGE FOLDER --data FILE [--parents FOLDER ...] key=value ...; stage.py STAGE --help"""

from espalier.stages.frame.command_line import main

if __name__ == "__main__":
    main()
