"""Let `python -m cyclegan.train` be the command."""

from cyclegan.train.command import main

if __name__ == "__main__":
    main()
