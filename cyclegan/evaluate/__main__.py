"""Let `python -m cyclegan.evaluate` be the command."""

from cyclegan.evaluate.command import main

if __name__ == "__main__":
    main()
