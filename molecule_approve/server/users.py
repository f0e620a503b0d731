"""Names of the users of this machine."""

from __future__ import annotations

import os
import pwd
from functools import cache


@cache
def user_name(uid: int | None = None) -> str:
    """The name of this user, or of the one who runs this process; the id of a user without a name."""
    uid = os.getuid() if uid is None else uid
    try:
        return pwd.getpwuid(uid).pw_name
    except KeyError:
        return str(uid)
