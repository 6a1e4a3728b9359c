"""`python -m dogsim`: the command, where the folder of commands is not on the path."""

from dogsim.cli import app

if __name__ == "__main__":
    app()
