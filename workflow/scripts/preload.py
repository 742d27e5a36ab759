"""Fork runs that find torch imported, until standard input ends: preload.py prints the path of its socket."""

from espalier.site.preload.server import main

if __name__ == "__main__":
    main()
