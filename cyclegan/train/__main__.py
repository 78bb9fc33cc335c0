"""Run the command as `python -m cyclegan.train`."""

from cyclegan.train.command import main

if __name__ == "__main__":
    main()
