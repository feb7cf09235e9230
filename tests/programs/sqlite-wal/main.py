"""A database of SQLite with a write-ahead log, which two processes could use at a time."""

import os
import sqlite3
import sys

database = sqlite3.connect(sys.argv[1])
database.execute("pragma journal_mode = wal")
try:
    database.execute("create table if not exists goods (name text)")
except sqlite3.OperationalError as error:
    print(error.sqlite_errorname, error)
    sys.exit(1)
database.close()
os.remove(sys.argv[1])
