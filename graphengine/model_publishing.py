"""Give models to the Hugging Face hub: only when asked, and private unless said otherwise."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from graphengine.errors import GraphEngineError, InputError

__all__ = ["publish"]

_LEFT_OUT = [".*", "**/.*", "*.partial", "**/*.partial"]


def publish(
    path: Path, repository: str, *, private: bool = True, message: str = "", endpoint: str | None = None
) -> str:
    """Upload a file, or all of a folder, into a repository, which is made if there is none.

    The token is the one of HF_TOKEN or of ``hf auth login``; files that are there already are left as they are.

    Args:
        repository: ``owner/name``.
        private: Of a repository that is made now; one that exists stays as it is.
        message: Of the commit.
        endpoint: The hub's URL, if it isn't the usual one.

    Returns:
        The repository's address.

    Raises:
        InputError: if the hub may not be asked, there is no token, or there is nothing to upload.
        GraphEngineError: if the hub refuses, or can't be reached.
    """
    from huggingface_hub import HfApi, constants, get_token
    from huggingface_hub.utils.tqdm import disable_progress_bars

    if constants.is_offline_mode():
        raise InputError("push", "HF_HUB_OFFLINE is set, so nothing is uploaded.", "Unset it, or turn this off.")
    token = get_token()
    if not token:
        remedy = "Log in with 'hf auth login', or set HF_TOKEN, where graphengine runs; it must be allowed to write."
        raise InputError("push", "there is no token of the Hugging Face hub.", remedy)
    if not path.exists():
        raise InputError("path", f"there is nothing at {path}.", "Link the path of a node that saves.")
    disable_progress_bars()  # they would go to the log
    hub = HfApi(endpoint=endpoint, token=token)
    commit = message or f"Upload {path.name}"
    with _plain_errors(repository, token):
        made = hub.create_repo(repository, private=private, exist_ok=True)
        if path.is_dir():
            hub.upload_folder(repo_id=made.repo_id, folder_path=path, commit_message=commit, ignore_patterns=_LEFT_OUT)
        else:
            hub.upload_file(repo_id=made.repo_id, path_or_fileobj=path, path_in_repo=path.name, commit_message=commit)
    return str(made)


@contextmanager
def _plain_errors(repository: str, token: str) -> Iterator[None]:
    """Say what the hub refused in plain words, without the token."""
    import httpx2  # what huggingface_hub is built on
    from huggingface_hub.errors import HfHubHTTPError, HFValidationError

    def failed(reason: str, remedy: str) -> GraphEngineError:
        text = f"{repository}: can't be uploaded: {reason}\n  {remedy}"
        return GraphEngineError(text.replace(token, "(token)"))

    try:
        yield
    except HfHubHTTPError as error:
        status = error.response.status_code
        said = f": {error.server_message}" if error.server_message else ""
        if status in (401, 403):
            remedy = "Log in with a token that may write there ('hf auth login'), or name another repository."
            raise failed(f"the token may not write there ({status}{said})", remedy) from error
        remedy = "Run it again; what was saved is still there, and what was uploaded isn't uploaded twice."
        raise failed(f"the hub answers {status}{said}", remedy) from error
    except HFValidationError as error:
        raise failed(str(error), "Write owner/name.") from error
    except ValueError as error:  # metadata of the card
        raise failed(str(error), "Correct the inputs of ModelCard.") from error
    except (httpx2.HTTPError, OSError, RuntimeError) as error:  # RuntimeError: around what a large file met with
        met = error.__cause__ or error
        remedy = "Check the network, and run it again; what was saved is still there."
        raise failed(str(met) or type(met).__name__, remedy) from error
