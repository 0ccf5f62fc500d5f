"""What an administrator sets up: repositories, mirrors and users, and a new server with its first user."""

from packrat_server.admin.mirrors import remove_mirror, save_mirror, set_mirror
from packrat_server.admin.repos import NewRepo, remove_repo, save_repo
from packrat_server.admin.users import remove_user, save_user, set_user

__all__ = [
    "NewRepo",
    "remove_mirror",
    "remove_repo",
    "remove_user",
    "save_mirror",
    "save_repo",
    "save_user",
    "set_mirror",
    "set_user",
]
