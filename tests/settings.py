"""Settings of in-process tests: those of the project, in a new DATA_DIR, with nothing taken from the developer's own environment."""

import atexit
import os
import shutil
import tempfile

from tests.support import environment

_folder = tempfile.mkdtemp(prefix="switchboard-tests-")
atexit.register(shutil.rmtree, _folder, ignore_errors=True)
environment.prepare(os.environ, _folder)

from config.settings import *  # noqa: E402, F403
from config.settings import DATA_DIR, DATABASES  # noqa: E402

if DATABASES["default"]["ENGINE"] == "django.db.backends.sqlite3":
    DATABASES["default"]["TEST"] = {"NAME": str(DATA_DIR / "test.sqlite3")}  # a file: other threads must see it
(DATA_DIR / "static").mkdir(exist_ok=True)  # whitenoise warns where it is missing
EMBEDDED_WORKER = False  # live servers have theirs
PASSWORD_HASHERS = ["django.contrib.auth.hashers.MD5PasswordHasher"]
