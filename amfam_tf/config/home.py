"""The user's home folder in paths of a configuration, where no shell writes it out."""

import os

from amfam_tf.ranges import require


def without_home(path: str) -> str:
    """Returns a path with the user's home folder for a leading ~; a name that only begins so (~$list.csv) stays.

    Raises:
        ConfigError: the home folder is not known.
    """
    expanded = os.path.expanduser(path)  # noqa: PTH111  (a URL and an empty text stay as they are)
    known = expanded != path or not (path == "~" or path.startswith("~/"))
    require(known, f"{path}: the home folder is not known (HOME is not set): write the path out")
    return expanded
