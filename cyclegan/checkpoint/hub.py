"""Exports on the Hugging Face Hub: their names and their download."""

from pathlib import Path

from cyclegan.errors import CheckpointError, InputError, UserError, missing

PREFIX = "hf://"


def download(name: str, direction: str | None = None) -> Path:
    """Download the exports of a model from the Hub, or find them in its cache.

    Args:
        name: `hf://USER/MODEL`, or `hf://USER/MODEL@REVISION`.
        direction: "A2B"; None: the first that the model has.

    Returns:
        the safetensors file of the direction, with a JSON file beside it.

    Raises:
        CheckpointError: the model cannot be reached or does not have the direction.
    """
    try:
        from huggingface_hub import HfApi
        from huggingface_hub.errors import HfHubHTTPError, HFValidationError, LocalEntryNotFoundError
    except ImportError as error:
        raise CheckpointError(f"{name} needs {missing('huggingface_hub')}") from error
    repository, _, revision = name.removeprefix(PREFIX).partition("@")
    try:
        patterns = ["*.safetensors", "*.json"]
        folder = HfApi().snapshot_download(repository, revision=revision or None, allow_patterns=patterns)
    except HFValidationError as error:
        raise CheckpointError(f"{name} is no model of the Hub; give hf://USER/MODEL") from error
    except LocalEntryNotFoundError as error:
        raise CheckpointError(f"{name} is not in the cache, and the Hub cannot be reached") from error
    except HfHubHTTPError as error:
        raise CheckpointError(f"{name} cannot be downloaded: {error.server_message or reason(error)}") from error
    files = {file.stem: file for file in sorted(Path(folder).glob("*.safetensors"))}
    if not files or (direction is not None and direction not in files):
        found = f"has {', '.join(files)}" if files else "has no safetensors files"
        raise CheckpointError(f"{name} {found}{f', not {direction}' if direction else ''}")
    return files[direction] if direction else next(iter(files.values()))


def upload(folder: Path, repository: str, message: str) -> str:
    """Upload the files of a folder to a model on the Hub, which is created if it does not exist; return its address.

    Raises:
        InputError: the package huggingface_hub is not installed, or there is no login.
        UserError: the Hub refuses it or cannot be reached.
    """
    try:
        from huggingface_hub import HfApi
        from huggingface_hub.errors import HfHubHTTPError, HFValidationError, LocalTokenNotFoundError
    except ImportError as error:
        raise InputError(f"--push needs {missing('huggingface_hub')}") from error
    api = HfApi()
    try:
        address = api.create_repo(repository, exist_ok=True)
        api.upload_folder(repo_id=repository, folder_path=folder, commit_message=message)
    except HFValidationError as error:
        raise InputError(f"--push {repository} is no name of a model; give USER/MODEL") from error
    except LocalTokenNotFoundError as error:
        raise InputError("--push needs a login: run `hf auth login`, or set HF_TOKEN") from error
    except HfHubHTTPError as error:
        hint = ": run `hf auth login`, or set HF_TOKEN" if error.response.status_code == 401 else ""
        raise UserError(
            f"--push {repository}: the Hub refuses it, {error.server_message or reason(error)}{hint}"
        ) from error
    except Exception as error:
        if not type(error).__module__.startswith(("httpx", "requests")):  # it depends on the version of the package
            raise
        raise UserError(f"--push {repository}: the Hub cannot be reached ({error})") from error
    return str(address)


def reason(error: Exception) -> str:
    """Return the first line of an error, without the request's number."""
    return str(error).splitlines()[0].split(" (Request ID")[0]
